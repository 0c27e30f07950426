//! The table of filters, its examples, and the page that lists them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{outcome, world};
use crate::{Language, filters};

#[test]
fn every_filter_example_gives_its_result() {
    for filter in filters() {
        let example = filter.example;
        assert!(example.template.contains(filter.name), "{} has an example of another filter", filter.name);
        let got = outcome(example.template, Language::Liquid, &world(example.data));
        assert_eq!(got, example.result, "{}: {}", filter.name, example.template);
    }
}

#[test]
fn filter_names_are_unique() {
    let names: BTreeSet<&str> = filters().iter().map(|filter| filter.name).collect();
    assert_eq!(names.len(), filters().len());
}

#[test]
fn the_page_lists_every_filter_as_the_table_has_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/templates.md");
    let page = fs::read_to_string(path).expect("docs/templates.md");
    let (_, rest) = page.split_once("<!-- filters -->\n").expect("the start of the list");
    let (listed, _) = rest.split_once("<!-- end of filters -->").expect("the end of the list");
    let mut expected = String::from("| filter | arguments | what it does | example |\n|---|---|---|---|\n");
    for filter in filters() {
        let cell = |text: &str| text.replace('|', "\\|");
        let parameters =
            if filter.parameters.is_empty() { String::new() } else { format!("`{}`", cell(filter.parameters)) };
        let (template, result) = (cell(filter.example.template), cell(filter.example.result));
        let (name, meaning) = (filter.name, cell(filter.meaning));
        let line = format!("| `{name}` | {parameters} | {meaning} | `{template}` → `{result}` |\n");
        expected.push_str(&line);
    }
    assert!(
        listed == expected,
        "write this between the two marks of docs/templates.md:
<<<
{expected}>>>"
    );
}
