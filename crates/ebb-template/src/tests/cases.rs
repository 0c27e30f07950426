//! The files under `cases/`: each case is a name, a template, its data and what must come out.

use std::fs;
use std::path::Path;

use super::{outcome_as, world};
use crate::{Form, Language};

/// The parts of one case.
struct Case {
    name: String,
    template: String,
    data: String,
    expected: String,
    form: Form,
}

fn read_cases(text: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for block in text.split("\n### ").skip(1) {
        let (name, body) = block.split_once('\n').expect("a name line");
        let (template, rest) = body.split_once("\n--- data ").expect("a data line");
        let (data, rest) = rest.split_once('\n').expect("an end of the data");
        let (kind, expected) = rest.split_once('\n').unwrap_or((rest, ""));
        let form = kind.strip_prefix("--- ").and_then(Form::from_word);
        cases.push(Case {
            name: name.to_owned(),
            template: template.to_owned(),
            data: data.to_owned(),
            expected: expected.trim_end_matches('\n').to_owned(),
            form: form.unwrap_or_else(|| panic!("{name}: `{kind}`")),
        });
    }
    cases
}

fn check(file: &str, language: Language) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases").join(file);
    let text = fs::read_to_string(&path).expect("a readable case file");
    let cases = read_cases(&text);
    assert!(!cases.is_empty(), "{file} has no case");
    let mut wrong = Vec::new();
    for case in cases {
        let world = world(&case.data);
        let got = outcome_as(&case.template, language, case.form, &world);
        let got = got.trim_end_matches('\n');
        if got != case.expected {
            wrong.push(format!("{}\n  expected: {}\n  got:      {got}\n", case.name, case.expected));
        }
    }
    assert!(wrong.is_empty(), "{file}\n{}", wrong.concat());
}

#[test]
fn expressions_render_as_written_down() {
    check("expressions.txt", Language::Liquid);
}

#[test]
fn tags_render_as_written_down() {
    check("tags.txt", Language::Liquid);
}

#[test]
fn filters_render_as_written_down() {
    check("filters.txt", Language::Liquid);
}

#[test]
fn dates_render_as_written_down() {
    check("dates.txt", Language::Liquid);
}

#[test]
fn faults_are_told_as_written_down() {
    check("faults.txt", Language::Liquid);
}

#[test]
fn json_bodies_render_as_written_down() {
    check("json.txt", Language::Liquid);
}

#[test]
fn json_bodies_of_jinja_render_as_written_down() {
    check("jinja_json.txt", Language::Jinja);
}

#[test]
fn jinja_renders_as_written_down() {
    check("jinja.txt", Language::Jinja);
}
