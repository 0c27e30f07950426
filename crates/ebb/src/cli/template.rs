//! `ebb template render`: templates without a project.

use std::io::{BufRead as _, Read as _, stdin};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use ebb_engine::SystemClock;
use ebb_row::{Clock as _, Object, Value, parse_json, write_json, write_json_string};
use ebb_template::{Language, Root, Template, TemplateError, Variables};

use super::Context;
use crate::exit::{Exit, Failure};
use crate::output::{Out, escape};

/// Works with templates.
#[derive(Debug, Args)]
pub(crate) struct TemplateArgs {
    #[command(subcommand)]
    command: TemplateCommand,
}

#[derive(Debug, Subcommand)]
enum TemplateCommand {
    /// Render a template.
    Render(RenderArgs),
}

/// Renders a template with variables of a JSON file.
#[derive(Debug, Args)]
struct RenderArgs {
    /// The template's file; stdin where none is named.
    #[arg(value_name = "FILE", conflicts_with = "batch")]
    file: Option<PathBuf>,
    /// Variables: a JSON object of names. Without `row` among them, the object is the row too.
    #[arg(long, value_name = "FILE", conflicts_with = "batch")]
    vars: Option<PathBuf>,
    /// The language.
    #[arg(long, value_name = "LANGUAGE", default_value = "liquid", value_parser = language)]
    language: Language,
    /// Print the result as JSON, its type kept.
    #[arg(long)]
    typed: bool,
    /// Read JSON lines `{"template", "data"}` from stdin, and answer each with a JSON line.
    #[arg(long)]
    batch: bool,
}

fn language(word: &str) -> Result<Language, String> {
    Language::from_word(word).ok_or_else(|| "it is `liquid` or `jinja`".to_owned())
}

/// The names that a template reads.
struct Names {
    value: Value,
    now: DateTime<Utc>,
}

impl Names {
    fn new(object: Object) -> Self {
        Self { value: Value::Object(object), now: SystemClock.now() }
    }
}

impl Variables for Names {
    fn root(&self, name: &str) -> Option<Root<'_>> {
        let object = self.value.as_object()?;
        if let Some(value) = object.get(name) {
            return Some(Root::Value(value));
        }
        let is_row = name == "row" && !object.contains_key("record") || name == "record" && !object.contains_key("row");
        is_row.then_some(Root::Value(&self.value))
    }

    fn now(&self) -> Option<DateTime<Utc>> {
        Some(self.now)
    }
}

pub(super) fn main(context: &Context, args: TemplateArgs) -> Result<Exit, Failure> {
    let TemplateCommand::Render(args) = args.command;
    context.is_json()?;
    let mut out = context.out();
    if args.batch {
        batch(&mut out, args.language, args.typed)?;
        out.finish()?;
        return Ok(Exit::Done);
    }
    let source = read(args.file.as_deref())?;
    let data = match &args.vars {
        Some(path) => variables(path)?,
        None => Object::default(),
    };
    let failed = |exit: Exit| {
        move |error: TemplateError| Failure::Message { exit, message: error.to_string(), hint: error.hint }
    };
    let template = Template::parse(&source, args.language).map_err(failed(Exit::Wrong))?;
    let data = Names::new(data);
    if args.typed || context.is_json()? {
        let value = template.render(&data).map_err(failed(Exit::Failed))?;
        let text = json(&value).map_err(Failure::failed)?;
        out.line(escape::json(&text));
    } else {
        out.text(&template.render_text(&data).map_err(failed(Exit::Failed))?);
    }
    out.finish()?;
    Ok(Exit::Done)
}

fn read(file: Option<&Path>) -> Result<String, Failure> {
    let Some(path) = file else {
        let mut text = String::new();
        stdin().read_to_string(&mut text).map_err(|error| Failure::file("stdin", error))?;
        return Ok(text);
    };
    std::fs::read_to_string(path).map_err(|error| Failure::file(path, error))
}

fn variables(path: &Path) -> Result<Object, Failure> {
    let text = read(Some(path))?;
    let wrong = |reason: String| Failure::usage(format!("{}: {reason}", path.display()));
    let value = parse_json(&text, false).map_err(|error| wrong(error.to_string()))?;
    let kind = value.kind();
    if let Value::Object(object) = value {
        return Ok(object);
    }
    Err(wrong(format!("variables are a JSON object, not a {kind}")))
}

fn json(value: &Value) -> Result<String, String> {
    let mut bytes = Vec::new();
    write_json(value, &mut bytes).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|error| error.to_string())
}

/// Answers lines until stdin ends or nobody reads.
fn batch(out: &mut Out, language: Language, is_typed: bool) -> Result<(), Failure> {
    for line in stdin().lock().lines() {
        let line = line.map_err(|error| Failure::file("stdin", error))?;
        if line.trim().is_empty() {
            continue;
        }
        let answer = match render_line(&line, language, is_typed) {
            Ok(text) => format!("{{\"ok\":true,\"{}\":{text}}}", if is_typed { "value" } else { "text" }),
            Err((message, line, column)) => {
                format!("{{\"ok\":false,\"error\":{},\"line\":{line},\"column\":{column}}}", quoted(&message))
            }
        };
        out.line(escape::json(&answer));
        out.flush();
        if out.is_closed() {
            break;
        }
    }
    Ok(())
}

/// Returns the result as JSON, or the message with its line and column in the template.
fn render_line(line: &str, language: Language, is_typed: bool) -> Result<String, (String, usize, usize)> {
    let wrong = |reason: String| (reason, 1, 1);
    let placed = |error: TemplateError| (error.message, error.line, error.column);
    let input = parse_json(line, false).map_err(|error| wrong(format!("this line of input is {error}")))?;
    let input = input.as_object().ok_or_else(|| wrong("this line of input is not a JSON object".to_owned()))?;
    let template = input.get("template").and_then(Value::as_text);
    let template = template.ok_or_else(|| wrong("this line of input has no `template`".to_owned()))?;
    let data = match input.get("data") {
        None | Some(Value::Null) => Object::default(),
        Some(Value::Object(object)) => object.clone(),
        Some(other) => return Err(wrong(format!("`data` is a {}, not an object", other.kind()))),
    };
    let template = Template::parse(template, language).map_err(placed)?;
    let data = Names::new(data);
    if is_typed {
        json(&template.render(&data).map_err(placed)?).map_err(wrong)
    } else {
        Ok(quoted(&template.render_text(&data).map_err(placed)?))
    }
}

fn quoted(text: &str) -> String {
    let mut bytes = Vec::new();
    write_json_string(text, &mut bytes);
    String::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_rendered_or_answered_with_the_place_of_the_fault() {
        let check = |line: &str, expected: Result<&str, (usize, usize)>| {
            let rendered = render_line(line, Language::Liquid, false);
            let rendered = rendered.map_err(|(_, line, column)| (line, column));
            assert_eq!(rendered.as_deref().map_err(|place| *place), expected, "{line}");
        };
        check(r#"{"template":"Hi {{ name | upcase }}","data":{"name":"ann"}}"#, Ok("\"Hi ANN\""));
        check(r#"{"template":"{{ row.name }}","data":{"name":"ann"}}"#, Ok("\"ann\""));
        check(r#"{"template":"{{ row.name }}","data":{"row":{"name":"ann"}}}"#, Ok("\"ann\""));
        check(r#"{"template":"a\n  {{ name | nope }}","data":{}}"#, Err((2, 3)));
        check("{}", Err((1, 1)));
        check("nonsense", Err((1, 1)));
    }

    #[test]
    fn a_typed_result_keeps_its_digits() {
        let line = r#"{"template":"{{ row.n }}","data":{"n":9007199254740993}}"#;
        assert_eq!(render_line(line, Language::Liquid, true).as_deref(), Ok("9007199254740993"));
    }
}
