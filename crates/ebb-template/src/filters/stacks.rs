//! Filters on lists that `LiquidJS` has beyond Shopify's Liquid. None of them flattens a list within a list.

use std::borrow::Cow;

use ebb_row::{Object, Value};

use crate::compare::equals;
use crate::error::Fault;
use crate::filters::lists::property;
use crate::filters::{Arguments, Call, Filter, ITEM, owned};
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
    let length: usize = parts.iter().map(|part| part.len()).sum();
    call.budget.afford(length.saturating_mul(ITEM))?;
    Ok(Cow::Owned(Value::List(parts.concat())))
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
    let items = whole(&input);
    call.budget.afford(items.len().saturating_mul(ITEM))?;
    let mut groups: Vec<(&Value, Vec<Value>)> = Vec::new();
    for item in items {
        let name = property(item, &key)?;
        call.budget.step(1 + groups.len() / 16)?;
        match groups.iter_mut().find(|(known, _)| equals(known, name)) {
            Some((_, group)) => group.push(item.clone()),
            None => groups.push((name, vec![item.clone()])),
        }
    }
    let object = |(name, items): (&Value, Vec<Value>)| {
        let fields = [("name".into(), name.clone()), ("items".into(), Value::List(items))];
        Value::Object(fields.into_iter().collect::<Object>())
    };
    Ok(Cow::Owned(Value::List(groups.into_iter().map(object).collect())))
}

fn sentence<'v>(call: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    let connector = arguments.get(0).map_or(Ok(Cow::Borrowed("and")), text_of)?;
    let items = whole(&input);
    let mut out = String::new();
    for (index, item) in items.iter().enumerate() {
        let is_last = index + 1 == items.len();
        match (index, is_last) {
            (0, _) => {}
            (1, true) => {
                out.push(' ');
                out.push_str(&connector);
                out.push(' ');
            }
            (_, true) => {
                out.push_str(", ");
                out.push_str(&connector);
                out.push(' ');
            }
            (_, false) => out.push_str(", "),
        }
        out.push_str(&text_of(item)?);
        call.budget.afford(out.len())?;
    }
    Ok(owned(out))
}
