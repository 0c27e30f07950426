//! The one table of every key, as Markdown.

use std::fmt::Write;

use crate::keys::{KeySpec, MODEL, SETTINGS, SYNC, Shape, Variant, shown_list};
use crate::units::duration_text;

/// Returns the Markdown of `docs/surface.md` between its marks: a table for each section of each file, from the same
/// tables that the readers use.
pub fn surface() -> String {
    let mut out = String::new();
    section(&mut out, "`ebb.yaml`", SETTINGS);
    section(&mut out, "A model: `models/*.sql` (its leading comment) and `models/*.yaml`", MODEL);
    section(&mut out, "A sync: `syncs/*.yaml`", SYNC);
    out
}

fn section(out: &mut String, title: &str, keys: &[KeySpec]) {
    let mut nested = Vec::new();
    line(out, &format!("### {title}\n\n| key | takes | meaning |\n|---|---|---|"));
    for spec in keys.iter().filter(|spec| !matches!(spec.shape, Shape::Later)) {
        let mark = if spec.required { " (required)" } else { "" };
        line(out, &format!("| `{}`{mark} | {} | {} |", spec.name, takes(&spec.shape), spec.help));
        nested.extend(sections_of(spec.name, &spec.shape));
    }
    let later: Vec<&str> =
        keys.iter().filter(|spec| matches!(spec.shape, Shape::Later)).map(|spec| spec.name).collect();
    if !later.is_empty() {
        line(out, &format!("\nKept for later versions, and refused by this one: {}.", shown_list(later, "and")));
    }
    line(out, "");
    for (title, keys) in nested {
        section(out, &title, keys);
    }
}

/// Returns the sections below a key.
fn sections_of(name: &str, shape: &Shape) -> Vec<(String, &'static [KeySpec])> {
    if let Shape::Section(keys) | Shape::WordsOr(_, keys) = shape {
        return vec![(format!("`{name}`"), *keys)];
    }
    if let Shape::Named(Shape::Typed(variants, _)) = shape {
        return variants.iter().map(|variant| typed(name, variant)).collect();
    }
    Vec::new()
}

fn typed(name: &str, variant: &Variant) -> (String, &'static [KeySpec]) {
    let words = shown_list(variant.words.iter().copied(), "or");
    (format!("`{name}.NAME` of `type` {words}"), variant.keys)
}

fn takes(shape: &Shape) -> String {
    match shape {
        Shape::Text => "text".to_owned(),
        Shape::Secret => "text, never shown".to_owned(),
        Shape::Url => "URL".to_owned(),
        Shape::Words(words) => shown_list(words.iter().copied(), "or"),
        Shape::Integer(lowest, highest) if lowest == highest => format!("`{lowest}`"),
        Shape::Integer(lowest, highest) => format!("{lowest} to {highest}"),
        Shape::Boolean => "`true` or `false`".to_owned(),
        Shape::Duration(lowest, highest) => format!("time, {} to {}", duration_text(*lowest), duration_text(*highest)),
        Shape::Percent => "percentage".to_owned(),
        Shape::Limit => "percentage or count".to_owned(),
        Shape::Size => "size".to_owned(),
        Shape::Uuid => "UUID".to_owned(),
        Shape::Texts => "text, or a list".to_owned(),
        Shape::Section(_) => "section below".to_owned(),
        Shape::WordsOr(words, _) => {
            format!("{}, or a section below", shown_list(words.iter().copied(), ",").replace(" , ", ", "))
        }
        Shape::Named(_) => "names to sections below".to_owned(),
        Shape::Typed(..) => "section below, by its `type`".to_owned(),
        Shape::Columns => "list, or names to types".to_owned(),
        Shape::Fields => "fields to mapping values".to_owned(),
        Shape::Match => "one field to a mapping value".to_owned(),
        Shape::Cron => "cron expression".to_owned(),
        Shape::TimeZone => "time zone".to_owned(),
        Shape::Later => "later".to_owned(),
    }
}

fn line(out: &mut String, text: &str) {
    writeln!(out, "{text}").expect("a string takes any text");
}
