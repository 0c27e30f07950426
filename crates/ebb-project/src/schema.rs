//! JSON Schemas (draft 2020-12) for editors, made from the tables of keys.

use ebb_row::ColumnType;
use serde_json::{Map, Value, json};

use crate::keys::{KeySpec, MODEL, SETTINGS, SYNC, Shape, Variant};

/// Returns the schemas by file name: `ebb.json` for `ebb.yaml`, `model.json` for models in YAML and for the headers of
/// SQL ones, `sync.json` for syncs.
pub fn schemas() -> Vec<(&'static str, Value)> {
    vec![
        ("ebb.json", document("ebb.yaml: sources, destinations and where state lives", SETTINGS)),
        ("model.json", document("A model: what to read", MODEL)),
        ("sync.json", document("A sync: where a model's rows go, and how", SYNC)),
    ]
}

fn document(title: &str, keys: &[KeySpec]) -> Value {
    let Value::Object(body) = section(keys, false) else { return Value::Null };
    let mut schema = Map::new();
    schema.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    schema.insert("title".to_owned(), json!(title));
    schema.extend(body);
    schema.insert("$defs".to_owned(), json!({ "value": mapping_value(), "directive": directive() }));
    Value::Object(schema)
}

/// A map with these keys; `has_variables` where texts may be filled in from the environment.
fn section(keys: &[KeySpec], has_variables: bool) -> Value {
    let known = || keys.iter().filter(|spec| !matches!(spec.shape, Shape::Later));
    let properties: Map<String, Value> =
        known().map(|spec| (spec.name.to_owned(), described(spec, has_variables))).collect();
    let required: Vec<&str> = known().filter(|spec| spec.required).map(|spec| spec.name).collect();
    let mut section = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if !required.is_empty()
        && let Some(section) = section.as_object_mut()
    {
        section.insert("required".to_owned(), json!(required));
    }
    section
}

fn described(spec: &KeySpec, has_variables: bool) -> Value {
    let has_variables = has_variables || matches!(spec.name, "sources" | "destinations" | "state");
    let mut schema = shape(&spec.shape, has_variables);
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("description".to_owned(), json!(spec.help));
    }
    schema
}

fn shape(shape: &Shape, has_variables: bool) -> Value {
    let schema = match shape {
        Shape::Text | Shape::Secret | Shape::Cron | Shape::TimeZone => {
            return json!({ "type": "string", "minLength": 1 });
        }
        Shape::Section(keys) => return section(keys, has_variables),
        Shape::WordsOr(words, keys) => return json!({ "anyOf": [{ "enum": words }, section(keys, has_variables)] }),
        Shape::Named(inner) => return named(inner, has_variables),
        Shape::Typed(variants, _) => return typed(variants, has_variables),
        Shape::Texts => {
            return json!({ "anyOf": [
                { "type": "string", "minLength": 1 },
                { "type": "array", "items": { "type": "string", "minLength": 1 }, "minItems": 1, "uniqueItems": true }
            ] });
        }
        Shape::Columns => {
            let words: Vec<&str> = ColumnType::ALL.into_iter().map(ColumnType::word).collect();
            return json!({ "anyOf": [
                { "type": "array", "items": { "type": "string", "minLength": 1 }, "minItems": 1, "uniqueItems": true },
                { "type": "object", "additionalProperties": { "enum": words }, "minProperties": 1 }
            ] });
        }
        Shape::Fields => {
            return json!({ "type": "object", "minProperties": 1, "additionalProperties": { "$ref": "#/$defs/value" } });
        }
        Shape::Match => {
            return json!({ "type": "object", "minProperties": 1, "maxProperties": 1,
                "additionalProperties": { "$ref": "#/$defs/value" } });
        }
        Shape::Later => return json!(false),
        Shape::Words(words) => json!({ "enum": words }),
        Shape::Integer(lowest, highest) => json!({ "type": "integer", "minimum": lowest, "maximum": highest }),
        Shape::Boolean => json!({ "type": "boolean" }),
        Shape::Url => json!({ "type": "string", "pattern": "^https?://" }),
        Shape::Duration(..) => json!({ "type": "string", "pattern": "^[0-9]+ ?(ms|s|m|min|h|d|w)$" }),
        Shape::Percent => json!({ "type": "string", "pattern": "^[0-9]{1,3} ?%$" }),
        Shape::Limit => {
            json!({ "anyOf": [{ "type": "integer", "minimum": 0 }, { "type": "string", "pattern": "^[0-9]{1,3} ?%$" }] })
        }
        Shape::Size => json!({ "type": "string", "pattern": "^[0-9]+ ?(B|KiB|MiB)$" }),
        Shape::Uuid => json!({ "type": "string", "format": "uuid", "pattern": "^[0-9a-fA-F-]{32,36}$" }),
    };
    if has_variables { json!({ "anyOf": [schema, { "type": "string", "pattern": "\\$\\{" }] }) } else { schema }
}

fn named(inner: &Shape, has_variables: bool) -> Value {
    json!({
        "type": ["object", "null"],
        "propertyNames": { "pattern": "^[A-Za-z0-9_][A-Za-z0-9_-]{0,99}$" },
        "additionalProperties": shape(inner, has_variables)
    })
}

fn typed(variants: &[Variant], has_variables: bool) -> Value {
    let one = |variant: &Variant| {
        let mut schema = section(variant.keys, has_variables);
        if let Some(schema) = schema.as_object_mut() {
            let kind = json!({ "enum": variant.words, "description": "What kind it is." });
            if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
                properties.insert("type".to_owned(), kind);
            }
            match schema.get_mut("required").and_then(Value::as_array_mut) {
                Some(required) => required.push(json!("type")),
                None => drop(schema.insert("required".to_owned(), json!(["type"]))),
            }
        }
        schema
    };
    match variants {
        [only] => one(only),
        several => json!({ "oneOf": several.iter().map(one).collect::<Vec<_>>() }),
    }
}

/// A mapping value: a column, a template, a literal, or more of them.
fn mapping_value() -> Value {
    let directives = ["$value", "$column", "$template", "$lookup"];
    let is_directive: Vec<Value> = directives.iter().map(|name| json!({ "required": [name] })).collect();
    json!({
        "description": "A column's name, a template, a literal, a directive, an object or a list of these.",
        "anyOf": [
            { "type": ["string", "number", "boolean", "null"] },
            { "type": "array", "items": { "$ref": "#/$defs/value" } },
            {
                "type": "object",
                "if": { "anyOf": is_directive },
                "then": { "$ref": "#/$defs/directive" },
                "else": {
                    "properties": { "$columns": {
                        "description": "Merges the model's other columns into the object.",
                        "type": "object",
                        "properties": {
                            "except": { "type": "array", "items": { "type": "string" } },
                            "only": { "type": "array", "items": { "type": "string" } }
                        }
                    } },
                    "additionalProperties": { "$ref": "#/$defs/value" }
                }
            }
        ]
    })
}

fn directive() -> Value {
    json!({
        "type": "object",
        "properties": {
            "$value": { "description": "A literal." },
            "$column": { "type": "string", "description": "A column, whatever its name looks like." },
            "$template": { "type": "string", "description": "A template." },
            "$lookup": { "type": "string", "description": "The destination's own id of this object, by your id of it." },
            "externalId": { "$ref": "#/$defs/value" },
            "default": { "description": "What stands for a null." },
            "nulls": { "enum": ["send", "omit"], "description": "What a null does." },
            "type": {
                "enum": ["text", "integer", "number", "boolean", "timestamp", "date", "json", "json_text", "list"],
                "description": "What the value is read as."
            },
            "language": { "enum": ["liquid", "jinja"], "description": "The template's language." },
            "as": {
                "enum": ["text", "json"],
                "description": "What the result is: always text, or the JSON value that the text is."
            }
        },
        "additionalProperties": false
    })
}
