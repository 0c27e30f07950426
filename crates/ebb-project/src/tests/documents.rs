//! The schemas, the table of keys and the example agree with the readers.

use std::fs;
use std::path::{Path, PathBuf};

use ebb_row::{Column, ColumnType};
use serde_json::{Value, json};

use super::{environment, load};
use crate::{DestinationKind, init, schemas, surface};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Compares a file with what it should be, and rewrites it under `EBB_BLESS`.
fn is_up_to_date(path: &Path, wanted: &str) -> bool {
    let is_same = fs::read_to_string(path).is_ok_and(|text| text == wanted);
    if !is_same && std::env::var_os("EBB_BLESS").is_some() {
        fs::create_dir_all(path.parent().expect("inside the repository")).expect("a folder");
        fs::write(path, wanted).expect("a file");
        return true;
    }
    is_same
}

#[test]
fn committed_schemas_are_up_to_date() {
    for (name, schema) in schemas() {
        let text = format!("{}\n", serde_json::to_string_pretty(&schema).expect("JSON"));
        assert!(is_up_to_date(&repository().join("docs/schema").join(name), &text), "{name}: run with EBB_BLESS=1");
    }
}

#[test]
fn the_table_of_keys_is_up_to_date() {
    const BEGIN: &str = "<!-- keys: begin (written by the tests of ebb-project) -->\n";
    const END: &str = "<!-- keys: end -->";
    let path = repository().join("docs/surface.md");
    let text = fs::read_to_string(&path).expect("docs/surface.md");
    let (head, rest) = text.split_once(BEGIN).expect("a begin mark");
    let (_, tail) = rest.split_once(END).expect("an end mark");
    assert!(is_up_to_date(&path, &format!("{head}{BEGIN}\n{}{END}{tail}", surface())), "run with EBB_BLESS=1");
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).expect("YAML")
}

fn is_valid(schema: &str, document: &Value) -> bool {
    let (_, schema) = schemas().into_iter().find(|(name, _)| *name == schema).expect("a schema");
    let validator = jsonschema::draft202012::new(&schema).expect("a schema");
    validator.is_valid(document)
}

#[test]
fn schemas_take_the_example() {
    let root = repository();
    let read = |path: &str| yaml(&fs::read_to_string(root.join(path)).expect("a file"));
    assert!(is_valid("ebb.json", &read("ebb.yaml")));
    assert!(is_valid("model.json", &read("models/product_events.yaml")));
    for sync in ["accounts", "organizations", "users", "product_events"] {
        assert!(is_valid("sync.json", &read(&format!("syncs/{sync}.yaml"))), "{sync}");
    }
    let header = fs::read_to_string(root.join("models/organizations.sql")).expect("a file");
    let header = header.trim_start_matches("/*").split("*/").next().expect("a header").to_owned();
    assert!(is_valid("model.json", &yaml(&header)));
}

#[test]
fn schemas_refuse_what_the_readers_refuse() {
    let settings = |extra: Value| {
        let mut document = json!({ "version": 1, "destinations": { "v": { "type": "vitally" } } });
        document.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
        document
    };
    assert!(is_valid("ebb.json", &settings(json!({}))));
    assert!(is_valid("ebb.json", &settings(json!({ "sources": { "a": { "type": "postgres", "url": "${A}" } } }))));
    for bad in [
        json!({ "version": 2 }),
        json!({ "soruces": {} }),
        json!({ "sources": { "a": { "type": "postgres" } } }),
        json!({ "sources": { "a b": { "type": "sqlite", "path": "x" } } }),
        json!({ "destinations": { "v": { "type": "vitally", "region": "asia" } } }),
        json!({ "destinations": { "v": { "type": "vitally", "rate_limit": { "share": "a lot" } } } }),
        json!({ "logs": { "keep": 30 } }),
    ] {
        assert!(!is_valid("ebb.json", &settings(bad.clone())), "{bad}");
    }
    let sync = |extra: Value| {
        let mut document =
            json!({ "model": "m", "destination": "v", "object": "account", "fields": { "name": "name" } });
        document.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
        document
    };
    assert!(is_valid("sync.json", &sync(json!({ "guards": { "removed": "30%", "added": 10 } }))));
    assert!(is_valid(
        "sync.json",
        &sync(json!({ "fields": { "traits": { "type": "plan", "x": { "$column": "a b" } } } }))
    ));
    for bad in [
        json!({ "mode": "mirror" }),
        json!({ "fields": {} }),
        json!({ "fields": { "x": { "$column": "a", "defualt": 1 } } }),
        json!({ "match": { "a": "b", "c": "d" } }),
        json!({ "schedule": "hourly" }),
        json!({ "guards": { "removed": "lots" } }),
        json!({ "stream": "s" }),
    ] {
        assert!(!is_valid("sync.json", &sync(bad.clone())), "{bad}");
    }
}

#[test]
fn the_example_is_a_project_without_faults_that_needs_no_keys() {
    let project = load(&repository(), &environment(&[])).unwrap_or_else(|faults| panic!("{faults}"));
    let names: Vec<&str> = project.order(&[]).iter().map(|sync| sync.name.as_str()).collect();
    assert_eq!(names, ["organizations", "accounts", "users", "product_events"]);
    project.source("warehouse").expect("a source");
    let destination = project.destination("vitally").expect("a destination");
    let DestinationKind::Vitally(settings) = destination.kind;
    assert!(settings.rest_token.is_some() && settings.analytics_token.is_some());
}

#[test]
fn the_example_fits_the_columns_of_the_demo_warehouse() {
    use ColumnType::{Boolean, Date, Decimal, Integer, Json, LocalTimestamp, Text};
    let project = load(&repository(), &environment(&[])).unwrap_or_else(|faults| panic!("{faults}"));
    let warehouse: [(&str, &[(&str, ColumnType)]); 4] = [
        ("organizations", &[("org_id", Text), ("name", Text), ("industry", Text), ("created_at", LocalTimestamp)]),
        (
            "accounts",
            &[
                ("account_id", Text),
                ("org_id", Text),
                ("name", Text),
                ("plan", Text),
                ("seats", Integer),
                ("mrr_cents", Integer),
                ("balance", Decimal),
                ("active", Boolean),
                ("renewal_date", Date),
                ("tags", Json),
                ("updated_at", LocalTimestamp),
            ],
        ),
        (
            "users",
            &[
                ("user_id", Text),
                ("account_id", Text),
                ("email", Text),
                ("full_name", Text),
                ("role", Text),
                ("signed_up_at", LocalTimestamp),
                ("preferences", Json),
            ],
        ),
        (
            "product_events",
            &[
                ("event_id", Text),
                ("event_name", Text),
                ("user_id", Text),
                ("account_id", Text),
                ("occurred_at", LocalTimestamp),
                ("properties", Json),
            ],
        ),
    ];
    for (name, columns) in warehouse {
        let columns: Vec<Column> = columns
            .iter()
            .map(|(name, kind)| Column { name: (*name).to_owned(), kind: *kind, source_type: kind.word().to_owned() })
            .collect();
        let model = project.model(name).expect("a model");
        let mut faults = model.check_columns(&columns);
        faults.extend(project.sync(name).expect("a sync").check_columns(&columns));
        assert!(faults.is_empty(), "{}", crate::Faults(faults));
    }
}

#[test]
fn a_new_project_has_no_faults_and_is_never_overwritten() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("new");
    let options = crate::InitOptions { project_id: uuid::Uuid::new_v4() };
    let written = init(&root, &options).expect("written");
    assert_eq!(
        written.iter().map(|path| path.to_str().expect("UTF-8")).collect::<Vec<_>>(),
        ["ebb.yaml", "models/example.sql", "syncs/example.yaml", ".gitignore"]
    );
    let project = load(&root, &environment(&[])).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(project.project_id(), Some(options.project_id));
    fs::write(root.join("ebb.yaml"), "version: 1\n").expect("a file");
    fs::write(root.join(".gitignore"), "target\n/.ebb/").expect("a file");
    assert_eq!(init(&root, &options).expect("written"), [PathBuf::from(".gitignore")]);
    assert_eq!(fs::read_to_string(root.join("ebb.yaml")).expect("a file"), "version: 1\n");
    assert_eq!(fs::read_to_string(root.join(".gitignore")).expect("a file"), "target\n/.ebb/\n.env\n");
    assert!(init(&root, &options).expect("written").is_empty());
}
