//! Laws that hold for any mapping and any row.

use std::sync::Arc;

use ebb_mapping::{Key, Mapping, Node, NodeKind};
use ebb_row::{Row, Value};
use proptest::prelude::*;

use crate::rows::{context, settings, targets};
use crate::yaml::read;

const COLUMNS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

fn node(kind: NodeKind) -> Node {
    Node { at: 0, kind }
}

fn map(entries: Vec<(String, Node)>) -> Node {
    node(NodeKind::Map(entries.into_iter().map(|(name, node)| (Key { name, at: 0 }, node)).collect()))
}

fn word(text: &str) -> Node {
    node(NodeKind::Text(text.to_owned()))
}

fn column() -> impl Strategy<Value = String> {
    prop::sample::select(COLUMNS.as_slice()).prop_map(str::to_owned)
}

/// Any mapping value for a place inside an object.
fn mapped() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        Just(node(NodeKind::Null)),
        any::<bool>().prop_map(|flag| node(NodeKind::Bool(flag))),
        any::<i64>().prop_map(|number| node(NodeKind::Number(Value::from(number)))),
        column().prop_map(|name| word(&name)),
        column().prop_map(|name| word(&format!("{{{{ row.{name} }}}}"))),
        (column(), column()).prop_map(|(one, two)| word(&format!("{{{{ row.{one} }}}}-{{{{ row.{two} }}}}"))),
        (column(), prop::sample::select(vec!["send", "omit"])).prop_map(|(name, nulls)| map(vec![
            ("$column".to_owned(), word(&name)),
            ("nulls".to_owned(), word(nulls))
        ])),
        (column(), prop::sample::select(vec!["text", "json", "json_text", "list", "integer"]))
            .prop_map(|(name, kind)| map(vec![("$column".to_owned(), word(&name)), ("type".to_owned(), word(kind))])),
        column().prop_map(|name| map(vec![
            ("$lookup".to_owned(), word("account")),
            ("externalId".to_owned(), word(&name))
        ])),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| node(NodeKind::List(items))),
            object(inner),
        ]
    })
}

/// An object of mapping values, perhaps with columns merged in.
fn object(inner: impl Strategy<Value = Node>) -> impl Strategy<Value = Node> {
    let fields = prop::collection::btree_map("[a-h]", inner, 0..5);
    (fields, prop::option::of(prop::collection::vec(column(), 0..3)), any::<bool>()).prop_map(
        |(fields, columns, only)| {
            let mut entries: Vec<(String, Node)> = fields.into_iter().collect();
            if let Some(columns) = columns {
                let names = node(NodeKind::List(columns.iter().map(|name| word(name)).collect()));
                let choice = map(vec![(if only { "only" } else { "except" }.to_owned(), names)]);
                entries.push(("$columns".to_owned(), choice));
            }
            map(entries)
        },
    )
}

fn fields() -> impl Strategy<Value = Node> {
    (object(mapped()), column())
        .prop_map(|(traits, name)| map(vec![("name".to_owned(), word(&name)), ("traits".to_owned(), traits)]))
}

fn cell() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::Float),
        ".{0,8}".prop_map(Value::from),
        prop::collection::vec(any::<i64>().prop_map(Value::from), 0..3).prop_map(Value::List),
        prop::collection::vec(any::<u8>(), 0..3).prop_map(|bytes| Value::Bytes(bytes.into())),
    ]
}

fn cells() -> impl Strategy<Value = Vec<Value>> {
    prop::collection::vec(cell(), COLUMNS.len())
}

fn compile(fields: &Node) -> Mapping {
    let match_node = word("a");
    Mapping::compile(fields, Some(("externalId", &match_node)), &targets(), &settings(&read("{}"))).expect("compiles")
}

fn names() -> Arc<[Arc<str>]> {
    COLUMNS.iter().copied().map(Arc::from).collect()
}

/// Reverses the order of fields everywhere.
fn reversed(fields: &Node) -> Node {
    node(match &fields.kind {
        NodeKind::Map(entries) => {
            NodeKind::Map(entries.iter().rev().map(|(key, node)| (key.clone(), reversed(node))).collect())
        }
        NodeKind::List(items) => NodeKind::List(items.iter().map(reversed).collect()),
        NodeKind::Null | NodeKind::Bool(_) | NodeKind::Number(_) | NodeKind::Text(_) => fields.kind.clone(),
    })
}

proptest! {
    #[test]
    fn rows_equal_in_the_columns_read_give_equal_records(fields in fields(), one in cells(), other in cells()) {
        let mapping = compile(&fields);
        let read = mapping.reads();
        let mixed = COLUMNS.iter().zip(one.iter().zip(&other)).map(|(name, (one, other))| {
            if read.every || read.names.contains(*name) { one.clone() } else { other.clone() }
        });
        let (row, mixed) = (Row::new(names(), one.clone()), Row::new(names(), mixed.collect()));
        let bound = mapping.bind(&names());
        let (left, right) = (bound.record(&row, &context()), bound.record(&mixed, &context()));
        // A NaN is never equal to itself, but it never reaches a record either.
        prop_assert_eq!(left, right);
    }

    #[test]
    fn records_can_be_written_and_digested(fields in fields(), cells in cells()) {
        let mapping = compile(&fields);
        if let Ok(record) = mapping.bind(&names()).record(&Row::new(names(), cells), &context()) {
            prop_assert!(record.digest().is_ok());
            prop_assert_eq!(record.fields.keys().next().map(|name| &**name), Some("externalId"));
        }
    }

    #[test]
    fn digests_do_not_depend_on_the_order_of_fields(fields in fields(), cells in cells()) {
        let (forward, backward) = (compile(&fields), compile(&reversed(&fields)));
        prop_assert_eq!(forward.digest(), backward.digest());
        let row = Row::new(names(), cells);
        let digest = |mapping: &Mapping| mapping.bind(&names()).record(&row, &context()).ok().map(|record| record.digest());
        prop_assert_eq!(digest(&forward), digest(&backward));
    }

    #[test]
    fn positions_of_columns_do_not_matter(fields in fields(), cells in cells()) {
        let mapping = compile(&fields);
        let turned_names: Arc<[Arc<str>]> = names().iter().rev().cloned().collect();
        let turned_cells = cells.iter().rev().cloned().collect();
        let forward = mapping.bind(&names()).record(&Row::new(names(), cells.clone()), &context());
        let turned = mapping.bind(&turned_names).record(&Row::new(turned_names.clone(), turned_cells), &context());
        prop_assert_eq!(
            forward.ok().map(|record| record.digest()),
            turned.ok().map(|record| record.digest())
        );
    }
}
