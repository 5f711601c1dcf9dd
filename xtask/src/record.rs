//! What a measurement leaves behind: a page and its figures, in bench/record/.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use serde_json::{Value, json};

/// Writes `bench/record/DATE-TOPIC.md` and `.json`. The page opens with `title`, the date, commit, machine and `command`.
pub(crate) fn write(
    root: &Path,
    (topic, title): (&str, &str),
    command: &str,
    text: &str,
    figures: &Value,
) -> anyhow::Result<()> {
    let (date, commit) = (text_of("date", &["+%F"])?, text_of("git", &["rev-parse", "HEAD"])?);
    let (kernel, cpus) = (text_of("uname", &["-srm"])?, text_of("nproc", &[])?);
    let model = processor()?;
    let page = format!(
        "# {title}, {date}\n\nCommit {commit}; {kernel}; {cpus} CPUs ({model}). `{command}`\n\n{text}"
    );
    let folder = root.join("bench/record");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join(format!("{date}-{topic}.md")), &page)?;
    let all = json!({ "date": date, "commit": commit, "kernel": kernel, "cpus": cpus,
        "processor": model, "command": command, "figures": figures });
    std::fs::write(folder.join(format!("{date}-{topic}.json")), format!("{all:#}\n"))?;
    std::io::stdout().write_all(page.as_bytes())?;
    Ok(())
}

/// Says on the terminal how far a measurement is.
pub(crate) fn say(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stderr(), "{line}").context("the terminal")
}

/// `met` or `**missed**`.
pub(crate) fn verdict(is_met: bool) -> &'static str {
    if is_met { "met" } else { "**missed**" }
}

/// The middle one of some figures.
pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// What a program prints.
pub(crate) fn text_of(program: &str, flags: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program).args(flags).output().with_context(|| program.to_owned())?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn processor() -> anyhow::Result<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    Ok(line.trim_start_matches([' ', '\t', ':']).to_owned())
}
