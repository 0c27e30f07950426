//! Case files as nodes with their places, and back to JSON text.

use std::fmt;

use ebb_mapping::{Key, Node, NodeKind};
use ebb_row::Value;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

struct Kind(NodeKind);

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KindVisitor).map(Kind)
    }
}

struct KindVisitor;

impl<'de> Visitor<'de> for KindVisitor {
    type Value = NodeKind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E: Error>(self) -> Result<NodeKind, E> {
        Ok(NodeKind::Null)
    }

    fn visit_none<E: Error>(self) -> Result<NodeKind, E> {
        Ok(NodeKind::Null)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<NodeKind, E> {
        Ok(NodeKind::Bool(flag))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<NodeKind, E> {
        Ok(NodeKind::Number(Value::from(number)))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<NodeKind, E> {
        Ok(NodeKind::Number(Value::Int(number.into())))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<NodeKind, E> {
        Ok(NodeKind::Number(Value::Float(number)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<NodeKind, E> {
        Ok(NodeKind::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<NodeKind, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<Spanned<Kind>>()? {
            list.push(node(item));
        }
        Ok(NodeKind::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<NodeKind, A::Error> {
        let mut map = Vec::new();
        while let Some((key, value)) = entries.next_entry::<Spanned<String>, Spanned<Kind>>()? {
            map.push((Key { at: offset(&key), name: key.value }, node(value)));
        }
        Ok(NodeKind::Map(map))
    }
}

fn offset<T>(spanned: &Spanned<T>) -> usize {
    let offset = spanned.referenced.span().byte_offset().expect("a text has byte offsets");
    usize::try_from(offset).expect("a small file")
}

fn node(spanned: Spanned<Kind>) -> Node {
    Node { at: offset(&spanned), kind: spanned.value.0 }
}

/// Reads a YAML text.
pub(crate) fn read(text: &str) -> Node {
    // `y` and `no` are the names of columns, not booleans.
    let options = serde_saphyr::options! { strict_booleans: true };
    node(serde_saphyr::from_str_with_options(text, options).unwrap_or_else(|error| panic!("{error}")))
}

/// Returns the value of a key of a map.
pub(crate) fn get<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    entries(node).iter().find(|(key, _)| key.name == name).map(|(_, value)| value)
}

/// Returns the entries of a map; none of anything else.
pub(crate) fn entries(node: &Node) -> &[(Key, Node)] {
    if let NodeKind::Map(entries) = &node.kind { entries } else { &[] }
}

/// Returns the elements of a list; none of anything else.
pub(crate) fn items(node: &Node) -> &[Node] {
    if let NodeKind::List(items) = &node.kind { items } else { &[] }
}

/// Returns the text of a text.
pub(crate) fn text(node: &Node) -> &str {
    if let NodeKind::Text(text) = &node.kind { text } else { panic!("text is expected at byte {}", node.at) }
}

/// Returns a node as a plain value.
pub(crate) fn value(node: &Node) -> Value {
    match &node.kind {
        NodeKind::Null => Value::Null,
        NodeKind::Bool(flag) => Value::Bool(*flag),
        NodeKind::Number(number) => number.clone(),
        NodeKind::Text(text) => Value::from(text.as_str()),
        NodeKind::List(items) => Value::List(items.iter().map(value).collect()),
        NodeKind::Map(entries) => {
            Value::Object(entries.iter().map(|(key, node)| (key.name.as_str().into(), value(node))).collect())
        }
    }
}

/// Returns the line of a byte offset, from 1.
pub(crate) fn line(text: &str, at: usize) -> usize {
    text.get(..at).expect("a place in the text").matches('\n').count() + 1
}
