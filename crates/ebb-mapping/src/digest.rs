//! The digest of what a mapping does.

use ebb_row::{FieldType, Hash128, Nulls, Value, write_json};
use ebb_template::Form;

use crate::rule::{Accepts, ColumnChoice, ColumnsRule, KeyRule, ObjectRule, Origin, Rule, TemplateRule};

/// Changes whenever the same mapping text comes to mean something else.
const VERSION: &str = "ebb mapping 1";

/// Returns the digest of a mapping, independent of the order of fields.
pub(crate) fn digest(root: &ObjectRule) -> Hash128 {
    let mut out = Vec::new();
    text(VERSION, &mut out);
    object(root, &mut out);
    Hash128::of(&out)
}

/// Returns whether two rules do the same.
pub(crate) fn same(left: &Rule, right: &Rule) -> bool {
    let (mut left_bytes, mut right_bytes) = (Vec::new(), Vec::new());
    rule(left, &mut left_bytes);
    rule(right, &mut right_bytes);
    left_bytes == right_bytes
}

/// Every text is preceded by its length, so that no two mappings run into one another.
fn text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(text.len().to_string().as_bytes());
    out.push(b':');
    out.extend_from_slice(text.as_bytes());
}

fn value(value: &Value, out: &mut Vec<u8>) {
    let mut json = Vec::new();
    // Literals were checked to be JSON when they were compiled; one that is not still gets a stable mark.
    if write_json(value, &mut json).is_err() {
        json.push(b'!');
    }
    out.extend_from_slice(json.len().to_string().as_bytes());
    out.push(b':');
    out.extend_from_slice(&json);
}

fn object(object: &ObjectRule, out: &mut Vec<u8>) {
    let mut fields: Vec<Vec<u8>> = object
        .fields
        .iter()
        .map(|field| {
            let mut bytes = Vec::new();
            match &field.key {
                KeyRule::Name(name) => {
                    bytes.push(b'n');
                    text(name, &mut bytes);
                }
                KeyRule::Template { template: key, .. } => {
                    bytes.push(b't');
                    template(key, &mut bytes);
                }
            }
            rule(&field.rule, &mut bytes);
            bytes
        })
        .collect();
    fields.sort_unstable();
    out.push(b'{');
    for field in fields {
        out.extend_from_slice(&field);
    }
    if let Some(rule) = &object.columns {
        columns(rule, out);
    }
    out.push(b'}');
}

fn columns(rule: &ColumnsRule, out: &mut Vec<u8>) {
    out.push(match &rule.choice {
        ColumnChoice::Except(_) => b'e',
        ColumnChoice::Only(_) => b'o',
    });
    out.push(nulls(rule.nulls));
    let mut names: Vec<&str> = rule.choice.names().iter().map(|(name, _)| &**name).collect();
    names.sort_unstable();
    for name in names {
        text(name, out);
    }
}

fn rule(rule: &Rule, out: &mut Vec<u8>) {
    out.push(match rule.accepts {
        Accepts::Json => b'j',
        Accepts::ExternalId => b'x',
        Accepts::Field(FieldType::Text) => b't',
        Accepts::Field(FieldType::Id) => b'i',
        Accepts::Field(FieldType::Ids) => b'l',
        Accepts::Field(FieldType::Boolean) => b'b',
        Accepts::Field(FieldType::Timestamp) => b's',
        Accepts::Field(FieldType::Object) => b'o',
    });
    out.push(nulls(rule.nulls));
    text(rule.convert.map_or("", |kind| kind.word()), out);
    match &rule.default {
        Some(default) => value(default, out),
        None => out.push(b'-'),
    }
    match &rule.origin {
        Origin::Literal(literal) => {
            out.push(b'v');
            value(literal, out);
        }
        Origin::Column(column) => {
            out.push(b'c');
            text(&column.name, out);
        }
        Origin::Template(rule) => template(rule, out),
        Origin::Lookup { object, external_id } => {
            out.push(b'k');
            text(object, out);
            self::rule(external_id, out);
        }
        Origin::List(items) => {
            out.push(b'[');
            for item in items {
                self::rule(item, out);
            }
            out.push(b']');
        }
        Origin::Object(fields) => object(fields, out),
    }
}

fn template(rule: &TemplateRule, out: &mut Vec<u8>) {
    out.push(match rule.template.form() {
        Form::Value => b'E',
        Form::Text => b'T',
        Form::Json => b'J',
    });
    text(rule.language.word(), out);
    text(&rule.source, out);
}

fn nulls(nulls: Nulls) -> u8 {
    match nulls {
        Nulls::Send => b's',
        Nulls::Omit => b'o',
    }
}
