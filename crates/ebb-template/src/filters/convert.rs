//! Filters that change a value's type or stand in for it.

use std::borrow::Cow;

use ebb_row::{JsonError, Value, ValueKind, parse_json, write_json};

use crate::compare::{contains, is_empty, is_true};
use crate::error::{Fault, did_you_mean};
use crate::filters::{Arguments, Call, Filter, ITEM, cost, named, owned};
use crate::number::Number;
use crate::print::text_of;

pub(super) const FILTERS: &[Filter] = &[
    Filter::new("default", "Returns the other value where this one is nil, false or empty; 0 is kept.", default)
        .takes("value[, allow_false: true]", 1, 0)
        .names(&["allow_false"])
        .shows("{{ n | default: 0 }}", r#"{"n":null}"#, "0"),
    Filter::new("json", "Writes a value as JSON text.", json).shows(
        "{{ a | json }}",
        r#"{"a":{"x":[1,"b"]}}"#,
        r#""{\"x\":[1,\"b\"]}""#,
    ),
    Filter::new("jsonify", "The same as `json`.", json).shows(
        "{{ a | jsonify }}",
        r#"{"a":[1,"b"]}"#,
        r#""[1,\"b\"]""#,
    ),
    Filter::new("raw", "Leaves a value as it is: the text is JSON already.", raw).shows(
        "{{ a | raw }}",
        r#"{"a":"[1]"}"#,
        r#""[1]""#,
    ),
    Filter::new("parse", "Reads JSON text as a value.", parse).shows(
        "{{ a | parse }}",
        r#"{"a":"{\"x\":[1]}"}"#,
        r#"{"x":[1]}"#,
    ),
    Filter::new("cast", "Changes the type; what cannot be changed is an error for the row, and nil stays nil.", cast)
        .takes("\"string\" | \"number\" | \"boolean\"", 1, 0)
        .checked(check_cast)
        .shows("{{ a | cast: 'boolean' }}", r#"{"a":"yes"}"#, "true"),
    Filter::new("includes", "Returns whether a text holds a text, a list an item, or an object a key.", includes)
        .takes("value", 1, 0)
        .shows("{{ tags | includes: 'b' }}", r#"{"tags":["a","b"]}"#, "true"),
];

type Output<'v> = Result<Cow<'v, Value>, Fault>;

fn default<'v>(_: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    let allows_false = arguments.named("allow_false").is_some_and(is_true);
    let is_false = matches!(&*input, Value::Bool(false));
    let is_missing = input.is_null() || is_empty(&input) || (is_false && !allows_false);
    if !is_missing {
        return Ok(input);
    }
    Ok(arguments.positional.first().cloned().unwrap_or(Cow::Owned(Value::Null)))
}

fn json<'v>(call: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    let length = json_length(&input, &mut Vec::new())?;
    call.budget.afford(length)?;
    let mut out = Vec::with_capacity(length);
    write_json(&input, &mut out).map_err(|error| unwritten(&error))?;
    String::from_utf8(out).map(owned).map_err(|_| Fault::new("the JSON is not UTF-8"))
}

fn unwritten(error: &JsonError) -> Fault {
    Fault::new(error.to_string())
}

/// The bytes of a value as JSON; `scratch` is for what is written to be measured.
fn json_length(value: &Value, scratch: &mut Vec<u8>) -> Result<usize, Fault> {
    match value {
        Value::Text(text) => Ok(json_text_length(text)),
        Value::List(items) => {
            let mut length = 1 + items.len().max(1);
            for item in items {
                length += json_length(item, scratch)?;
            }
            Ok(length)
        }
        Value::Object(object) => {
            let mut length = 1 + object.len().max(1);
            for (name, field) in object {
                length += json_text_length(name) + 1 + json_length(field, scratch)?;
            }
            Ok(length)
        }
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Decimal(_)
        | Value::Bytes(_)
        | Value::Instant(_)
        | Value::LocalTime(_)
        | Value::Date(_)
        | Value::Lookup(_) => {
            scratch.clear();
            write_json(value, scratch).map_err(|error| unwritten(&error))?;
            Ok(scratch.len())
        }
    }
}

fn json_text_length(text: &str) -> usize {
    let length = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' => 2,
        0..0x20 => 6,
        _ => 1,
    };
    2 + text.bytes().map(length).sum::<usize>()
}

fn raw<'v>(_: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    Ok(input)
}

fn parse<'v>(call: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    let Value::Text(text) = &*input else { return Ok(input) };
    call.budget.step(number_steps(text))?;
    call.budget.afford(parsed_weight(text))?;
    parse_json(text, false).map(Cow::Owned).map_err(|error| match &error {
        JsonError::Syntax { offset, expected } => {
            Fault::new(format!("the text is not valid JSON at byte {offset}: expected {expected}"))
        }
        JsonError::Repeated { .. } | JsonError::TooDeep | JsonError::NotFinite | JsonError::Binary => unwritten(&error),
    })
}

/// The work of reading long numbers, in steps: it grows with the square of their digits.
fn number_steps(text: &str) -> usize {
    const SQUARED_DIGITS: usize = 1 << 22;
    let digits = text.split(|character: char| !character.is_ascii_digit()).map(str::len);
    digits.map(|digits| digits.saturating_mul(digits)).fold(0, usize::saturating_add) / SQUARED_DIGITS
}

/// About the bytes that JSON text takes once it is read: its items, and room for lists to grow.
fn parsed_weight(text: &str) -> usize {
    let (mut items, mut containers): (usize, usize) = (0, 0);
    let (mut is_quoted, mut is_escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_quoted,
            b'"' => is_quoted = !is_quoted,
            b',' if !is_quoted => items += 1,
            b'[' | b'{' if !is_quoted => containers += 1,
            _ => {}
        }
    }
    let lists = items.saturating_mul(ITEM + 8).saturating_add(containers.saturating_mul(3 * ITEM));
    lists.max(text.len())
}

const CASTS: [&str; 3] = ["string", "number", "boolean"];

fn check_cast(arguments: &[Option<&Value>]) -> Result<(), Fault> {
    let Some(Some(Value::Text(kind))) = arguments.first() else { return Ok(()) };
    if CASTS.contains(&&**kind) { Ok(()) } else { Err(named("cast", unknown_cast(kind))) }
}

fn unknown_cast(kind: &str) -> Fault {
    let fault = Fault::new("the type is one of \"string\", \"number\", \"boolean\"");
    match did_you_mean(kind, CASTS.into_iter()) {
        Some(hint) => fault.hint(hint),
        None => fault,
    }
}

fn cast<'v>(_: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    let kind = arguments.text(0)?;
    if input.is_null() {
        return Ok(input);
    }
    let refused = || Fault::new(format!("a {} has no {kind} in it", input.kind()));
    match &*kind {
        "string" => {
            if matches!(&*input, Value::List(_) | Value::Object(_)) {
                return Err(refused().hint("use `json`"));
            }
            Ok(owned(text_of(&input)?))
        }
        "number" if input.kind() == ValueKind::Number => Ok(input),
        "number" => {
            let number = input.as_text().and_then(Number::strictly);
            number.map(|number| Cow::Owned(number.into_value())).ok_or_else(refused)
        }
        "boolean" => boolean(&input).map(|flag| Cow::Owned(Value::Bool(flag))).ok_or_else(refused),
        other => Err(unknown_cast(other)),
    }
}

fn boolean(value: &Value) -> Option<bool> {
    if let Value::Bool(flag) = value {
        return Some(*flag);
    }
    let text = value.canonical_text()?;
    match text.trim().to_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "1" | "on" => Some(true),
        "false" | "f" | "no" | "n" | "0" | "off" => Some(false),
        _ => None,
    }
}

fn includes<'v>(call: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    let value = arguments.value(0);
    if let Value::List(items) = &*input {
        call.budget.step(items.len().saturating_mul(cost(value)))?;
    }
    if let (Value::List(items), Value::Bool(_)) = (&*input, value) {
        return Ok(Cow::Owned(Value::Bool(items.contains(value))));
    }
    contains(&input, value).map(|found| Cow::Owned(Value::Bool(found)))
}
