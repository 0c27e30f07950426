//! One input: a template, a line `---`, and the JSON object that is its row. What must hold of it, whatever it is.
//!
//! The fuzz targets run this with bounds on memory and time, and `crates/ebb-template/tests/corpus.rs` on every build.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, TimeZone as _, Utc};
use ebb_row::{Row, Value, parse_json, write_json};
use ebb_template::{Form, Language, Names, Root, Template, TemplateError, Variables};

/// Parts the template from its row.
pub(crate) const SEPARATOR: &str = "\n---\n";
/// The most bytes of output.
const OUTPUT_BYTES: usize = 1024 * 1024;
/// What stands in cells, and in no error.
const MARKER: &str = "canary7f3a";
/// The row of an input that has none of its own.
const ROW: &str = r#"{"n":7,"f":2.5,"d":12.50,"big":170141183460469231731687303715884105727,"none":null,"yes":true,"s":" Ada King ",
"at":"2024-07-01T10:00:00Z","tags":["a","b",null,"c"],"list":[{"id":1,"paid":true},{"id":2,"paid":false}],
"object":{"x":1,"y":{"z":[1,[2,3]]}},"json":"{\"a\":[1,\"b\"]}","empty":"","csv":"a,b,,c"}"#;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Reading the template, and asking what it reads.
    Parse,
    /// One render.
    Render,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Parse => "parsing",
            Self::Render => "a render",
        })
    }
}

/// Runs a step and judges what it used.
pub(crate) type Measure<'a> = &'a mut dyn FnMut(Step, &mut dyn FnMut());

struct World {
    row: Row,
    context: Value,
    now: Option<DateTime<Utc>>,
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

/// Makes the row of a JSON object, or the one that stands in, with the marker in cells of its own.
fn world(json: &str) -> World {
    let given = parse_json(json, false).ok();
    let own = || parse_json(ROW, false).expect("the row is JSON");
    let Value::Object(mut cells) = given.filter(|value| value.as_object().is_some()).unwrap_or_else(own) else {
        unreachable!("both are objects");
    };
    let marked = parse_json(&format!(r#"["{MARKER}",{{"key":"{MARKER}"}}]"#), false).expect("the marker is JSON");
    cells.insert(Arc::from("secret"), Value::from(MARKER));
    cells.insert(Arc::from("secrets"), marked);
    World {
        row: Row::new(cells.keys().cloned().collect(), cells.values().cloned().collect()),
        context: parse_json(r#"{"sync":"accounts","run_id":"r1"}"#, false).expect("the context is JSON"),
        now: Utc.with_ymd_and_hms(2024, 3, 5, 6, 7, 8).single(),
    }
}

/// Parses and renders one input and checks what must hold of every one.
pub(crate) fn check(bytes: &[u8], language: Language, measure: Measure<'_>) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (source, json) = text.split_once(SEPARATOR).unwrap_or((text, ""));
    let world = world(json);
    let columns: Vec<&str> = world.row.names().iter().map(AsRef::as_ref).collect();
    for form in [Form::Value, Form::Text, Form::Json] {
        let mut parsed = None;
        measure(Step::Parse, &mut || {
            let template = Template::parse_as(source, language, form);
            if let Ok(template) = &template {
                for error in template.check(&Names { columns: Some(&columns), roots: Some(&["context"]) }) {
                    check_error(&error, source);
                }
                template.reads();
                template.lone_column();
            }
            parsed = Some(template);
        });
        match parsed.expect("the step ran") {
            Ok(template) => check_renders(&template, source, &world, measure),
            Err(error) => check_error(&error, source),
        }
    }
}

fn check_renders(template: &Template, source: &str, world: &World, measure: Measure<'_>) {
    let (mut values, mut texts) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        measure(Step::Render, &mut || {
            let value = template.render(world).map(|value| {
                let mut json = Vec::new();
                let written = write_json(&value, &mut json);
                (value, written.map(|()| json))
            });
            values.push(value);
        });
        if template.form() != Form::Text {
            measure(Step::Render, &mut || texts.push(template.render_text(world)));
        }
    }
    assert_eq!(values.first(), values.last(), "two renders differ");
    assert_eq!(texts.first(), texts.last(), "two renders differ");
    for error in values.iter().filter_map(|result| result.as_ref().err()) {
        check_error(error, source);
    }
    for text in &texts {
        match text {
            Ok(text) => assert!(text.len() <= OUTPUT_BYTES, "a text of {} bytes", text.len()),
            Err(error) => check_error(error, source),
        }
    }
}

/// An error lies within the template and holds no cell.
fn check_error(error: &TemplateError, source: &str) {
    let line = source.split('\n').nth(error.line.wrapping_sub(1));
    let width = line.map(|line| line.chars().count() + 1);
    assert!(width.is_some_and(|width| (1..=width).contains(&error.column)), "an error lies outside: {error}");
    if !source.to_lowercase().contains(MARKER) {
        let text = format!("{error} {}", error.hint.as_deref().unwrap_or_default()).to_lowercase();
        assert!(!text.contains(MARKER), "an error holds a cell: {error}");
    }
}
