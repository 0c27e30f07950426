//! Filters that treat their input as a list: anything else is a list of one, nil an empty one.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashSet;

use ebb_row::Value;

use crate::compare::{equals, order};
use crate::error::Fault;
use crate::filters::made::{Made, copies, copy};
use crate::filters::{Arguments, Call, Filter, cost, weight};
use crate::number::{Number, Operation, calculate};
use crate::print::{printed, text_of};

pub(super) const FILTERS: &[Filter] = &[
    Filter::new("join", "Joins the items' texts.", join).takes("separator = \" \"", 0, 1).shows(
        "{{ tags | join: ', ' }}",
        r#"{"tags":["a",null,3]}"#,
        r#""a, , 3""#,
    ),
    Filter::new("first", "Returns the first item.", first).shows("{{ a | first }}", r#"{"a":[1,2]}"#, "1"),
    Filter::new("last", "Returns the last item.", last).shows("{{ a | last }}", r#"{"a":[1,2]}"#, "2"),
    Filter::new("map", "Returns one property of each item.", map).takes("key", 1, 0).shows(
        "{{ a | map: 'id' }}",
        r#"{"a":[{"id":1},{"id":2}]}"#,
        "[1,2]",
    ),
    Filter::new("compact", "Drops nil items, or the items whose property is nil.", compact).takes("[key]", 0, 1).shows(
        "{{ a | compact }}",
        r#"{"a":[1,null,2]}"#,
        "[1,2]",
    ),
    Filter::new("concat", "Puts another list behind.", concat).takes("list", 1, 0).shows(
        "{{ a | concat: b }}",
        r#"{"a":[1],"b":[2]}"#,
        "[1,2]",
    ),
    Filter::new("reverse", "Reverses the items.", reverse).shows("{{ a | reverse }}", r#"{"a":[1,2,3]}"#, "[3,2,1]"),
    Filter::new("sort", "Sorts, case-sensitively; nil comes last.", sort).takes("[key]", 0, 1).shows(
        "{{ a | sort }}",
        r#"{"a":["b",null,"C","a"]}"#,
        r#"["C","a","b",null]"#,
    ),
    Filter::new("sort_natural", "Sorts by text without regard to case; nil comes last.", sort_natural)
        .takes("[key]", 0, 1)
        .shows("{{ a | sort_natural }}", r#"{"a":["b","C","a"]}"#, r#"["a","b","C"]"#),
    Filter::new("uniq", "Keeps the first of equal items.", uniq).takes("[key]", 0, 1).shows(
        "{{ a | uniq }}",
        r#"{"a":[1,2,1]}"#,
        "[1,2]",
    ),
    Filter::new("sum", "Adds the items, or one property of each; what is no number counts as 0.", sum)
        .takes("[key]", 0, 1)
        .shows("{{ a | sum: 'n' }}", r#"{"a":[{"n":1},{"n":"2.5"}]}"#, "3.5"),
];

type Output<'v> = Result<Cow<'v, Value>, Fault>;

/// Returns the items of a value; lists inside a list are flattened.
pub(super) fn items(value: &Value) -> Vec<&Value> {
    let mut out = Vec::new();
    match value {
        Value::Null => {}
        Value::List(_) => flatten(value, &mut out),
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
        | Value::Lookup(_) => out.push(value),
    }
    out
}

fn flatten<'a>(value: &'a Value, out: &mut Vec<&'a Value>) {
    if let Value::List(list) = value {
        for item in list {
            flatten(item, out);
        }
    } else {
        out.push(value);
    }
}

/// Returns a property of an object, nil where it has none; nil has none at all, and other values are refused.
pub(super) fn property<'a>(item: &'a Value, key: &str) -> Result<&'a Value, Fault> {
    match item {
        Value::Object(object) => Ok(object.get(key).unwrap_or(&Value::Null)),
        Value::Null => Ok(item),
        Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Decimal(_)
        | Value::Text(_)
        | Value::Bytes(_)
        | Value::Instant(_)
        | Value::LocalTime(_)
        | Value::Date(_)
        | Value::List(_)
        | Value::Lookup(_) => Err(Fault::new(format!("an item is a {}, which has no properties", item.kind()))),
    }
}

/// Returns each item with what it is judged by: itself, or the property that the first argument names.
fn judged<'a>(input: &'a Value, key: Option<&str>) -> Result<Vec<(&'a Value, &'a Value)>, Fault> {
    let of = |item: &'a Value| Ok((item, key.map_or(Ok(item), |key| property(item, key))?));
    items(input).into_iter().map(of).collect()
}

fn key<'a>(arguments: &'a Arguments<'_>) -> Result<Option<Cow<'a, str>>, Fault> {
    arguments.get(0).filter(|key| !key.is_null()).map(text_of).transpose()
}

/// Makes a list of copies, if they may still be produced.
pub(super) fn list<'v>(call: &Call<'_>, items: Vec<&Value>) -> Output<'v> {
    Ok(Cow::Owned(Value::List(copies(call, &items)?)))
}

fn join<'v>(call: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    let separator = arguments.get(0).map_or(Ok(Cow::Borrowed(" ")), text_of)?;
    let mut out = Made::with_room(call, 0)?;
    for (index, item) in items(&input).into_iter().enumerate() {
        if index > 0 {
            out.push_str(&separator)?;
        }
        out.push_str(&printed(item)?)?;
    }
    out.done()
}

fn first<'v>(call: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    if let Value::Object(object) = &*input
        && let Some((name, field)) = object.first()
    {
        return Ok(Cow::Owned(Value::List(vec![Value::Text(name.clone()), copy(call, field)?])));
    }
    copy(call, ends(&input).first().unwrap_or(&Value::Null)).map(Cow::Owned)
}

fn last<'v>(call: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    copy(call, ends(&input).last().unwrap_or(&Value::Null)).map(Cow::Owned)
}

/// Returns a list's items without flattening: the first item of a list of lists is a list. Other values have no ends.
fn ends(value: &Value) -> &[Value] {
    if let Value::List(list) = value { list } else { &[] }
}

fn map<'v>(call: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    let key = arguments.text(0)?;
    list(call, judged(&input, Some(&key))?.into_iter().map(|(_, property)| property).collect())
}

fn compact<'v>(call: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    let key = key(arguments)?;
    let all = judged(&input, key.as_deref())?;
    list(call, all.into_iter().filter(|(_, by)| !by.is_null()).map(|(item, _)| item).collect())
}

fn concat<'v>(call: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    let Value::List(other) = arguments.value(0) else { return Err(Fault::new("needs a list")) };
    let mut all = items(&input);
    all.extend(other);
    list(call, all)
}

fn reverse<'v>(call: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    let mut all = items(&input);
    all.reverse();
    list(call, all)
}

fn sort<'v>(call: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    let key = key(arguments)?;
    let mut all = judged(&input, key.as_deref())?;
    call.budget.step(sorting(&all))?;
    let mut fault = None;
    all.sort_by(|(_, left), (_, right)| {
        nil_last(left, right).map_or_else(|| place(left, right), Ok).unwrap_or_else(|error| {
            fault = Some(error);
            Ordering::Equal
        })
    });
    fault.map_or_else(|| list(call, all.into_iter().map(|(item, _)| item).collect()), Err)
}

/// The work of sorting, in steps: each item is compared as often as the items can be halved.
fn sorting(all: &[(&Value, &Value)]) -> usize {
    let halvings = all.len().checked_ilog2().and_then(|halvings| usize::try_from(halvings).ok()).unwrap_or(0);
    all.iter().fold(all.len(), |steps, (_, by)| steps.saturating_add(cost(by).saturating_mul(1 + halvings)))
}

/// Orders two values for `sort`: equal ones, lists by their items, and what an `if` can order.
fn place(left: &Value, right: &Value) -> Result<Ordering, Fault> {
    if equals(left, right) {
        return Ok(Ordering::Equal);
    }
    if let (Value::List(left), Value::List(right)) = (left, right) {
        for (left, right) in left.iter().zip(right) {
            let ordering = place(left, right)?;
            if ordering != Ordering::Equal {
                return Ok(ordering);
            }
        }
        return Ok(left.len().cmp(&right.len()));
    }
    order(left, right)?.ok_or_else(|| Fault::new("items of these types cannot be sorted"))
}

fn nil_last(left: &Value, right: &Value) -> Option<Ordering> {
    match (left.is_null(), right.is_null()) {
        (false, false) => None,
        (left, right) => Some(left.cmp(&right)),
    }
}

fn sort_natural<'v>(call: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    let key = key(arguments)?;
    let all = judged(&input, key.as_deref())?;
    call.budget.step(sorting(&all))?;
    let mut keyed = Vec::with_capacity(all.len());
    let mut bytes: usize = 0;
    for (item, by) in all {
        let text = text_of(by)?;
        bytes = bytes.saturating_add(text.len());
        call.budget.afford(bytes)?;
        keyed.push((by.is_null(), text.to_lowercase(), item));
    }
    keyed.sort_by(|left, right| (left.0, &left.1).cmp(&(right.0, &right.1)));
    list(call, keyed.into_iter().map(|(_, _, item)| item).collect())
}

fn uniq<'v>(call: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    let key = key(arguments)?;
    let mut seen = HashSet::new();
    let mut kept = Vec::new();
    let mut bytes: usize = 0;
    for (item, by) in judged(&input, key.as_deref())? {
        call.budget.step(cost(by))?;
        call.budget.afford(bytes.saturating_add(weight(by)))?;
        let mut identity = String::new();
        identify(by, &mut identity);
        let length = identity.len();
        if seen.insert(identity) {
            bytes = bytes.saturating_add(length);
            kept.push(item);
        }
    }
    list(call, kept)
}

/// Appends a text that is the same for equal values of one type, and different for others.
fn identify(value: &Value, out: &mut String) {
    out.push_str(&value.kind().to_string());
    match value {
        Value::List(items) => {
            for item in items {
                identify(item, out);
            }
        }
        Value::Object(object) => {
            for (name, field) in object {
                part(name, out);
                identify(field, out);
            }
        }
        Value::Float(number) => part(&format!("f{number}"), out),
        Value::Bytes(bytes) => part(&format!("{bytes:?}"), out),
        Value::Lookup(lookup) => {
            part(&lookup.object, out);
            part(&lookup.external_id, out);
        }
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Decimal(_)
        | Value::Text(_)
        | Value::Instant(_)
        | Value::LocalTime(_)
        | Value::Date(_) => {
            part(&value.canonical_text().unwrap_or_default(), out);
        }
    }
    out.push(';');
}

/// Appends a text after its length, so that no two sequences of texts look alike.
fn part(text: &str, out: &mut String) {
    out.push_str(&text.len().to_string());
    out.push(':');
    out.push_str(text);
}

fn sum<'v>(_: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    let key = key(arguments)?;
    let mut total = Value::Int(0);
    for item in items(&input) {
        // An item without properties counts 0, as anything does that is no number.
        let by = key.as_deref().map_or(item, |key| property(item, key).unwrap_or(&Value::Null));
        total = calculate(Operation::Plus, &Number::of(&total), &Number::of(by))?;
    }
    Ok(Cow::Owned(total))
}
