//! Rules of layout and style that the compiler does not know.
//!
//! Checked: arrows between crates against the table in ARCHITECTURE.md; `#![no_std]` of pure crates; `//!`
//! first in each Rust file; file lengths; words that are not said in identifiers; marks of unfinished
//! work; sleeps and fixed ports in tests; one title and live links in each document; absolute paths.
//! Left out: outside crates of pure crates (deny.toml has the bans on I/O).

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::{read_dir, read_to_string};
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Lines of a file that warn, and that fail.
const LINES_WARN: usize = 500;
const LINES_MAX: usize = 800;
/// Files allowed to be longer: path, lines (may only shrink), reason.
const LONG_FILES: &[(&str, usize, &str)] = &[];
/// Crates without `std`.
const NO_STD: &[&str] = &["types", "ring", "store", "wire"];
/// Not said in identifiers: docs/glossary.md has the words.
const FORBIDDEN: &[&str] = &["partition", "master", "slave", "resharding", "purge"];
/// Identifiers that are allowed all the same: the standard library's own.
const ALLOWED: &[&str] = &["partition_point", "is_partitioned"];
/// Folders that are not looked into.
const SKIPPED: &[&str] = &["target", ".git", "node_modules"];

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Worth a look.
    pub(crate) warnings: Vec<String>,
    /// Rules broken.
    pub(crate) failures: Vec<String>,
}

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_path_buf()
}

/// Checks everything below `root`.
pub(crate) fn run(root: &Path) -> anyhow::Result<Found> {
    let mut found = Found::default();
    let mut files = Vec::new();
    walk(root, &mut files)?;
    for path in &files {
        let name = path.strip_prefix(root)?.to_string_lossy().into_owned();
        let extension = path.extension().and_then(|extension| extension.to_str());
        match extension {
            Some("rs") => rust_file(&name, &read_to_string(path)?, &mut found),
            Some("md") => document(path, &name, &read_to_string(path)?, &mut found),
            _ => {}
        }
    }
    for short in NO_STD {
        let lib = root.join("crates").join(short).join("src/lib.rs");
        if lib.exists() && !read_to_string(&lib)?.contains("no_std") {
            found.failures.push(format!("crates/{short}/src/lib.rs: is not #![no_std]"));
        }
    }
    arrows(root, &mut found)?;
    Ok(found)
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !path.is_dir() {
            files.push(path);
        } else if !SKIPPED.contains(&name.as_str()) {
            walk(&path, files)?;
        }
    }
    files.sort();
    Ok(())
}

/// The rules of one Rust file.
fn rust_file(name: &str, text: &str, found: &mut Found) {
    if !text.starts_with("//!") {
        found.failures.push(format!("{name}:1: a file opens with `//!`"));
    }
    let is_test = name.contains("/tests/") || name.ends_with("tests.rs");
    let lines = text.lines().count();
    let max = LONG_FILES.iter().find(|(path, ..)| *path == name).map_or(LINES_MAX, |long| long.1);
    if lines > max {
        found.failures.push(format!("{name}: {lines} lines, at most {max}"));
    } else if lines > LINES_WARN && !is_test {
        found.warnings.push(format!("warning: {name}: {lines} lines, better under {LINES_WARN}"));
    }
    if name.starts_with("xtask/src/tidy") {
        return; // names what it forbids
    }
    for (idx, line) in text.lines().enumerate() {
        let mut fail = |what: &str| found.failures.push(format!("{name}:{}: {what}", idx + 1));
        let code = code_of(line);
        for word in code.split(|char: char| !char.is_alphanumeric() && char != '_') {
            let lower = word.to_lowercase();
            let is_bad = FORBIDDEN.iter().any(|bad| lower.contains(bad));
            if is_bad && !ALLOWED.contains(&word) {
                fail(&format!("`{word}`: see docs/glossary.md for the word"));
            }
        }
        if line.contains("FIXME") {
            fail("unfinished");
        }
        if line.contains("\"/home/") || line.contains("\"/root/") {
            fail("an absolute path of one machine");
        }
        if is_test && code.contains("sleep(") {
            fail("a test awaits an event, it does not sleep");
        }
        if is_test && has_fixed_port(line) {
            fail("a test binds port 0");
        }
    }
}

/// A line without its comment and the contents of its string literals.
fn code_of(line: &str) -> String {
    let (mut code, mut is_text, mut previous) = (String::new(), false, ' ');
    for char in line.chars() {
        if char == '"' && previous != '\\' {
            is_text = !is_text;
        } else if !is_text {
            code.push(char);
            if code.ends_with("//") {
                break;
            }
        }
        previous = char;
    }
    code
}

/// Whether a line binds an address with a port that is not 0.
fn has_fixed_port(line: &str) -> bool {
    let Some((_, rest)) = line.split_once("bind(") else { return false };
    let Some((_, port)) = rest.split_once("127.0.0.1:") else { return false };
    port.starts_with(|char: char| ('1'..='9').contains(&char))
}

/// The rules of one document.
fn document(path: &Path, name: &str, text: &str, found: &mut Found) {
    let mut is_code = false;
    let mut titles = 0;
    for (idx, line) in text.lines().enumerate() {
        if line.starts_with("```") {
            is_code = !is_code;
        }
        if is_code {
            continue;
        }
        titles += usize::from(line.starts_with("# "));
        for part in line.split("](").skip(1) {
            let target = part.split([')', '#']).next().unwrap_or_default();
            let folder = path.parent().unwrap_or(path);
            let is_outside = target.contains(':') || target.is_empty();
            if !is_outside && !folder.join(target).exists() {
                found.failures.push(format!("{name}:{}: `{target}` does not exist", idx + 1));
            }
        }
    }
    if titles != 1 {
        found.failures.push(format!("{name}: {titles} titles (`# …`), not one"));
    }
}

/// Arrows of the manifests against those of the table.
fn arrows(root: &Path, found: &mut Found) -> anyhow::Result<()> {
    let table = arrow_table(&read_to_string(root.join("ARCHITECTURE.md"))?);
    let cargo = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root)
        .output()?;
    let metadata: serde_json::Value =
        serde_json::from_slice(&cargo.stdout).context("cargo metadata")?;
    for package in metadata["packages"].as_array().context("packages")? {
        let from = short(package["name"].as_str().unwrap_or_default());
        let Some(allowed) = table.get(from) else {
            found.failures.push(format!("{from}: is not in the table of ARCHITECTURE.md"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let to = short(dependency["name"].as_str().unwrap_or_default());
            let is_ours = dependency["path"].is_string();
            if is_ours && !allowed.iter().any(|one| one == to) {
                found.failures.push(format!("{from} uses {to}: no such arrow in ARCHITECTURE.md"));
            }
        }
    }
    Ok(())
}

fn short(package: &str) -> &str {
    package.strip_prefix("ringhold-").unwrap_or(package)
}

/// Rows ``| `crate` | … | `a` `b` |`` of the table: crate → crates it may use.
fn arrow_table(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut table = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        if let [from, _, uses] = cells[..] {
            let uses = uses.split_whitespace().map(|one| one.trim_matches('`').to_owned());
            table.insert(from.trim_matches('`').to_owned(), uses.collect());
        }
    }
    table
}
