//! What the program says of templates: the page of filters, the faults of a project's templates, rendering by itself.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::cli::{command, finish};

fn run(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    finish(command(folder, arguments))
}

/// Returns the answers of `template render --batch` to lines of input.
fn answers(folder: &Path, options: &[&str], input: &str) -> Vec<Value> {
    fs::write(folder.join("batch.jsonl"), input).expect("written");
    let mut batch = command(folder, &[&["template", "render", "--batch"], options].concat());
    batch.stdin(fs::File::open(folder.join("batch.jsonl")).expect("there"));
    let (code, stdout, stderr) = finish(batch);
    assert_eq!(code, 0, "{stderr}");
    stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn the_page_of_filters_is_the_table_that_templates_run_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let (code, page, _) = run(folder.path(), &["docs", "filters"]);
    assert_eq!(code, 0);
    assert!(page.lines().all(|line| line.chars().count() <= 80), "it fits a terminal of 80 columns: {page}");
    let (code, listed, _) = run(folder.path(), &["docs", "filters", "--output", "json"]);
    let listed: Vec<Value> = serde_json::from_str(&listed).expect("JSON");
    assert_eq!((code, listed.len()), (0, ebb_template::filters().len()));
    for (one, filter) in listed.iter().zip(ebb_template::filters()) {
        assert_eq!(
            (one["name"].as_str(), one["parameters"].as_str(), one["meaning"].as_str()),
            (Some(filter.name), Some(filter.parameters), Some(filter.meaning))
        );
        let heading = |line: &str| line == filter.name || line.starts_with(&format!("{}: ", filter.name));
        assert!(page.lines().any(heading), "{}", filter.name);
    }
    // What a reader would do with the examples: rendered by the program, each gives what the page says.
    let lines: Vec<String> = listed.iter().map(|one| one["example"].to_string()).collect();
    let answers = answers(folder.path(), &["--typed"], &lines.join("\n"));
    for (one, answer) in listed.iter().zip(&answers) {
        assert_eq!(&answer["value"], &one["example"]["result"], "{}", one["name"]);
    }
    assert_eq!(answers.len(), listed.len());
}

#[test]
fn one_filter_is_shown_and_an_unknown_one_names_the_nearest() {
    let folder = tempfile::tempdir().expect("a folder");
    let (code, shown, _) = run(folder.path(), &["docs", "filters", "truncate"]);
    assert_eq!(code, 0);
    assert!(shown.starts_with("truncate: length = 50, end = \"...\"\n  Shortens "), "{shown}");
    assert!(shown.contains("{{ note | truncate: 8 }}") && !shown.contains("upcase"), "{shown}");
    let (_, one, _) = run(folder.path(), &["docs", "filters", "truncate", "--output", "json"]);
    let one: Vec<Value> = serde_json::from_str(&one).expect("JSON");
    assert_eq!((one.len(), one[0]["name"].as_str()), (1, Some("truncate")));
    for (name, said) in [
        ("upcas", "did you mean `upcase`?"),
        ("present", "blank"),
        ("zzzzzz", "`ebb docs filters`"),
        ("a b", "`ebb docs filters`"),
    ] {
        let (code, stdout, stderr) = run(folder.path(), &["docs", "filters", name]);
        assert_eq!((code, stdout.as_str()), (2, ""), "{name}: {stderr}");
        assert!(stderr.contains(&format!("there is no filter `{name}`")) && stderr.contains(said), "{name}: {stderr}");
    }
    let (code, pages, _) = run(folder.path(), &["docs"]);
    assert_eq!(code, 0);
    assert!(pages.contains("ebb docs filters [NAME]"), "{pages}");
}
