//! Values of nodes that the tables found fitting; `None` where they are not, which a fault has told then.

use std::str::FromStr;
use std::time::Duration;

use ebb_mapping::{Node, NodeKind};
use ebb_plan::Limit;
use ebb_template::Language;

use crate::keys::{child, nearest, scalar_text};
use crate::units;

pub(crate) fn text_of(node: &Node) -> Option<&str> {
    if let NodeKind::Text(text) = &node.kind { Some(text) } else { None }
}

/// Returns the text of a key.
pub(crate) fn text_at<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    child(node, key).and_then(text_of)
}

/// Returns one text or a list of them.
pub(crate) fn texts_of(node: &Node) -> Vec<String> {
    match &node.kind {
        NodeKind::Text(text) => vec![text.clone()],
        NodeKind::List(items) => items.iter().filter_map(text_of).map(str::to_owned).collect(),
        NodeKind::Null | NodeKind::Bool(_) | NodeKind::Number(_) | NodeKind::Map(_) => Vec::new(),
    }
}

pub(crate) fn duration_of(node: &Node, key: &str) -> Option<Duration> {
    text_at(node, key).and_then(units::duration)
}

pub(crate) fn integer_of<T: FromStr>(node: &Node, key: &str) -> Option<T> {
    child(node, key).and_then(scalar_text)?.parse().ok()
}

pub(crate) fn limit_of(node: &Node, key: &str) -> Option<Limit> {
    child(node, key).and_then(scalar_text).and_then(|text| units::limit(&text))
}

pub(crate) fn boolean_of(node: &Node, key: &str) -> Option<bool> {
    if let NodeKind::Bool(flag) = &child(node, key)?.kind { Some(*flag) } else { None }
}

/// Returns the language that the key `language` names. A word that is none stands for the nearest one: it has a fault
/// of its own, and the templates are not to have others because of it.
pub(crate) fn language_of(node: &Node) -> Option<Language> {
    let word = text_at(node, "language")?;
    let words = [Language::Liquid, Language::Jinja].map(Language::word);
    Language::from_word(word).or_else(|| Language::from_word(nearest(word, words)?))
}
