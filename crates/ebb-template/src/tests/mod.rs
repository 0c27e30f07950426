//! Templates in, values and errors out.

mod bodies;
mod cases;
mod documentation;
mod hostile;
mod jinja;
mod laws;
mod limits;
mod names;
mod values;

use chrono::{DateTime, TimeZone, Utc};
use ebb_row::{Row, Value, parse_json, write_json};

use crate::{Form, Language, Root, Template, TemplateError, Variables};

/// A row made of a JSON object, and the context of a run.
pub(super) struct World {
    pub(super) row: Row,
    pub(super) context: Value,
    pub(super) now: Option<DateTime<Utc>>,
}

impl Variables for World {
    fn root(&self, name: &str) -> Option<Root<'_>> {
        match name {
            "row" => Some(Root::Row(&self.row)),
            "context" => Some(Root::Value(&self.context)),
            _ => None,
        }
    }

    fn now(&self) -> Option<DateTime<Utc>> {
        self.now
    }
}

/// Makes a row of a JSON object.
pub(super) fn row(json: &str) -> Row {
    let Ok(Value::Object(object)) = parse_json(json, false) else { panic!("not an object: {json}") };
    Row::new(object.keys().cloned().collect(), object.values().cloned().collect())
}

/// Makes the variables of a run at 2024-03-05 06:07:08 UTC.
pub(super) fn world(json: &str) -> World {
    let context = r#"{"sync":"accounts","run_id":"r1","run_time":"2024-03-05T06:07:08.000Z"}"#;
    World {
        row: row(json),
        context: parse_json(context, false).expect("valid"),
        now: Utc.with_ymd_and_hms(2024, 3, 5, 6, 7, 8).single(),
    }
}

/// Makes a world of a row of values.
pub(super) fn world_of(cells: &[(&str, Value)]) -> World {
    let names = cells.iter().map(|(name, _)| (*name).into()).collect();
    World { row: Row::new(names, cells.iter().map(|(_, value)| value.clone()).collect()), ..world("{}") }
}

pub(super) fn liquid(source: &str) -> Template {
    Template::parse(source, Language::Liquid).unwrap_or_else(|error| panic!("{source}: {error}"))
}

/// Returns the typed result as JSON, or the error with its hint.
pub(super) fn outcome(source: &str, language: Language, world: &World) -> String {
    outcome_as(source, language, Form::Value, world)
}

/// Returns the text, or the error with its hint.
pub(super) fn text_outcome(source: &str, language: Language, world: &World) -> String {
    outcome_as(source, language, Form::Text, world)
}

/// Returns a text as it is and any other result as JSON, or the error with its hint.
pub(super) fn outcome_as(source: &str, language: Language, form: Form, world: &World) -> String {
    let rendered = Template::parse_as(source, language, form).and_then(|template| {
        if form == Form::Text { template.render_text(world) } else { template.render(world).map(|value| json(&value)) }
    });
    rendered.unwrap_or_else(|error| format!("error: {}", shown(&error)))
}

pub(super) fn shown(error: &TemplateError) -> String {
    error.hint.as_ref().map_or_else(|| error.to_string(), |hint| format!("{error}\nhint: {hint}"))
}

pub(super) fn json(value: &Value) -> String {
    let mut out = Vec::new();
    write_json(value, &mut out).expect("a JSON value");
    String::from_utf8(out).expect("UTF-8")
}
