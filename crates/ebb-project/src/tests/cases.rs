//! Each file of `cases/` is a project, laid over the base one, and the faults that are printed for it.
//!
//! `EBB_BLESS=1` rewrites what is expected.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::faults_of;

const FAULTS: &str = "faults";

/// Splits a case at its `-- path --` lines.
fn parts(text: &str) -> Vec<(&str, String)> {
    let mut parts: Vec<(&str, String)> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("-- ").and_then(|rest| rest.strip_suffix(" --")) {
            parts.push((name, String::new()));
        } else if let Some((_, part)) = parts.last_mut() {
            writeln!(part, "{line}").expect("a string");
        }
    }
    parts
}

#[test]
fn every_fault_is_printed_as_its_case_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let mut paths: Vec<_> =
        fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    let mut wrong = String::new();
    for path in paths {
        let text = fs::read_to_string(&path).expect("a case");
        let mut parts = parts(&text);
        let expected = match parts.pop() {
            Some((FAULTS, expected)) => expected,
            other => {
                parts.extend(other);
                String::new()
            }
        };
        let files: Vec<(&str, &str)> = parts.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let found = format!("{}\n", faults_of(&files));
        if found == expected {
            continue;
        }
        if std::env::var_os("EBB_BLESS").is_some() {
            let head = text.split("-- faults --").next().unwrap_or_default();
            fs::write(&path, format!("{head}-- faults --\n{found}")).expect("a case");
        } else {
            writeln!(wrong, "{}:\n{found}", path.display()).expect("a string");
        }
    }
    assert!(wrong.is_empty(), "these cases print something else:\n{wrong}");
}
