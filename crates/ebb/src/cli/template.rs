//! `ebb template render`: templates without a project.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufRead, IsTerminal as _, Read as _, stdin};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use ebb_engine::SystemClock;
use ebb_row::{Clock as _, Object, Row, Value, parse_json, write_json, write_json_string};
use ebb_template::{Form, Language, Root, Template, TemplateError, Variables};

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
    /// What the result is: `text` always, or the `json` value that the text is, printed as JSON.
    #[arg(long = "as", value_name = "FORM", value_parser = form)]
    form: Option<Form>,
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

fn form(word: &str) -> Result<Form, String> {
    let form = Form::from_word(word).filter(|form| *form != Form::Value);
    form.ok_or_else(|| "it is `text` or `json`".to_owned())
}

/// Bytes of a template that are read; the language itself takes 64 KiB.
const TEMPLATE_BYTES: u64 = 1 << 20;

/// Bytes of a file of variables, or of a line of input.
const VARIABLES_BYTES: u64 = 16 << 20;

/// The names that a template reads.
struct Names {
    object: Object,
    /// What `row` stands for, as in a run: the object of that name, else all of them.
    row: Option<Row>,
    now: DateTime<Utc>,
}

impl Names {
    fn new(object: Object) -> Self {
        let row = match object.get("row").or_else(|| object.get("record")) {
            Some(row) => row.as_object(),
            None => Some(&object),
        };
        let row = row.map(|row| Row::new(row.keys().cloned().collect(), row.values().cloned().collect()));
        Self { object, row, now: SystemClock.now() }
    }
}

impl Variables for Names {
    fn root(&self, name: &str) -> Option<Root<'_>> {
        if let (Some(row), "row" | "record") = (&self.row, name) {
            return Some(Root::Row(row));
        }
        self.object.get(name).map(Root::Value)
    }

    fn now(&self) -> Option<DateTime<Utc>> {
        Some(self.now)
    }
}

pub(super) fn main(context: &Context, args: TemplateArgs) -> Result<Exit, Failure> {
    let TemplateCommand::Render(args) = args.command;
    let asked = Asked {
        language: args.language,
        form: args.form.unwrap_or_default(),
        is_typed: args.typed || args.form == Some(Form::Json) || context.is_json()?,
    };
    let mut out = context.out();
    if args.batch {
        batch(&mut out, &mut stdin().lock(), asked)?;
        out.finish()?;
        return Ok(Exit::Done);
    }
    if args.file.is_none() && stdin().is_terminal() {
        context.notes().say("reading the template from the terminal; Ctrl-D ends it");
    }
    let source = read(args.file.as_deref(), TEMPLATE_BYTES)?;
    let data = match &args.vars {
        Some(path) => variables(path)?,
        None => Object::default(),
    };
    let failed = |exit: Exit| {
        move |error: TemplateError| Failure::Message { exit, message: error.to_string(), hint: error.hint }
    };
    let template = asked.parse(&source).map_err(failed(Exit::Wrong))?;
    let data = Names::new(data);
    if asked.is_typed {
        let value = template.render(&data).map_err(failed(Exit::Failed))?;
        let text = json(&value).map_err(Failure::failed)?;
        out.line(escape::json(&text));
    } else {
        out.text(&template.render_text(&data).map_err(failed(Exit::Failed))?);
    }
    out.finish()?;
    Ok(Exit::Done)
}

/// How templates are rendered.
#[derive(Clone, Copy, Debug)]
struct Asked {
    language: Language,
    form: Form,
    /// The result is printed as JSON, its type kept.
    is_typed: bool,
}

impl Asked {
    fn parse(self, source: &str) -> Result<Template, TemplateError> {
        let template = Template::parse_as(source, self.language, self.form)?;
        // Any name may come with the variables; what else is known to be wrong is told before they are looked at.
        match template.check(&ebb_template::Names::default()).into_iter().next() {
            Some(error) => Err(error),
            None => Ok(template),
        }
    }
}

/// Reads a file, or stdin where none is named; it is UTF-8, of this many bytes at most.
fn read(file: Option<&Path>, most: u64) -> Result<String, Failure> {
    let name = file.map_or_else(|| "stdin".to_owned(), |path| path.display().to_string());
    let wrong = |reason: &dyn Display| Failure::usage(format!("{name}: {reason}"));
    let mut bytes = Vec::new();
    let read = match file {
        Some(path) => File::open(path).and_then(|file| file.take(most + 1).read_to_end(&mut bytes)),
        None => stdin().lock().take(most + 1).read_to_end(&mut bytes),
    };
    read.map_err(|error| wrong(&error))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > most {
        return Err(wrong(&format_args!("it is longer than {} KiB, the most that is read", most >> 10)));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        wrong(&format_args!("it is not UTF-8 at byte {valid}"))
    })
}

fn variables(path: &Path) -> Result<Object, Failure> {
    let text = read(Some(path), VARIABLES_BYTES)?;
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

/// Answers each line with a line, until the input ends or nobody reads.
fn batch(out: &mut Out, input: &mut dyn BufRead, asked: Asked) -> Result<(), Failure> {
    while let Some(line) = next_line(input).map_err(|error| Failure::file("stdin", error))? {
        let rendered = line.and_then(|line| render_line(&line, asked));
        let answer = match rendered {
            Ok(text) => format!("{{\"ok\":true,\"{}\":{text}}}", if asked.is_typed { "value" } else { "text" }),
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

/// What is wrong with a line of input, with the line and column in its template.
type Wrong = (String, usize, usize);

/// Returns the next line, or what keeps it from being one; `None` at the end. A line that is too long is passed over.
fn next_line(input: &mut dyn BufRead) -> io::Result<Option<Result<String, Wrong>>> {
    let mut bytes = Vec::new();
    if (&mut *input).take(VARIABLES_BYTES).read_until(b'\n', &mut bytes)? == 0 {
        return Ok(None);
    }
    let is_cut = bytes.last() != Some(&b'\n') && u64::try_from(bytes.len()).is_ok_and(|read| read == VARIABLES_BYTES);
    if is_cut && input.skip_until(b'\n')? > 0 {
        let message = format!("this line of input is longer than {} KiB", VARIABLES_BYTES >> 10);
        return Ok(Some(Err((message, 1, 1))));
    }
    let line = String::from_utf8(bytes).map_err(|_| ("this line of input is not UTF-8".to_owned(), 1, 1));
    Ok(Some(line))
}

/// Returns the result as JSON, or the message with its line and column in the template.
fn render_line(line: &str, asked: Asked) -> Result<String, Wrong> {
    let wrong = |reason: String| (reason, 1, 1);
    let placed = |error: TemplateError| (error.message, error.line, error.column);
    if line.trim().is_empty() {
        return Err(wrong("this line of input is empty".to_owned()));
    }
    let input = parse_json(line, false).map_err(|error| wrong(format!("this line of input is {error}")))?;
    let input = input.as_object().ok_or_else(|| wrong("this line of input is not a JSON object".to_owned()))?;
    let template = input.get("template").and_then(Value::as_text);
    let template = template.ok_or_else(|| wrong("this line of input has no `template`".to_owned()))?;
    let data = match input.get("data") {
        None | Some(Value::Null) => Object::default(),
        Some(Value::Object(object)) => object.clone(),
        Some(other) => return Err(wrong(format!("`data` is a {}, not an object", other.kind()))),
    };
    let template = asked.parse(template).map_err(placed)?;
    let data = Names::new(data);
    if asked.is_typed {
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

    const TEXT: Asked = Asked { language: Language::Liquid, form: Form::Value, is_typed: false };
    const TYPED: Asked = Asked { is_typed: true, ..TEXT };

    #[test]
    fn lines_are_rendered_or_answered_with_the_place_of_the_fault() {
        let check = |line: &str, expected: Result<&str, (usize, usize)>| {
            let rendered = render_line(line, TEXT);
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
    fn every_line_is_read_whatever_it_holds() {
        let mut input: &[u8] = b"a\n\n\xff\nb";
        let mut lines = Vec::new();
        while let Some(line) = next_line(&mut input).unwrap() {
            lines.push(line.map_err(|(message, ..)| message));
        }
        let wrong = Err("this line of input is not UTF-8".to_owned());
        assert_eq!(lines, [Ok("a\n".to_owned()), Ok("\n".to_owned()), wrong, Ok("b".to_owned())]);
        let long = [vec![b'x'; usize::try_from(VARIABLES_BYTES).unwrap() + 5], b"\nb\n".to_vec()].concat();
        let mut input = long.as_slice();
        assert!(next_line(&mut input).unwrap().is_some_and(|line| line.is_err()));
        assert_eq!(next_line(&mut input).unwrap(), Some(Ok("b\n".to_owned())));
        assert_eq!(next_line(&mut input).unwrap(), None);
    }

    #[test]
    fn a_typed_result_keeps_its_digits() {
        let line = r#"{"template":"{{ row.n }}","data":{"n":9007199254740993}}"#;
        assert_eq!(render_line(line, TYPED).as_deref(), Ok("9007199254740993"));
    }
}
