//! Filters on numbers.

use std::borrow::Cow;
use std::cmp::Ordering;

use bigdecimal::RoundingMode;
use ebb_row::Value;

use crate::error::Fault;
use crate::filters::{Arguments, Call, Filter};
use crate::number::{Number, Operation, absolute, calculate, round as round_number};

pub(super) const FILTERS: &[Filter] = &[
    Filter::new("plus", "Adds.", plus).takes("number", 1, 0).shows("{{ a | plus: 0.2 }}", r#"{"a":0.1}"#, "0.3"),
    Filter::new("minus", "Subtracts.", minus).takes("number", 1, 0).shows("{{ a | minus: 1 }}", r#"{"a":3}"#, "2"),
    Filter::new("times", "Multiplies.", times).takes("number", 1, 0).shows(
        "{{ a | times: 3 }}",
        r#"{"a":"1.10"}"#,
        "3.3",
    ),
    Filter::new("divided_by", "Divides; of two integers the result is rounded down.", divided_by)
        .takes("number", 1, 0)
        .shows("{{ cents | divided_by: 100.0 }}", r#"{"cents":12345}"#, "123.45"),
    Filter::new("modulo", "Returns the rest of a division; it has the divisor's sign.", modulo)
        .takes("number", 1, 0)
        .shows("{{ a | modulo: 3 }}", r#"{"a":-7}"#, "2"),
    Filter::new("abs", "Drops the sign.", abs).shows("{{ a | abs }}", r#"{"a":-7}"#, "7"),
    Filter::new("ceil", "Rounds up to an integer.", ceil).shows("{{ a | ceil }}", r#"{"a":1.2}"#, "2"),
    Filter::new("floor", "Rounds down to an integer.", floor).shows("{{ a | floor }}", r#"{"a":-1.2}"#, "-2"),
    Filter::new("round", "Rounds to a number of digits behind the point, halves away from zero.", round)
        .takes("digits = 0", 0, 1)
        .shows("{{ a | round: 2 }}", r#"{"a":1.005}"#, "1.01"),
    Filter::new("at_least", "Returns the larger number.", at_least).takes("number", 1, 0).shows(
        "{{ seats | at_least: 5 }}",
        r#"{"seats":3}"#,
        "5",
    ),
    Filter::new("at_most", "Returns the smaller number.", at_most).takes("number", 1, 0).shows(
        "{{ seats | at_most: 5 }}",
        r#"{"seats":30}"#,
        "5",
    ),
    Filter::new("to_integer", "Makes an integer; the fraction is cut off.", to_integer).shows(
        "{{ a | to_integer }}",
        r#"{"a":"12.9"}"#,
        "12",
    ),
];

type Output<'v> = Result<Cow<'v, Value>, Fault>;

fn calculated<'v>(operation: Operation, input: &Value, arguments: &Arguments<'v>) -> Output<'v> {
    calculate(operation, &Number::of(input), &arguments.number(0)).map(Cow::Owned)
}

fn plus<'v>(_: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    calculated(Operation::Plus, &input, arguments)
}

fn minus<'v>(_: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    calculated(Operation::Minus, &input, arguments)
}

fn times<'v>(_: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    calculated(Operation::Times, &input, arguments)
}

fn divided_by<'v>(_: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    calculated(Operation::DividedBy, &input, arguments)
}

fn modulo<'v>(_: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    calculated(Operation::Modulo, &input, arguments)
}

fn abs<'v>(_: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    Ok(Cow::Owned(absolute(Number::of(&input))))
}

fn ceil<'v>(_: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    round_number(&Number::of(&input), 0, RoundingMode::Ceiling).map(Cow::Owned)
}

fn floor<'v>(_: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    round_number(&Number::of(&input), 0, RoundingMode::Floor).map(Cow::Owned)
}

fn to_integer<'v>(_: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    round_number(&Number::of(&input), 0, RoundingMode::Down).map(Cow::Owned)
}

fn round<'v>(_: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    let places = round_number(&arguments.number(0), 0, RoundingMode::Down)?;
    let places = if let Value::Int(places) = places { places.clamp(-400, 400) } else { 0 };
    let places = i64::try_from(places).unwrap_or(0);
    round_number(&Number::of(&input), places, RoundingMode::HalfUp).map(Cow::Owned)
}

fn bounded<'v>(input: &Value, arguments: &Arguments<'v>, replaced: Ordering) -> Output<'v> {
    let (number, bound) = (Number::of(input), arguments.number(0));
    let result = if number.compare(&bound) == Some(replaced) { bound } else { number };
    Ok(Cow::Owned(result.into_value()))
}

fn at_least<'v>(_: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    bounded(&input, arguments, Ordering::Less)
}

fn at_most<'v>(_: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    bounded(&input, arguments, Ordering::Greater)
}
