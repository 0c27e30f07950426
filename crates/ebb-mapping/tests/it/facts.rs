//! What a compiled mapping says of itself.

use std::sync::Arc;

use ebb_mapping::{Key, Mapping, MappingFault, Node, NodeKind};
use ebb_row::{Row, Value, parse_json};

use crate::rows::{context, settings, targets};
use crate::yaml::{get, read};

fn try_compile(case: &str) -> Result<Mapping, Vec<MappingFault>> {
    let case = read(case);
    let id = read("id");
    let fields = get(&case, "fields").expect("fields");
    Mapping::compile(fields, Some(("externalId", &id)), &targets(), &settings(&case))
}

fn compile(case: &str) -> Mapping {
    try_compile(case).unwrap_or_else(|faults| panic!("{faults:?}"))
}

fn record(case: &str, names: &[&str], cells: Vec<Value>) -> Result<String, String> {
    let names: Arc<[Arc<str>]> = names.iter().copied().map(Arc::from).collect();
    let bound = compile(case).bind(&names);
    let record = bound.record(&Row::new(names, cells), &context()).map_err(|fault| fault.to_string())?;
    let mut out = Vec::new();
    ebb_row::write_json(&Value::Object(record.fields), &mut out).map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

#[test]
fn columns_read_are_those_of_all_values_and_names() {
    let read = compile(
        "fields: { name: a, email: '{{ row.b | upcase }}', organizationId: { $lookup: organization, externalId: c }, \
         traits: { '{{ row.d }}': [e, { $value: nope }], $columns: { only: [f] } } }",
    )
    .reads();
    assert_eq!(read.names.iter().map(String::as_str).collect::<Vec<_>>(), ["a", "b", "c", "d", "e", "f", "id"]);
    assert!(!read.every);
}

#[test]
fn merging_all_columns_but_some_reads_every_column() {
    assert!(compile("fields: { traits: { $columns: { except: [a] } } }").reads().every);
    assert!(compile("fields: { traits: { $columns: all } }").reads().every);
}

#[test]
fn objects_looked_up_are_listed_once() {
    let mapping = compile(
        "fields: { organizationId: { $lookup: organization, externalId: a }, \
         accountIds: [{ $lookup: account, externalId: b }, { $lookup: account, externalId: c }] }",
    );
    assert_eq!(mapping.lookups(), ["account", "organization"]);
}

#[test]
fn fields_mapped_begin_with_the_match_field() {
    assert_eq!(
        compile("fields: { traits: { a: a }, name: a, externalId: id }").mapped(),
        ["externalId", "traits", "name"]
    );
}

#[test]
fn digests_tell_apart_what_gives_other_records() {
    let cases = [
        "fields: { name: a }",
        "fields: { name: b }",
        "fields: { email: a }",
        "fields: { name: { $value: a } }",
        "fields: { name: { $column: a, nulls: send } }",
        "fields: { name: { $column: a, default: x } }",
        "fields: { name: { $column: a, type: integer } }",
        "fields: { name: '{{ row.a | upcase }}' }",
        "fields: { name: '{{ row.a | upper }}' }\nlanguage: jinja",
        "fields: { name: { $template: '{{ row.a }}', as: text } }",
        "fields: { traits: { a: a, b: b } }",
        "fields: { traits: { a: b, b: a } }",
        "fields: { traits: { a: [a, b] } }",
        "fields: { traits: { a: [b, a] } }",
        "fields: { traits: { a: a } }",
        "fields: { traits: { a: a } }\nnulls: omit",
        "fields: { traits: { $columns: { only: [a] } } }",
        "fields: { traits: { $columns: { except: [a] } } }",
        "fields: { traits: { '{{ row.a }}': a } }",
    ];
    for (index, one) in cases.iter().enumerate() {
        for other in cases.iter().skip(index + 1) {
            assert_ne!(compile(one).digest(), compile(other).digest(), "{one} and {other}");
        }
    }
}

#[test]
fn digests_are_the_same_for_what_gives_the_same_records() {
    let same = |one: &str, other: &str| assert_eq!(compile(one).digest(), compile(other).digest(), "{one} and {other}");
    same("fields: { name: a }", "fields: { name: '{{ row.a }}' }");
    same("fields: { name: a }", "fields: { name: { $column: a } }");
    same("fields: { name: a }", "fields: { name: a, externalId: id }");
    same("fields: { name: a }\nlanguage: jinja", "fields: { name: a }");
    same("fields: { traits: { a: 1, b: 2 } }", "fields: { traits: { b: 2, a: 1 } }");
    same("fields: { traits: { $columns: { only: [a, b] } } }", "fields: { traits: { $columns: { only: [b, a] } } }");
}

#[test]
fn templates_run_in_the_language_that_is_named() {
    let row = || vec![Value::from("1"), Value::from("a")];
    let liquid =
        "fields: { name: '{{ row.a | upcase }}', email: { $template: '{{ row.a | upper }}', language: jinja } }";
    assert_eq!(record(liquid, &["id", "a"], row()), Ok(r#"{"externalId":"1","name":"A","email":"A"}"#.to_owned()));
}

#[test]
fn a_column_that_is_not_there_rejects_the_row() {
    let fault = record("fields: { name: a }", &["id"], vec![Value::from("1")]);
    assert_eq!(fault, Err("field name: the row has no column `a`".to_owned()));
}

#[test]
fn names_of_columns_are_exact() {
    let fault = record("fields: { name: a }", &["id", "A"], vec![Value::from("1"), Value::from("x")]);
    assert_eq!(fault, Err("field name: the row has no column `a`".to_owned()));
}

#[test]
fn a_fault_of_a_template_tells_its_line_and_column() {
    let case = "fields: { traits: { mrr: \"\\n{{ row.a | divided_by: 0 }}\" } }";
    let fault = record(case, &["id", "a"], vec![Value::from("1"), Value::from(1_i64)]).expect_err("it divides by zero");
    assert!(fault.starts_with("field traits.mrr: divided_by: "), "{fault}");
    assert!(fault.ends_with("(line 2, column 1)"), "{fault}");
}

#[test]
fn a_record_that_nests_too_deep_is_rejected() {
    let nested = |depth: usize| {
        let json = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        vec![Value::from("1"), parse_json(&json, false).expect("JSON")]
    };
    let case = "fields: { traits: { a: a } }";
    assert!(record(case, &["id", "a"], nested(99)).is_ok());
    let fault = record(case, &["id", "a"], nested(110));
    assert_eq!(fault, Err("field traits.a: lists and objects nest deeper than 100 levels".to_owned()));
}

/// `fields: { traits: { a: { a: ... a } } }`, with as many objects inside the traits.
fn nested_mapping(depth: usize) -> Result<Mapping, Vec<MappingFault>> {
    let map = |name: &str, node| {
        let key = Key { name: name.to_owned(), at: 0 };
        Node { at: 0, kind: NodeKind::Map(vec![(key, node)]) }
    };
    let mut node = map("a", read("a"));
    for _ in 0..depth {
        node = map("a", node);
    }
    Mapping::compile(&map("traits", node), None, &targets(), &settings(&read("{}")))
}

#[test]
fn a_mapping_that_nests_too_deep_is_a_fault() {
    let names: Arc<[Arc<str>]> = vec![Arc::from("a")].into();
    let bound = nested_mapping(60).expect("it is not too deep").bind(&names);
    assert!(bound.record(&Row::new(names, vec![Value::Null]), &context()).is_ok());
    let faults = nested_mapping(5_000).expect_err("it is too deep");
    assert_eq!(
        faults.first().map(|fault| fault.message.as_str()),
        Some("lists and objects nest deeper than 64 levels")
    );
}

#[test]
fn two_columns_of_one_name_are_merged_once() {
    let cells = vec![Value::from("1"), Value::from("first"), Value::from("second")];
    let got = record("fields: { traits: { $columns: { except: [id] } } }", &["id", "a", "a"], cells);
    assert_eq!(got, Ok(r#"{"externalId":"1","traits":{"a":"first"}}"#.to_owned()));
}
