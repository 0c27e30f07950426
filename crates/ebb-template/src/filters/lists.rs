//! Filters that treat their input as a list: anything else is a list of one, nil an empty one.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashSet;

use ebb_row::Value;

use crate::compare::order;
use crate::error::Fault;
use crate::filters::{Arguments, Call, Filter, owned};
use crate::number::{Number, Operation, calculate};
use crate::print::{text_of, write_text};

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

/// Returns a property; nil where there is none.
pub(super) fn property<'a>(item: &'a Value, key: &str) -> &'a Value {
    item.as_object().and_then(|object| object.get(key)).unwrap_or(&Value::Null)
}

/// Returns what an item is judged by: itself, or the property that the first argument names.
fn judged<'a>(item: &'a Value, key: Option<&str>) -> &'a Value {
    key.map_or(item, |key| property(item, key))
}

fn key<'a>(arguments: &'a Arguments<'_>) -> Result<Option<Cow<'a, str>>, Fault> {
    arguments.get(0).filter(|key| !key.is_null()).map(text_of).transpose()
}

/// Makes a list of copies, if they may still be produced.
pub(super) fn list<'v>(call: &Call<'_>, items: Vec<&Value>) -> Output<'v> {
    call.budget.afford(items.len().saturating_mul(16))?;
    Ok(Cow::Owned(Value::List(items.into_iter().cloned().collect())))
}

fn join<'v>(call: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    let separator = arguments.get(0).map_or(Ok(Cow::Borrowed(" ")), text_of)?;
    let mut out = String::new();
    for (index, item) in items(&input).into_iter().enumerate() {
        if index > 0 {
            out.push_str(&separator);
        }
        write_text(item, &mut out)?;
        call.budget.afford(out.len())?;
    }
    Ok(owned(out))
}

fn first<'v>(_: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    Ok(Cow::Owned(if let Value::Object(object) = &*input {
        object.first().map_or(Value::Null, pair)
    } else {
        ends(&input).first().map_or(Value::Null, |item| (*item).clone())
    }))
}

fn last<'v>(_: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    Ok(Cow::Owned(if let Value::Object(object) = &*input {
        object.last().map_or(Value::Null, pair)
    } else {
        ends(&input).last().map_or(Value::Null, |item| (*item).clone())
    }))
}

fn pair((name, field): (&std::sync::Arc<str>, &Value)) -> Value {
    Value::List(vec![Value::Text(name.clone()), field.clone()])
}

/// Returns the items without flattening: the first item of a list of lists is a list.
fn ends(value: &Value) -> Vec<&Value> {
    if let Value::List(list) = value { list.iter().collect() } else { items(value) }
}

fn map<'v>(call: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    let key = arguments.text(0)?;
    let mut out = Vec::new();
    for item in items(&input) {
        let Value::Object(object) = item else {
            return Err(Fault::new(format!("an item is a {}, which has no properties", item.kind())));
        };
        out.push(object.get(&*key).unwrap_or(&Value::Null));
    }
    list(call, out)
}

fn compact<'v>(call: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    let key = key(arguments)?;
    list(call, items(&input).into_iter().filter(|item| !judged(item, key.as_deref()).is_null()).collect())
}

fn concat<'v>(call: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    if !matches!(arguments.value(0), Value::List(_)) {
        return Err(Fault::new("needs a list"));
    }
    let mut all = items(&input);
    all.extend(items(arguments.value(0)));
    list(call, all)
}

fn reverse<'v>(call: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    let mut all = items(&input);
    all.reverse();
    list(call, all)
}

fn sort<'v>(call: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    let key = key(arguments)?;
    let mut all = items(&input);
    call.budget.step(all.len())?;
    let mut fault = None;
    all.sort_by(|left, right| {
        let (left, right) = (judged(left, key.as_deref()), judged(right, key.as_deref()));
        nil_last(left, right).unwrap_or_else(|| match order(left, right) {
            Ok(Some(ordering)) => ordering,
            Ok(None) => {
                fault = Some(Fault::new("items of these types cannot be sorted"));
                Ordering::Equal
            }
            Err(error) => {
                fault = Some(error);
                Ordering::Equal
            }
        })
    });
    fault.map_or_else(|| list(call, all), Err)
}

fn nil_last(left: &Value, right: &Value) -> Option<Ordering> {
    match (left.is_null(), right.is_null()) {
        (false, false) => None,
        (left, right) => Some(left.cmp(&right)),
    }
}

fn sort_natural<'v>(call: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    let key = key(arguments)?;
    let all = items(&input);
    call.budget.step(all.len())?;
    let mut keyed = Vec::with_capacity(all.len());
    for item in all {
        let by = judged(item, key.as_deref());
        keyed.push((by.is_null(), text_of(by)?.to_lowercase(), item));
    }
    keyed.sort_by(|left, right| (left.0, &left.1).cmp(&(right.0, &right.1)));
    list(call, keyed.into_iter().map(|(_, _, item)| item).collect())
}

fn uniq<'v>(call: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    let key = key(arguments)?;
    let mut seen = HashSet::new();
    let mut kept = Vec::new();
    for item in items(&input) {
        let mut identity = String::new();
        identify(judged(item, key.as_deref()), &mut identity);
        if seen.insert(identity) {
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
        total = calculate(Operation::Plus, &Number::of(&total), &Number::of(judged(item, key.as_deref())))?;
    }
    Ok(Cow::Owned(total))
}
