//! What the program says of templates: the page of filters, the faults of a project's templates, rendering by itself.

use std::fs;
use std::path::Path;

use ebb_template::Example;
use serde_json::Value;

use crate::cli::{Project, command, finish};

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
    let line = |one: &Example| format!("{{\"template\":{},\"data\":{}}}", Value::from(one.template), one.data);
    let lines: Vec<String> = ebb_template::filters().iter().map(|filter| line(&filter.example)).collect();
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

/// A template that gives another result in each language for an account with 0 seats, as a value and as a field's name.
const TELLING: &str = "{% if row.seats %}liquid{% else %}jinja{% endif %}";

fn language_sync(language: &str, field_language: &str) -> String {
    format!(
        "model: accounts\ndestination: vitally\nobject: account\nmatch: {{ externalId: id }}\n{language}\nfields:\n  \
         name: name\n  traits:\n    plain: \"{TELLING}\"\n    \"{TELLING}_name\": plan\n    \
         written: {{ $template: \"{TELLING}\"{field_language} }}\n"
    )
}

#[test]
fn the_language_is_that_of_the_field_then_of_the_sync_then_of_the_project() {
    let project = Project::new("[]");
    project.sql("delete from accounts where id > 'a-01'; update accounts set seats = 0");
    let settings = fs::read_to_string(project.root().join("ebb.yaml")).expect("there");
    let mut records = Vec::new();
    for (of_project, of_sync, of_field) in [
        ("", "", ""),
        ("language: jinja", "", ""),
        ("language: jinja", "language: liquid", ""),
        ("language: jinja", "language: liquid", ", language: jinja"),
        ("", "language: jinja", ", language: liquid"),
    ] {
        fs::write(project.root().join("ebb.yaml"), format!("{settings}\n{of_project}\n")).expect("written");
        fs::write(project.root().join("syncs/accounts.yaml"), language_sync(of_sync, of_field)).expect("written");
        let (code, validated, stderr) = project.ebb(&["validate"]);
        assert_eq!(code, 0, "{validated}{stderr}");
        let (code, plan) = project.json(&["plan"]);
        assert_eq!(code, 0, "{plan}");
        let traits = plan["syncs"][0]["operations"][0]["record"]["traits"].clone();
        let name = if traits["liquid_name"].is_string() { "liquid" } else { "jinja" };
        assert!(traits[format!("{name}_name")].is_string(), "{plan}");
        records.push([
            traits["plain"].as_str().expect("text").to_owned(),
            name.to_owned(),
            traits["written"].to_string(),
        ]);
    }
    let (liquid, jinja) = ("liquid", "jinja");
    let expected = [[liquid; 3], [jinja; 3], [liquid; 3], [liquid, liquid, jinja], [jinja, jinja, liquid]];
    for (record, expected) in records.iter().zip(expected) {
        assert_eq!(record[..2], expected[..2], "{records:?}");
        assert_eq!(record[2], format!("\"{}\"", expected[2]), "{records:?}");
    }
}

#[test]
fn another_language_of_the_project_is_a_change_of_its_records() {
    let project = Project::new("[]");
    project.sql("delete from accounts where id > 'a-01'; update accounts set seats = 0");
    fs::write(project.root().join("syncs/accounts.yaml"), language_sync("", "")).expect("written");
    assert_eq!(project.ebb(&["run"]).0, 0);
    assert_eq!(project.ebb(&["plan", "--detailed-exitcode"]).0, 0);
    let settings = fs::read_to_string(project.root().join("ebb.yaml")).expect("there");
    fs::write(project.root().join("ebb.yaml"), format!("{settings}language: jinja\n")).expect("written");
    let (code, plan) = project.json(&["plan"]);
    let changes = plan["syncs"][0]["operations"][0]["changes"].as_array().cloned().unwrap_or_default();
    let change = changes.iter().find(|one| one["path"] == "traits.plain").expect("it changes");
    assert_eq!((code, &change["before"], &change["after"]), (0, &"liquid".into(), &"jinja".into()), "{plan}");
}

#[test]
fn every_fault_of_every_template_is_told_at_once_where_it_stands() {
    let project = Project::new("[]");
    assert_eq!(project.ebb(&["plan"]).0, 0, "the model's columns are known from now on");
    let sync = "model: accounts\ndestination: vitally\nobject: account\nmatch: { externalId: \"{{ row.idd }}\" }\n\
                nulls: never\nfields:\n  name: |\n    {{ row.name }}\n    {{ row.plan | upcse }}\n  traits:\n    \
                seats: '{{ row.seets }}'\n    \"{{ row.plan }}_{{ row.nme }}\": plan\n    folded: >\n      one\n      \
                {{ row.plan }} {{ pln }}\n";
    fs::write(project.root().join("syncs/accounts.yaml"), sync).expect("written");
    let expected = [
        (4, 23, "reads column `idd`"),
        (5, 8, "`nulls` is `never`"),
        (9, 5, "unknown filter `upcse`"),
        (11, 13, "reads column `seets`"),
        (12, 21, "unknown column `nme`"),
        (15, 22, "unknown variable `pln`"),
    ];
    for arguments in [&["validate"][..], &["validate", "--online"]] {
        let (code, document) = project.json(arguments);
        assert_eq!(code, 2, "{document}");
        let faults = document["faults"].as_array().cloned().unwrap_or_default();
        assert_eq!(faults.len(), expected.len(), "{document}");
        for (fault, (line, column, said)) in faults.iter().zip(expected) {
            assert_eq!((fault["line"].as_u64(), fault["column"].as_u64()), (Some(line), Some(column)), "{fault}");
            assert!(fault["message"].as_str().is_some_and(|message| message.contains(said)), "{fault}");
            assert!(said.contains("never") || fault["hint"].as_str().is_some_and(|hint| hint.contains("did you mean")));
        }
    }
}

#[test]
fn a_batch_answers_every_line_with_a_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let input = "{\"template\":\"{{ a }}\",\"data\":{\"a\":1}}\n\n  \nnonsense\n[]\n{\"template\":\"{{ rows.size }}{% for r in \
                 records %}{{ r }}{% endfor %}\",\"data\":{\"rows\":[1,2],\"records\":[3,4]}}";
    let answers = answers(folder.path(), &[], input);
    let ok: Vec<bool> = answers.iter().map(|answer| answer["ok"].as_bool().expect("said")).collect();
    assert_eq!(ok, [true, false, false, false, false, true], "{answers:?}");
    assert!(answers[1]["error"].as_str().is_some_and(|error| error.contains("empty")), "{answers:?}");
    assert_eq!(answers[5]["text"], "234");
}

#[test]
fn a_template_that_writes_json_is_rendered_to_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let template = "{ \"plan\": \"{{ row.plan }}\", \"n\": {{ row.n }}, \"tags\": {{ row.tags }}, }";
    fs::write(folder.path().join("t"), template).expect("written");
    let data = r#"{"plan":"the \"pro\"","n":12.50,"tags":["a"]}"#;
    fs::write(folder.path().join("v.json"), data).expect("written");
    let render = ["template", "render", "t", "--vars", "v.json", "--as", "json"];
    let (code, stdout, stderr) = run(folder.path(), &render);
    assert_eq!(
        (code, stdout.as_str()),
        (0, "{\"plan\":\"the \\\"pro\\\"\",\"n\":12.50,\"tags\":[\"a\"]}\n"),
        "{stderr}"
    );
    let line = format!("{{\"template\":{},\"data\":{data}}}\n", Value::from(template));
    let answers = answers(folder.path(), &["--as", "json"], &line);
    assert_eq!(answers[0]["value"]["plan"], "the \"pro\"");
    fs::write(folder.path().join("v.json"), r#"{"plan":"x","n":"not json","tags":[]}"#).expect("written");
    let (code, stdout, stderr) = run(folder.path(), &render);
    assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
    assert!(stderr.contains("line 1") && !stderr.contains("not json"), "it says where, and no value: {stderr}");
}

#[test]
fn what_cannot_be_rendered_says_why_and_exits_with_its_code() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).expect("written");
    file("good", b"{{ row.n | divided_by: 0 }}");
    file("n.json", br#"{"n":4711}"#);
    file("list.json", b"[4711]");
    file("wrong.json", b"{\"n\": 4711,,}");
    file("latin", b"caf\xe9 {{ x }}");
    file("huge", &vec![b'x'; (1 << 20) + 1]);
    file("long", &vec![b'x'; (64 << 10) + 1]);
    file("syntax", b"a\n {{ x | upcas }}");
    for (arguments, expected, said) in [
        (&["good", "--vars", "n.json"][..], 1, "division by zero (line 1, column 1)"),
        (&["good", "--vars", "list.json"], 2, "list.json: variables are a JSON object, not a list"),
        (&["good", "--vars", "wrong.json"], 2, "wrong.json: "),
        (&["good", "--vars", "none.json"], 2, "none.json: "),
        (&["none"], 2, "none: "),
        (&["latin"], 2, "latin: it is not UTF-8 at byte 3"),
        (&["huge"], 2, "huge: it is longer than 1024 KiB"),
        (&["long"], 2, "longer than 64 KiB"),
        (&["syntax"], 2, "unknown filter `upcas` (line 2, column 2)"),
        (&["good", "--as", "yaml"], 2, "`text` or `json`"),
        (&["good", "--batch"], 2, "--batch"),
    ] {
        let (code, stdout, stderr) = run(folder.path(), &[&["template", "render"], arguments].concat());
        assert_eq!((code, stdout.as_str()), (expected, ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains(said) && !stderr.contains("4711"), "{arguments:?}: {stderr}");
    }
}

#[test]
fn a_row_that_a_template_cannot_take_is_rejected_with_its_place_and_nothing_of_it_is_sent() {
    let project = Project::new("[]");
    project.sql("delete from accounts where id > 'a-03'");
    project.sql("update accounts set seats = 0, name = 'canary' where id = 'a-02'");
    let sync = "model: accounts\ndestination: vitally\nobject: account\nmatch: { externalId: id }\nfields:\n  name: \
                name\n  traits:\n    share: |-\n      {%- assign all = 100 -%}\n      share {{ all | divided_by: \
                row.seats }}\n    json: { $template: '{ \"plan\": \"{{ row.plan }}\" }', as: json }\n";
    fs::write(project.root().join("syncs/accounts.yaml"), sync).expect("written");
    let why = "divided_by: division by zero (line 2, column 7)";
    let (code, stdout, stderr) = project.ebb(&["plan"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains(&format!("! a-02  rejected: field traits.share: {why}")), "{stdout}");
    assert!(stdout.contains("traits.json.plan: \"pro\""), "{stdout}");
    let sentence = format!("rejected: sync accounts, field traits.share, row id=a-02: {why}");
    let (code, stdout, stderr) = project.ebb(&["run"]);
    assert_eq!(code, 3, "{stderr}");
    assert!(stdout.contains("2 accepted + 1 rejected") && stdout.contains(&sentence), "{stdout}");
    let mut said = vec![stdout, stderr];
    let (_, listed, _) = project.ebb(&["rejected", "accounts"]);
    assert!(listed.contains(&format!("field traits.share: {why}")), "{listed}");
    let (code, stdout, _) = project.ebb(&["run", "--key", "a-02"]);
    assert!(code == 3 && stdout.contains(&sentence), "{stdout}");
    said.extend([listed, stdout]);
    assert!(said.iter().all(|text| !text.contains("canary")), "{said:?}");
    let (_, calls, _) = project.ebb(&["logs", "accounts", "--output", "json"]);
    assert!(calls.contains("a-01") && !calls.contains("a-02") && !calls.contains("canary"), "{calls}");
}
