use std::collections::BTreeSet;

use ebb_mapping::{Node, NodeKind};
use ebb_row::{ColumnType, Value};

use super::{KeySpec, Shape, Variant, scalar};
use crate::environment::Origins;
use crate::yaml::Spot;

/// Problems told of one file, at most.
const MAX_PROBLEMS: usize = 100;

/// A fault of a value, before it is known whether a command is bothered by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) spot: Spot,
    /// The key of the value.
    pub(crate) key: String,
    /// Whether it depends on the environment: then it counts only for commands that use it.
    pub(crate) is_late: bool,
    /// The source or destination that it is about: `sources.warehouse`.
    pub(crate) scope: Option<String>,
}

/// Compares nodes with the tables and collects all that does not fit.
pub(crate) struct Checker<'a> {
    origins: &'a Origins,
    pub(crate) problems: Vec<Problem>,
    pub(crate) scope: Option<String>,
}

/// Returns the value of a key of a map.
pub(crate) fn child<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    let NodeKind::Map(entries) = &node.kind else { return None };
    entries.iter().find(|(key, _)| key.name == name).map(|(_, value)| value)
}

/// Returns the candidate that a misspelt name was most likely meant to be.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(score, _)| *score >= 0.8)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, candidate)| candidate)
}

/// Writes names as "`a`, `b` or `c`".
pub(crate) fn shown_list<'a>(names: impl IntoIterator<Item = &'a str>, word: &str) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.split_last() {
        None => "none".to_owned(),
        Some((only, [])) => only.clone(),
        Some((last, others)) => format!("{} {word} {last}", others.join(", ")),
    }
}

fn kind_word(node: &Node) -> &'static str {
    match node.kind {
        NodeKind::Null => "nothing",
        NodeKind::Bool(_) => "a boolean",
        NodeKind::Number(_) => "a number",
        NodeKind::Text(_) => "text",
        NodeKind::List(_) => "a list",
        NodeKind::Map(_) => "a map",
    }
}

/// Returns text, and a whole number as its digits.
pub(crate) fn scalar_text(node: &Node) -> Option<String> {
    match &node.kind {
        NodeKind::Text(text) => Some(text.clone()),
        NodeKind::Number(Value::Int(number)) => Some(number.to_string()),
        NodeKind::Null | NodeKind::Bool(_) | NodeKind::Number(_) | NodeKind::List(_) | NodeKind::Map(_) => None,
    }
}

impl<'a> Checker<'a> {
    pub(crate) fn new(origins: &'a Origins) -> Self {
        Self { origins, problems: Vec::new(), scope: None }
    }

    /// Checks a map against its keys; `place` names it in messages.
    pub(crate) fn section(&mut self, node: &Node, keys: &[&KeySpec], place: &str) {
        let NodeKind::Map(entries) = &node.kind else {
            if !matches!(node.kind, NodeKind::Null) {
                self.wrong(node, place, &format!("{place} must be a map of keys, and is {}", kind_word(node)), None);
                return;
            }
            return self.missing_keys(node, &[], keys, place);
        };
        for (name, value) in entries {
            match keys.iter().find(|spec| spec.name == name.name) {
                Some(spec) => self.value(value, spec, &spec.shape, &name.name),
                None => self.unknown(name.at, &name.name, keys, place),
            }
        }
        let names: Vec<&str> = entries.iter().map(|(key, _)| key.name.as_str()).collect();
        self.missing_keys(node, &names, keys, place);
    }

    fn missing_keys(&mut self, node: &Node, names: &[&str], keys: &[&KeySpec], place: &str) {
        for spec in keys.iter().filter(|spec| spec.required && !names.contains(&spec.name)) {
            let hint = spec.help.to_owned();
            self.push(node.at, spec.name, format!("{place} has no `{}`", spec.name), Some(hint));
        }
    }

    fn unknown(&mut self, at: usize, name: &str, keys: &[&KeySpec], place: &str) {
        if self.problems.len() >= MAX_PROBLEMS {
            return;
        }
        let known = || keys.iter().filter(|spec| !matches!(spec.shape, Shape::Later)).map(|spec| spec.name);
        let hint = match nearest(name, known()) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => format!("the keys here are {}", shown_list(known(), "and")),
        };
        self.push(at, name, format!("unknown key `{name}` in {place}"), Some(hint));
    }

    /// Checks one value; `path` names it in messages.
    fn value(&mut self, node: &Node, spec: &KeySpec, shape: &Shape, path: &str) {
        if let Some(origin) = self.origins.get(&node.at)
            && let Some(name) = origin.missing.first()
        {
            let message = format!("`{path}` needs the environment variable `{name}`, which is not set");
            let hint = "set it, or write it into `.env` beside `ebb.yaml`".to_owned();
            return self.push(node.at, spec.name, message, Some(hint));
        }
        if matches!(node.kind, NodeKind::Null) && !matches!(shape, Shape::Section(_) | Shape::Named(_) | Shape::Later) {
            return self.push(node.at, spec.name, format!("`{path}` has no value"), None);
        }
        match shape {
            Shape::Section(keys) => self.section(node, &keys.iter().collect::<Vec<_>>(), &format!("`{path}`")),
            Shape::Named(inner) => self.named(node, spec, inner, path),
            Shape::Typed(variants, later) => self.typed(node, spec, (variants, later), path),
            Shape::WordsOr(words, keys) => {
                if matches!(node.kind, NodeKind::Map(_)) {
                    self.section(node, &keys.iter().collect::<Vec<_>>(), &format!("`{path}`"));
                } else {
                    self.words(node, spec, words, path);
                }
            }
            Shape::Words(words) => self.words(node, spec, words, path),
            Shape::Texts => self.texts(node, spec, path),
            Shape::Columns => self.columns(node, spec, path),
            Shape::Fields | Shape::Match => self.mapping(node, spec, shape, path),
            Shape::Boolean => {
                if !matches!(node.kind, NodeKind::Bool(_)) {
                    self.expected(node, spec, path, "`true` or `false`");
                }
            }
            Shape::Later => {
                self.push(node.at, spec.name, format!("`{path}` comes with a later version of ebb"), None);
            }
            Shape::Text
            | Shape::Secret
            | Shape::Url
            | Shape::Integer(..)
            | Shape::Duration(..)
            | Shape::Percent
            | Shape::Limit
            | Shape::Size
            | Shape::Uuid
            | Shape::Cron
            | Shape::TimeZone => self.scalar(node, spec, shape, path),
        }
    }

    fn named(&mut self, node: &Node, spec: &KeySpec, inner: &Shape, path: &str) {
        let NodeKind::Map(entries) = &node.kind else {
            if !matches!(node.kind, NodeKind::Null) {
                self.wrong(
                    node,
                    spec.name,
                    &format!("`{path}` must be a map of names, and is {}", kind_word(node)),
                    None,
                );
            }
            return;
        };
        for (name, value) in entries {
            if !is_name(&name.name) {
                let hint = "names are letters, digits, `_` and `-`";
                self.push(name.at, spec.name, format!("`{}` is no name", name.name), Some(hint.to_owned()));
            }
            let path = format!("{path}.{}", name.name);
            self.scope = Some(path.clone());
            self.value(value, spec, inner, &path);
            self.scope = None;
        }
    }

    fn typed(&mut self, node: &Node, spec: &KeySpec, (variants, later): (&[Variant], &[&str]), path: &str) {
        if !matches!(node.kind, NodeKind::Map(_)) {
            return self.wrong(
                node,
                spec.name,
                &format!("`{path}` must be a map of keys, and is {}", kind_word(node)),
                None,
            );
        }
        let available = || variants.iter().flat_map(|variant| variant.words.iter().copied());
        let hint = format!("available: {}", shown_list(available(), "and"));
        let Some(kind) = child(node, "type") else {
            return self.push(node.at, "type", format!("`{path}` has no `type`"), Some(hint));
        };
        let NodeKind::Text(word) = &kind.kind else {
            return self.push(kind.at, "type", format!("`type` must be text, and is {}", kind_word(kind)), Some(hint));
        };
        let Some(variant) = variants.iter().find(|variant| variant.words.contains(&word.as_str())) else {
            let word = self.shown(kind, word);
            if later.contains(&word.as_str()) {
                return self.push(
                    kind.at,
                    "type",
                    format!("type `{word}` comes with a later version of ebb"),
                    Some(hint),
                );
            }
            let hint = nearest(&word, available()).map_or(hint, |nearest| format!("did you mean `{nearest}`?"));
            return self.push(kind.at, "type", format!("unknown type `{word}` in `{path}`"), Some(hint));
        };
        let keys: Vec<&KeySpec> = std::iter::once(&TYPE).chain(variant.keys).collect();
        self.section(node, &keys, &format!("`{path}`"));
    }

    fn words(&mut self, node: &Node, spec: &KeySpec, words: &[&str], path: &str) {
        let expected = shown_list(words.iter().copied(), "or");
        let NodeKind::Text(word) = &node.kind else {
            return self.expected(node, spec, path, &expected);
        };
        if !words.contains(&word.as_str()) {
            let shown = self.shown(node, word);
            let hint = nearest(&shown, words.iter().copied()).map(|nearest| format!("did you mean `{nearest}`?"));
            self.wrong(node, spec.name, &format!("`{path}` is `{shown}`, and takes {expected}"), hint);
        }
    }

    fn texts(&mut self, node: &Node, spec: &KeySpec, path: &str) {
        let NodeKind::List(items) = &node.kind else {
            if !matches!(&node.kind, NodeKind::Text(text) if !text.is_empty()) {
                self.expected(node, spec, path, "text, or a list of texts");
            }
            return;
        };
        if items.is_empty() {
            self.wrong(node, spec.name, &format!("`{path}` is an empty list"), None);
        }
        let mut seen = BTreeSet::new();
        for (index, item) in items.iter().enumerate() {
            match &item.kind {
                NodeKind::Text(text) if !text.is_empty() => {
                    if !seen.insert(text) {
                        let shown = self.shown(item, text);
                        self.wrong(item, spec.name, &format!("`{path}` names `{shown}` twice"), None);
                    }
                }
                NodeKind::Text(_)
                | NodeKind::Null
                | NodeKind::Bool(_)
                | NodeKind::Number(_)
                | NodeKind::List(_)
                | NodeKind::Map(_) => self.expected(item, spec, &format!("{path}[{index}]"), "text"),
            }
        }
    }

    fn columns(&mut self, node: &Node, spec: &KeySpec, path: &str) {
        match &node.kind {
            NodeKind::Map(entries) if !entries.is_empty() => {
                for (name, kind) in entries {
                    let word = scalar_text(kind).unwrap_or_default();
                    if ColumnType::from_word(&word).is_none() {
                        let words = || ColumnType::ALL.into_iter().map(ColumnType::word);
                        let message = format!("column `{}` has the unknown type `{word}`", name.name);
                        let hint = nearest(&word, words()).map_or_else(
                            || format!("the types are {}", shown_list(words(), "and")),
                            |nearest| format!("did you mean `{nearest}`?"),
                        );
                        self.wrong(kind, spec.name, &message, Some(hint));
                    }
                }
            }
            NodeKind::List(_) => self.texts(node, spec, path),
            NodeKind::Map(_) | NodeKind::Null | NodeKind::Bool(_) | NodeKind::Number(_) | NodeKind::Text(_) => {
                self.expected(node, spec, path, "a list of columns, or a map from columns to their types");
            }
        }
    }

    fn mapping(&mut self, node: &Node, spec: &KeySpec, shape: &Shape, path: &str) {
        let NodeKind::Map(entries) = &node.kind else {
            return self.expected(node, spec, path, "a map from the destination's fields to what fills them");
        };
        let is_match = matches!(shape, Shape::Match);
        if is_match && entries.len() != 1 {
            let hint = Some("such as { externalId: account_id }".to_owned());
            self.wrong(
                node,
                spec.name,
                &format!("`{path}` must name exactly one field, and names {}", entries.len()),
                hint,
            );
        } else if entries.is_empty() {
            self.wrong(node, spec.name, &format!("`{path}` maps no field"), None);
        }
    }

    fn scalar(&mut self, node: &Node, spec: &KeySpec, shape: &Shape, path: &str) {
        let takes_numbers = matches!(shape, Shape::Integer(..) | Shape::Limit);
        let text = match &node.kind {
            NodeKind::Text(text) => Some(text.clone()),
            NodeKind::Number(_) if takes_numbers => scalar_text(node),
            NodeKind::Null | NodeKind::Bool(_) | NodeKind::Number(_) | NodeKind::List(_) | NodeKind::Map(_) => None,
        };
        let judged = scalar::judge(shape, text.as_deref().unwrap_or_default());
        if let Err(misfit) = judged {
            let takes_text = matches!(shape, Shape::Text | Shape::Secret);
            let is_unquoted = matches!(node.kind, NodeKind::Number(_) | NodeKind::Bool(_));
            let hint = if is_unquoted && takes_text { Some("put it into quotes".to_owned()) } else { misfit.hint };
            let message = format!("`{path}` must be {}, and is {}", misfit.expected, self.found(node, spec));
            self.push(node.at, spec.name, message, hint);
        }
    }

    /// Says that a value is not what was expected.
    fn expected(&mut self, node: &Node, spec: &KeySpec, path: &str, expected: &str) {
        let message = format!("`{path}` must be {expected}, and is {}", self.found(node, spec));
        self.push(node.at, spec.name, message, None);
    }

    fn found(&self, node: &Node, spec: &KeySpec) -> String {
        match &node.kind {
            NodeKind::Text(text) if text.is_empty() => "empty".to_owned(),
            NodeKind::Text(text) if is_shown(spec) && text.len() <= 60 => format!("`{}`", self.shown(node, text)),
            NodeKind::Number(number) => format!("the number {}", number.canonical_text().unwrap_or_default()),
            NodeKind::Text(_) | NodeKind::Null | NodeKind::Bool(_) | NodeKind::List(_) | NodeKind::Map(_) => {
                kind_word(node).to_owned()
            }
        }
    }

    /// Returns a text as the file has it, so that no value of the environment is shown.
    fn shown(&self, node: &Node, text: &str) -> String {
        self.origins.get(&node.at).map_or_else(|| text.to_owned(), |origin| origin.raw.clone())
    }

    fn wrong(&mut self, node: &Node, key: &str, message: &str, hint: Option<String>) {
        self.push(node.at, key, message.to_owned(), hint);
    }

    /// Adds a problem; one of a value from the environment counts late.
    pub(crate) fn push(&mut self, at: usize, key: &str, message: String, hint: Option<String>) {
        if self.problems.len() >= MAX_PROBLEMS {
            return;
        }
        let is_late = self.origins.contains_key(&at);
        let spot = Spot { at, message, hint };
        self.problems.push(Problem { spot, key: key.to_owned(), is_late, scope: self.scope.clone() });
    }

    /// Adds a problem that may depend on the environment by itself.
    pub(crate) fn push_as(&mut self, at: usize, key: &str, message: String, is_late: bool) {
        self.push(at, key, message, None);
        if let Some(problem) = self.problems.last_mut() {
            problem.is_late |= is_late;
        }
    }
}

/// The key that chooses the others.
static TYPE: KeySpec = super::required("type", Shape::Text, "What kind it is.");

fn is_shown(spec: &KeySpec) -> bool {
    !matches!(spec.shape, Shape::Secret | Shape::Url) && !crate::mask::is_secret_key(spec.name)
}

/// Returns whether a name may name a model, a sync, a source or a destination: it appears in paths and URLs.
pub(crate) fn is_name(name: &str) -> bool {
    name.len() <= 100
        && name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}
