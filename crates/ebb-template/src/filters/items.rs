//! Filters that choose items of a list, or fields of an object.

use std::borrow::Cow;
use std::collections::HashSet;

use ebb_row::{Object, Value};

use crate::compare::{equals, is_true};
use crate::error::Fault;
use crate::filters::lists::{items, list, property};
use crate::filters::made::copy;
use crate::filters::{Arguments, Call, Filter, ITEM, cost, weight};
use crate::print::text_of;

const PEOPLE: &str = r#"{"a":[{"id":1,"paid":true},{"id":2,"paid":false}]}"#;

pub(super) const FILTERS: &[Filter] = &[
    Filter::new("where", "Keeps the items whose property equals the value, or is true without one.", filter_where)
        .takes("key[, value]", 1, 1)
        .shows("{{ a | where: 'paid' | map: 'id' }}", PEOPLE, "[1]"),
    Filter::new("reject", "Drops the items whose property equals the value, or is true without one.", reject)
        .takes("key[, value]", 1, 1)
        .shows("{{ a | reject: 'paid' | map: 'id' }}", PEOPLE, "[2]"),
    Filter::new("find", "Returns the first item whose property equals the value.", find)
        .takes("key[, value]", 1, 1)
        .shows("{{ a | find: 'id', 2 | json }}", PEOPLE, r#""{\"id\":2,\"paid\":false}""#),
    Filter::new("find_index", "Returns the position of that item, from 0.", find_index)
        .takes("key[, value]", 1, 1)
        .shows("{{ a | find_index: 'id', 2 }}", PEOPLE, "1"),
    Filter::new("has", "Returns whether there is such an item.", has).takes("key[, value]", 1, 1).shows(
        "{{ a | has: 'id', 3 }}",
        PEOPLE,
        "false",
    ),
    Filter::new("only", "Keeps these keys of an object; they may also come as one list or object.", only)
        .takes("key, ...", 1, usize::MAX)
        .shows("{{ a | only: 'x' }}", r#"{"a":{"x":1,"y":2}}"#, r#"{"x":1}"#),
    Filter::new("except", "Drops these keys of an object; they may also come as one list or object.", except)
        .takes("key, ...", 1, usize::MAX)
        .shows("{{ a | except: 'x' }}", r#"{"a":{"x":1,"y":2}}"#, r#"{"y":2}"#),
    Filter::new("keys", "Returns an object's keys.", keys).shows(
        "{{ a | keys }}",
        r#"{"a":{"x":1,"y":2}}"#,
        r#"["x","y"]"#,
    ),
];

type Output<'v> = Result<Cow<'v, Value>, Fault>;

/// Judges each item by the filter's key and value.
fn judged<'a>(call: &Call<'_>, input: &'a Value, arguments: &Arguments<'_>) -> Result<Vec<(&'a Value, bool)>, Fault> {
    let key = arguments.text(0)?;
    let wanted = arguments.get(1).filter(|value| !value.is_null());
    let all = items(input);
    call.budget.step(all.len().saturating_mul(wanted.map_or(0, cost)))?;
    let judge = |item| {
        let property = property(item, &key)?;
        Ok((item, wanted.map_or_else(|| is_true(property), |wanted| equals(property, wanted))))
    };
    all.into_iter().map(judge).collect()
}

fn filter_where<'v>(call: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    let kept =
        judged(call, &input, arguments)?.into_iter().filter(|(_, matches)| *matches).map(|(item, _)| item).collect();
    list(call, kept)
}

fn reject<'v>(call: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    let kept =
        judged(call, &input, arguments)?.into_iter().filter(|(_, matches)| !*matches).map(|(item, _)| item).collect();
    list(call, kept)
}

fn find<'v>(call: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    let found = judged(call, &input, arguments)?.into_iter().find(|(_, matches)| *matches).map(|(item, _)| item);
    copy(call, found.unwrap_or(&Value::Null)).map(Cow::Owned)
}

fn find_index<'v>(call: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    let found = judged(call, &input, arguments)?.into_iter().position(|(_, matches)| matches);
    let index = found.and_then(|index| i128::try_from(index).ok());
    Ok(Cow::Owned(index.map_or(Value::Null, Value::Int)))
}

fn has<'v>(call: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    Ok(Cow::Owned(Value::Bool(judged(call, &input, arguments)?.into_iter().any(|(_, matches)| matches))))
}

/// Returns the keys that the arguments name.
fn named_keys(arguments: &Arguments<'_>) -> Result<HashSet<String>, Fault> {
    let mut keys = HashSet::new();
    for argument in &arguments.positional {
        if let Value::Object(object) = &**argument {
            keys.extend(object.keys().map(ToString::to_string));
            continue;
        }
        for key in items(argument) {
            keys.insert(text_of(key)?.into_owned());
        }
    }
    Ok(keys)
}

fn picked<'v>(call: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>, keeps_named: bool) -> Output<'v> {
    if input.is_null() {
        return Ok(input);
    }
    let Value::Object(object) = &*input else {
        return Err(Fault::new(format!("needs an object, not a {}", input.kind())));
    };
    let keys = named_keys(arguments)?;
    let kept = || object.iter().filter(|(name, _)| keys.contains(&***name) == keeps_named);
    call.budget.afford(kept().map(|(name, field)| ITEM + name.len() + weight(field)).sum())?;
    Ok(Cow::Owned(Value::Object(kept().map(|(name, field)| (name.clone(), field.clone())).collect::<Object>())))
}

fn only<'v>(call: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    picked(call, input, arguments, true)
}

fn except<'v>(call: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    picked(call, input, arguments, false)
}

fn keys<'v>(call: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    if input.is_null() {
        return Ok(Cow::Owned(Value::List(Vec::new())));
    }
    let Value::Object(object) = &*input else {
        return Err(Fault::new(format!("needs an object, not a {}", input.kind())));
    };
    call.budget.afford(object.keys().map(|name| ITEM + name.len()).sum())?;
    Ok(Cow::Owned(Value::List(object.keys().cloned().map(Value::Text).collect())))
}
