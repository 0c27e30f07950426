//! `cases/valid`: rows and their records or faults. `cases/invalid`: mappings and every fault of theirs.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ebb_mapping::{Mapping, MappingFault, Node, RowFault};
use ebb_row::{Record, Value, write_json};

use crate::rows::{columns, context, row, settings, targets};
use crate::yaml::{entries, get, items, line, read, text, value};

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases").join(folder);
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).expect("a folder of cases").map(|entry| entry.expect("a case").path()).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

fn match_field(case: &Node) -> Option<(&str, &Node)> {
    let (key, node) = entries(get(case, "match")?).first()?;
    Some((&key.name, node))
}

fn json(value: &Value) -> String {
    let mut out = Vec::new();
    write_json(value, &mut out).expect("JSON");
    String::from_utf8(out).expect("UTF-8")
}

fn outcome(result: Result<Record, RowFault>) -> String {
    match result {
        Ok(record) if record.volatile.is_empty() => json(&Value::Object(record.fields)),
        Ok(record) => format!("{} volatile: {}", json(&Value::Object(record.fields)), record.volatile.join(" ")),
        Err(fault) => fault.to_string(),
    }
}

fn expected(row: &Node) -> String {
    if let Some(fault) = get(row, "fault") {
        return text(fault).to_owned();
    }
    if let Some(json) = get(row, "json") {
        return text(json).to_owned();
    }
    let record = json(&value(get(row, "record").expect("a record or a fault")));
    match get(row, "volatile") {
        Some(paths) => format!("{record} volatile: {}", items(paths).iter().map(text).collect::<Vec<_>>().join(" ")),
        None => record,
    }
}

#[test]
fn valid_mappings_make_the_records_and_faults_of_their_cases() {
    let mut failures = String::new();
    for path in files("valid") {
        let source = fs::read_to_string(&path).expect("a case");
        let case = read(&source);
        let columns = columns(&case);
        let fields = get(&case, "fields").expect("fields");
        let mapping = Mapping::compile(fields, match_field(&case), &targets(), &settings(&case))
            .unwrap_or_else(|faults| panic!("{}: {}", path.display(), printed(&source, &faults)));
        let faults = mapping.check(&columns);
        assert!(faults.is_empty(), "{}: {}", path.display(), printed(&source, &faults));
        let names: Vec<Arc<str>> = columns.iter().map(|column| Arc::from(column.name.as_str())).collect();
        let bound = mapping.bind(&names);
        for (index, case_row) in items(get(&case, "rows").expect("rows")).iter().enumerate() {
            let got = outcome(bound.record(&row(&columns, get(case_row, "row").expect("a row")), &context()));
            let wanted = expected(case_row);
            if got != wanted {
                writeln!(failures, "{} row {index}\n  wanted {wanted}\n  got    {got}", path.display())
                    .expect("a text");
            }
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
}

fn printed(source: &str, faults: &[MappingFault]) -> String {
    let mut out = String::new();
    for fault in faults {
        let hint = fault.hint.as_ref().map_or_else(String::new, |hint| format!(" | {hint}"));
        writeln!(out, "line {}: {fault}{hint}", line(source, fault.at)).expect("a text");
    }
    out
}

#[test]
fn invalid_mappings_show_every_fault_with_its_place() {
    let mut failures = String::new();
    for path in files("invalid") {
        let source = fs::read_to_string(&path).expect("a case");
        let case = read(&source);
        let fields = get(&case, "fields").expect("fields");
        let (field, targets, settings) = (match_field(&case), targets(), settings(&case));
        let faults = if get(&case, "columns").is_some() {
            Mapping::faults(fields, field, &targets, &settings, &columns(&case))
        } else {
            Mapping::compile(fields, field, &targets, &settings).expect_err("it is invalid")
        };
        let wanted: Vec<&str> = items(get(&case, "faults").expect("faults")).iter().map(text).collect();
        let got = printed(&source, &faults);
        if got.lines().ne(wanted.iter().copied()) {
            let wanted = wanted.join("\n");
            writeln!(failures, "{}\nwanted\n{wanted}\ngot\n{got}", path.display()).expect("a text");
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
}

#[test]
fn the_example_of_the_users_page_compiles() {
    let page = include_str!("../../../../docs/mapping.md");
    let example = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let case = read(example);
    let fields = get(&case, "fields").expect("fields");
    let mapping = Mapping::compile(fields, match_field(&case), &targets(), &settings(&read("{}")));
    assert_eq!(mapping.map(|mapping| mapping.lookups()), Ok(vec!["organization".to_owned()]));
}
