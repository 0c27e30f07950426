//! What the tests map: the fields of a destination's user, and rows from YAML cells.

use std::str::FromStr;
use std::sync::Arc;

use bigdecimal::BigDecimal;
use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use ebb_mapping::{MappingSettings, Node, RunContext, Target};
use ebb_row::{Column, ColumnType, FieldType, Nulls, Row, Value, parse_json};
use ebb_template::Language;

use crate::yaml::{entries, get, text, value};

/// The fields of the object in all tests.
pub(crate) fn targets() -> Vec<Target> {
    let target = |name: &str, kind, lookup_of: Option<&str>| Target {
        name: name.to_owned(),
        kind,
        lookup_of: lookup_of.map(str::to_owned),
    };
    vec![
        target("name", FieldType::Text, None),
        target("email", FieldType::Text, None),
        target("ownerId", FieldType::Id, None),
        target("organizationId", FieldType::Id, Some("organization")),
        target("accountIds", FieldType::Ids, Some("account")),
        target("active", FieldType::Boolean, None),
        target("joinedAt", FieldType::Timestamp, None),
        target("traits", FieldType::Object, None),
    ]
}

/// The settings of a case: nulls are sent in objects and left out elsewhere, as REST has it.
pub(crate) fn settings(case: &Node) -> MappingSettings {
    let word = |name| get(case, name).map(|node| text(node).to_owned());
    MappingSettings {
        language: word("language").map_or(Language::Liquid, |word| Language::from_word(&word).expect("a language")),
        nulls_objects: Nulls::Send,
        nulls_fields: Nulls::Omit,
        nulls_override: word("nulls").map(|word| if word == "send" { Nulls::Send } else { Nulls::Omit }),
    }
}

/// The run of all tests.
pub(crate) fn context() -> RunContext {
    RunContext { sync: "users".to_owned(), run_id: "run-1".to_owned(), run_time: instant("2026-01-31T12:00:00Z") }
}

/// Reads the columns of a case: name to type.
pub(crate) fn columns(case: &Node) -> Vec<Column> {
    let Some(columns) = get(case, "columns") else { return Vec::new() };
    let column = |name: &str, word: &str| Column {
        name: name.to_owned(),
        kind: ColumnType::from_word(word).unwrap_or_else(|| panic!("no column type {word}")),
        source_type: String::new(),
    };
    entries(columns).iter().map(|(key, kind)| column(&key.name, text(kind))).collect()
}

/// Makes a row of YAML cells; a column without a cell is null.
pub(crate) fn row(columns: &[Column], cells: &Node) -> Row {
    let names: Arc<[Arc<str>]> = columns.iter().map(|column| Arc::from(column.name.as_str())).collect();
    let cell = |column: &Column| get(cells, &column.name).map_or(Value::Null, |node| cell(column.kind, node));
    let values = columns.iter().map(cell).collect();
    for (key, _) in entries(cells) {
        assert!(columns.iter().any(|column| column.name == key.name), "no column {}", key.name);
    }
    Row::new(names, values)
}

/// Cells of types that YAML lacks are written as text.
fn cell(kind: ColumnType, node: &Node) -> Value {
    let plain = value(node);
    let Some(text) = plain.as_text() else { return plain };
    match kind {
        ColumnType::Decimal => BigDecimal::from_str(text).expect("a decimal").into(),
        ColumnType::Float => Value::Float(text.parse().expect("a float")),
        ColumnType::Binary => Value::Bytes(text.as_bytes().into()),
        ColumnType::Timestamp => Value::Instant(instant(text)),
        ColumnType::LocalTimestamp => {
            Value::LocalTime(NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").expect("a local time"))
        }
        ColumnType::Date => Value::Date(NaiveDate::from_str(text).expect("a date")),
        ColumnType::Json => parse_json(text, false).expect("JSON"),
        ColumnType::Integer | ColumnType::Unsigned => Value::Int(text.parse().expect("an integer")),
        ColumnType::Boolean | ColumnType::Text | ColumnType::Any => plain,
    }
}

fn instant(text: &str) -> DateTime<Utc> {
    text.parse().expect("an instant")
}
