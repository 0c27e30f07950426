//! `ebb docs`: reference pages that need no network.

use std::sync::Arc;

use clap::{Args, Subcommand};
use ebb_row::{Object, Value, parse_json};
use ebb_template::{Filter, Language, Template, filters};

use super::Context;
use crate::exit::{Exit, Failure};
use crate::output::table::width;
use crate::output::value::json_text;
use crate::output::{Out, escape};

/// Columns of a terminal that a page fits into.
const COLUMNS: usize = 80;

/// Shows reference pages; without a page, lists them.
#[derive(Debug, Args)]
pub(crate) struct DocsArgs {
    #[command(subcommand)]
    page: Option<Page>,
}

#[derive(Debug, Subcommand)]
enum Page {
    /// Every filter of templates: its arguments, its meaning, an example.
    Filters(FiltersArgs),
}

/// Shows the filters of templates, or one of them.
#[derive(Debug, Args)]
struct FiltersArgs {
    /// The filter; all of them where none is named.
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

/// The pages as `ebb docs` lists them: how each is asked for, and what it holds.
const PAGES: [(&str, &str); 1] = [("filters [NAME]", "every filter of templates: arguments, meaning, example")];

pub(super) fn main(context: &Context, args: DocsArgs) -> Result<Exit, Failure> {
    let is_json = context.is_json()?;
    let mut out = context.out();
    match args.page {
        None if is_json => out.line(json_text(&Value::List(PAGES.iter().map(page_object).collect()))),
        None => {
            for (page, about) in PAGES {
                out.line(format_args!("{}  {about}", out.paint.strong(&format!("ebb docs {page}"))));
            }
        }
        Some(Page::Filters(args)) => {
            let shown = match &args.name {
                Some(name) => std::slice::from_ref(find(name)?),
                None => filters(),
            };
            if is_json {
                let list = Value::List(shown.iter().map(filter_object).collect());
                out.line(escape::json(&json_text(&list)));
            } else {
                filters_page(&mut out, shown, args.name.is_none());
            }
        }
    }
    out.finish()?;
    Ok(Exit::Done)
}

fn find(name: &str) -> Result<&'static Filter, Failure> {
    if let Some(filter) = filters().iter().find(|filter| filter.name == name) {
        return Ok(filter);
    }
    let failure = Failure::usage(format!("there is no filter `{}`", escape::terminal(name)));
    // The parser knows best what was meant, and what stands for a filter that others have.
    let is_word = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let error = is_word.then(|| Template::parse(&format!("{{{{ row | {name} }}}}"), Language::Liquid).err()).flatten();
    let hint = error.and_then(|error| error.hint).unwrap_or_else(|| "`ebb docs filters` lists them".to_owned());
    Err(failure.hint(hint))
}

fn filters_page(out: &mut Out, shown: &[Filter], is_whole: bool) {
    for (index, filter) in shown.iter().enumerate() {
        if index > 0 {
            out.line("");
        }
        let parameters = if filter.parameters.is_empty() { "" } else { ": " };
        out.line(format_args!("{}{parameters}{}", out.paint.strong(filter.name), filter.parameters));
        for line in filter_lines(filter) {
            out.line(line);
        }
    }
    if is_whole {
        out.line("");
        for line in wrapped(
            "Filters chain: {{ row.a | strip | upcase }}. In Jinja arguments stand in parentheses, truncate(8), and a \
             filter that Jinja has itself is Jinja's.",
            "",
        ) {
            out.line(line);
        }
    }
}

/// Returns what stands under a filter's name.
fn filter_lines(filter: &Filter) -> Vec<String> {
    let example = filter.example;
    let mut lines = wrapped(filter.meaning, "  ");
    lines.extend(wrapped(example.template, "    "));
    let outcome = format!("    {} → {}", example.data, example.result);
    if width(&outcome) <= COLUMNS {
        lines.push(outcome);
    } else {
        lines.extend(wrapped(example.data, "    "));
        lines.extend(wrapped(&format!("→ {}", example.result), "    "));
    }
    lines
}

/// Returns text in lines that fit a terminal; what has no blank where it must break is broken anywhere.
fn wrapped(text: &str, indent: &str) -> Vec<String> {
    let room = COLUMNS - indent.len();
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        if !line.is_empty() && width(&line) + 1 + width(word) > room {
            lines.push(format!("{indent}{line}"));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        for character in word.chars() {
            if width(&line) >= room {
                lines.push(format!("{indent}{line}"));
                line.clear();
            }
            line.push(character);
        }
    }
    lines.push(format!("{indent}{line}"));
    lines
}

fn page_object((page, about): &(&str, &str)) -> Value {
    object([("page", Value::from(*page)), ("meaning", Value::from(*about))])
}

fn filter_object(filter: &Filter) -> Value {
    let example = filter.example;
    // The examples are JSON; their own test would have said so otherwise.
    let json = |text: &str| parse_json(text, false).unwrap_or_else(|_| Value::from(text));
    let example =
        [("template", Value::from(example.template)), ("data", json(example.data)), ("result", json(example.result))];
    object([
        ("name", Value::from(filter.name)),
        ("parameters", Value::from(filter.parameters)),
        ("meaning", Value::from(filter.meaning)),
        ("example", object(example)),
    ])
}

fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Object(fields.into_iter().map(|(name, value)| (Arc::from(name), value)).collect::<Object>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_breaks_at_blanks_and_only_then_anywhere() {
        let lines = wrapped(&"word ".repeat(40), "  ");
        assert!(lines.len() > 2 && lines.iter().all(|line| width(line) <= COLUMNS), "{lines:?}");
        assert!(lines.iter().all(|line| line.starts_with("  word") || line.trim().is_empty()), "{lines:?}");
        let lines = wrapped(&"x".repeat(100), "    ");
        assert_eq!(lines.iter().map(|line| width(line)).collect::<Vec<_>>(), [80, 28]);
    }

    #[test]
    fn every_page_that_can_be_asked_for_is_listed() {
        use clap::CommandFactory as _;
        let cli = super::super::Cli::command();
        let docs = cli.get_subcommands().find(|command| command.get_name() == "docs").unwrap();
        let pages: Vec<&str> = docs.get_subcommands().map(clap::Command::get_name).collect();
        let listed: Vec<&str> = PAGES.iter().filter_map(|(page, _)| page.split(' ').next()).collect();
        assert_eq!(pages, listed);
    }
}
