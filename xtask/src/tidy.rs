//! Layout and style that no other tool checks.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The most lines of a source file.
const LINES_MAX: usize = 800;
/// Crates that must not need the standard library.
const NO_STD: [&str; 3] = ["types", "store", "wire"];

/// What is wrong with the tree; empty when nothing is.
pub(crate) fn problems() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut problems = Vec::new();
    let mut files = Vec::new();
    for folder in ["crates", "xtask"] {
        collect(&root.join(folder), "rs", &mut files);
    }
    for file in &files {
        check_source(file, &mut problems);
    }
    for name in NO_STD {
        let lib = root.join("crates").join(name).join("src/lib.rs");
        if !read(&lib).contains("#![no_std]") {
            problems.push(format!("{}: lacks #![no_std]", lib.display()));
        }
    }
    let mut documents = Vec::new();
    collect(&root.join("docs"), "md", &mut documents);
    for name in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"] {
        documents.push(root.join(name));
    }
    for document in &documents {
        check_document(document, &mut problems);
    }
    check_arrows(&root, &mut problems);
    problems
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn collect(folder: &Path, extension: &str, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        if path.is_dir() {
            collect(&path, extension, files);
        } else if path.extension().is_some_and(|found| found == extension) {
            files.push(path);
        }
    }
}

fn check_source(path: &Path, problems: &mut Vec<String>) {
    let text = read(path);
    let at = path.display();
    if !text.starts_with("//!") {
        problems.push(format!("{at}: does not open with //!"));
    }
    let lines = text.lines().count();
    if lines > LINES_MAX {
        problems
            .push(format!("{at}: {lines} lines are more than {LINES_MAX}; split it by concept"));
    }
    let (fix_me, sleeping) = (["FIX", "ME"].concat(), ["thread::", "sleep("].concat());
    for (number, line) in text.lines().enumerate() {
        if line.contains(&fix_me) {
            problems.push(format!("{at}:{}: {fix_me}", number + 1));
        }
        if line.contains(&sleeping) {
            problems.push(format!("{at}:{}: sleeps; wait for an event", number + 1));
        }
    }
}

fn check_document(path: &Path, problems: &mut Vec<String>) {
    let text = read(path);
    let at = path.display();
    let mut is_code = false;
    let mut titles = 0;
    for line in text.lines() {
        is_code ^= line.starts_with("```");
        titles += usize::from(!is_code && line.starts_with("# "));
    }
    if titles != 1 {
        problems.push(format!("{at}: has {titles} titles, not one"));
    }
    for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        let file = target.split('#').next().unwrap_or_default();
        let is_local = !file.is_empty() && !file.contains("://");
        if is_local && !path.parent().is_some_and(|folder| folder.join(file).exists()) {
            problems.push(format!("{at}: the link to {target} leads nowhere"));
        }
    }
}

/// Holds the dependencies among our crates against the table in ARCHITECTURE.md.
fn check_arrows(root: &Path, problems: &mut Vec<String>) {
    let table = read(&root.join("ARCHITECTURE.md"));
    let allowed = |package: &str| -> Option<Vec<String>> {
        let start = format!("| `{package}` |");
        let row = table.lines().find(|line| line.starts_with(&start))?;
        let cell = row.trim_end_matches('|').rsplit('|').next()?;
        Some(cell.split('`').skip(1).step_by(2).map(str::to_owned).collect())
    };
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root)
        .output();
    let metadata: Option<Value> =
        output.ok().and_then(|output| serde_json::from_slice(&output.stdout).ok());
    let Some(packages) = metadata.as_ref().and_then(|data| data["packages"].as_array()) else {
        problems.push("cargo metadata cannot be read".to_owned());
        return;
    };
    let names: Vec<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let Some(allowed) = allowed(name) else {
            problems.push(format!("ARCHITECTURE.md: {name} is not in the table of crates"));
            continue;
        };
        let dependencies = package["dependencies"].as_array().map_or(&[][..], Vec::as_slice);
        for used in dependencies.iter().filter_map(|dependency| dependency["name"].as_str()) {
            if names.contains(&used) && !allowed.iter().any(|name| name == used) {
                problems.push(format!("{name} may not use {used} (ARCHITECTURE.md)"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_tree_is_tidy() {
        assert_eq!(super::problems(), Vec::<String>::new());
    }
}
