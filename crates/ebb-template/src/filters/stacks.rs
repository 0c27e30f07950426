//! Filters on lists that `LiquidJS` has beyond Shopify's Liquid. None of them flattens a list within a list.

use std::borrow::Cow;

use ebb_row::Value;

use crate::error::Fault;
use crate::filters::expressions::Groups;
use crate::filters::lists::property;
use crate::filters::made::{Made, copies};
use crate::filters::{Arguments, Call, Filter};
use crate::print::text_of;

pub(super) const FILTERS: &[Filter] = &[
    Filter::new("push", "Puts an item at the end of a list.", push).takes("item", 1, 0).shows(
        "{{ tags | push: 'c' }}",
        r#"{"tags":["a","b"]}"#,
        r#"["a","b","c"]"#,
    ),
    Filter::new("unshift", "Puts an item at the start of a list.", unshift).takes("item", 1, 0).shows(
        "{{ tags | unshift: 'c' }}",
        r#"{"tags":["a","b"]}"#,
        r#"["c","a","b"]"#,
    ),
    Filter::new("pop", "Drops the last item of a list.", pop).shows(
        "{{ tags | pop }}",
        r#"{"tags":["a","b"]}"#,
        r#"["a"]"#,
    ),
    Filter::new("shift", "Drops the first item of a list.", shift).shows(
        "{{ tags | shift }}",
        r#"{"tags":["a","b"]}"#,
        r#"["b"]"#,
    ),
    Filter::new(
        "group_by",
        "Groups items by a property: a list of objects with `name`, the property's value, and `items`.",
        group_by,
    )
    .takes("key", 1, 0)
    .shows(
        "{{ a | group_by: 'x' }}",
        r#"{"a":[{"x":1,"y":2},{"x":3},{"x":1}]}"#,
        r#"[{"name":1,"items":[{"x":1,"y":2},{"x":1}]},{"name":3,"items":[{"x":3}]}]"#,
    ),
    Filter::new("array_to_sentence_string", "Joins the items' texts as in a sentence.", sentence)
        .takes("connector = \"and\"", 0, 1)
        .shows("{{ tags | array_to_sentence_string }}", r#"{"tags":["a","b","c"]}"#, r#""a, b, and c""#),
];

type Output<'v> = Result<Cow<'v, Value>, Fault>;

/// Returns a list's items, of anything else the value as the only item, and none of nil.
fn whole(value: &Value) -> &[Value] {
    match value {
        Value::List(list) => list,
        Value::Null => &[],
        Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Decimal(_)
        | Value::Text(_)
        | Value::Bytes(_)
        | Value::Instant(_)
        | Value::LocalTime(_)
        | Value::Date(_)
        | Value::Object(_)
        | Value::Lookup(_) => std::slice::from_ref(value),
    }
}

/// Makes a list of the parts, if it may still be produced.
fn made<'v>(call: &Call<'_>, parts: &[&[Value]]) -> Output<'v> {
    let items: Vec<&Value> = parts.iter().copied().flatten().collect();
    Ok(Cow::Owned(Value::List(copies(call, &items)?)))
}

fn push<'v>(call: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    made(call, &[whole(&input), std::slice::from_ref(arguments.value(0))])
}

fn unshift<'v>(call: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    made(call, &[std::slice::from_ref(arguments.value(0)), whole(&input)])
}

fn pop<'v>(call: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    made(call, &[whole(&input).split_last().map_or(&[], |(_, rest)| rest)])
}

fn shift<'v>(call: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    made(call, &[whole(&input).split_first().map_or(&[], |(_, rest)| rest)])
}

fn group_by<'v>(call: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    let key = arguments.text(0)?;
    let mut groups = Groups::default();
    for item in whole(&input) {
        groups.add(call, Cow::Borrowed(property(item, &key)?), item)?;
    }
    groups.into_list(call)
}

fn sentence<'v>(call: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    let connector = arguments.get(0).map_or(Ok(Cow::Borrowed("and")), text_of)?;
    let items = whole(&input);
    let mut out = Made::with_room(call, 0)?;
    for (index, item) in items.iter().enumerate() {
        let is_last = index + 1 == items.len();
        match (index, is_last) {
            (0, _) => {}
            (1, true) => {
                out.push_str(" ")?;
                out.push_str(&connector)?;
                out.push_str(" ")?;
            }
            (_, true) => {
                out.push_str(", ")?;
                out.push_str(&connector)?;
                out.push_str(" ")?;
            }
            (_, false) => out.push_str(", ")?,
        }
        out.push_str(&text_of(item)?)?;
    }
    out.done()
}
