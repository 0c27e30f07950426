//! Exact arithmetic: integers of 128 bits, decimals, and floats calculated as the decimals they print as.

use std::cmp::Ordering;
use std::str::FromStr;

use bigdecimal::num_bigint::BigInt;
use bigdecimal::{BigDecimal, RoundingMode, ToPrimitive, Zero};
use ebb_row::Value;

use crate::error::Fault;
use crate::limits::NUMBER_DIGITS;

/// The significant digits of a quotient that does not end.
const QUOTIENT_DIGITS: u64 = 34;
/// Whole numbers up to here are exact in a float.
const EXACT_IN_FLOAT: f64 = 9_007_199_254_740_992.0;
const EXACT_IN_FLOAT_INT: u128 = 9_007_199_254_740_992;

/// A value made a number.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Number {
    Int(i128),
    Float(f64),
    Decimal(BigDecimal),
    /// A decimal read from text: its trailing zeros mean nothing.
    Text(BigDecimal),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Plus,
    Minus,
    Times,
    DividedBy,
    Modulo,
}

/// The kind that a result of several numbers has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Int,
    Float,
    Text,
    Decimal,
}

impl Number {
    /// Makes a number of any value: text by its leading number, anything without one is 0.
    pub(crate) fn of(value: &Value) -> Self {
        match value {
            Value::Int(number) => Self::Int(*number),
            Value::Float(number) => Self::Float(*number),
            Value::Decimal(number) => Self::Decimal((**number).clone()),
            Value::Text(text) => Self::of_text(text),
            Value::Null
            | Value::Bool(_)
            | Value::Bytes(_)
            | Value::Instant(_)
            | Value::LocalTime(_)
            | Value::Date(_)
            | Value::List(_)
            | Value::Object(_)
            | Value::Lookup(_) => Self::Int(0),
        }
    }

    fn of_text(text: &str) -> Self {
        let text = text.trim();
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let whole = unsigned.find(|next: char| !next.is_ascii_digit()).unwrap_or(unsigned.len());
        let (digits, rest) = unsigned.split_at(whole);
        if digits.is_empty() || text.len() > 2_000 {
            return Self::Int(0);
        }
        let is_decimal = rest
            .strip_prefix('.')
            .is_some_and(|fraction| !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit()));
        if is_decimal && let Ok(number) = BigDecimal::from_str(text) {
            return Self::Text(number);
        }
        let mut leading = text.strip_suffix(rest).unwrap_or(text).to_owned();
        // As in Ruby, `1_000` is a thousand.
        let mut after = rest.strip_prefix('_').unwrap_or_default();
        while after.starts_with(|next: char| next.is_ascii_digit()) {
            let digits = after.find(|next: char| !next.is_ascii_digit()).unwrap_or(after.len());
            let (group, behind) = after.split_at(digits);
            leading.push_str(group);
            after = behind.strip_prefix('_').unwrap_or_default();
        }
        match leading.parse() {
            Ok(number) => Self::Int(number),
            Err(_) => BigDecimal::from_str(&leading).map_or(Self::Int(0), Self::Text),
        }
    }

    /// Reads text that must be a number as a whole.
    pub(crate) fn strictly(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(number) = text.parse() {
            return Some(Self::Int(number));
        }
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let is_plain = unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.')
            && unsigned.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
        let exponent = text.find(['e', 'E']).map_or(Some(0), |at| text.get(at + 1..)?.parse::<i32>().ok());
        if !is_plain || text.len() > 2_000 || exponent.is_none_or(|exponent| exponent.abs() > 400) {
            return None;
        }
        BigDecimal::from_str(text).ok().map(Self::Decimal)
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Int(_) => Kind::Int,
            Self::Float(_) => Kind::Float,
            Self::Text(_) => Kind::Text,
            Self::Decimal(_) => Kind::Decimal,
        }
    }

    fn decimal(&self) -> Result<BigDecimal, Fault> {
        match self {
            Self::Int(number) => Ok(BigDecimal::from(*number)),
            Self::Float(number) => float_decimal(*number),
            Self::Decimal(number) | Self::Text(number) => Ok(number.clone()),
        }
    }

    pub(crate) fn into_value(self) -> Value {
        match self {
            Self::Int(number) => Value::Int(number),
            Self::Float(number) => Value::Float(number),
            Self::Decimal(number) | Self::Text(number) => Value::from(number),
        }
    }

    /// Returns the whole part, where 128 bits hold it.
    pub(crate) fn truncated(&self) -> Option<i128> {
        match self {
            Self::Int(number) => Some(*number),
            Self::Float(number) => number.trunc().to_i128(),
            Self::Decimal(number) | Self::Text(number) => number.with_scale_round(0, RoundingMode::Down).to_i128(),
        }
    }

    fn is_zero(&self) -> bool {
        match self {
            Self::Int(number) => *number == 0,
            Self::Float(number) => *number == 0.0,
            Self::Decimal(number) | Self::Text(number) => number.is_zero(),
        }
    }

    /// Compares by value; `None` beside a NaN.
    pub(crate) fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(left), Self::Int(right)) => Some(left.cmp(right)),
            (Self::Float(left), Self::Float(right)) => left.partial_cmp(right),
            (Self::Float(float), exact) => float_against(*float, exact),
            (exact, Self::Float(float)) => float_against(*float, exact).map(Ordering::reverse),
            (left, right) => Some(left.decimal().ok()?.cmp(&right.decimal().ok()?)),
        }
    }
}

/// Compares a float with an exact number.
fn float_against(float: f64, exact: &Number) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    if let Number::Int(number) = exact
        && number.unsigned_abs() <= EXACT_IN_FLOAT_INT
    {
        return float.partial_cmp(&number.to_f64()?);
    }
    if float.is_infinite() {
        return Some(if float > 0.0 { Ordering::Greater } else { Ordering::Less });
    }
    Some(float_decimal(float).ok()?.cmp(&exact.decimal().ok()?))
}

fn float_decimal(number: f64) -> Result<BigDecimal, Fault> {
    if !number.is_finite() {
        return Err(Fault::new("a number is NaN or infinite"));
    }
    BigDecimal::from_str(&number.to_string()).map_err(|_| Fault::new("a number is not usable"))
}

fn decimal_float(number: &BigDecimal) -> f64 {
    number.to_scientific_notation().parse().unwrap_or(f64::NAN)
}

/// Calculates; the result is an integer of integers, a decimal where one takes part, else a float.
pub(crate) fn calculate(operation: Operation, left: &Number, right: &Number) -> Result<Value, Fault> {
    let divides = matches!(operation, Operation::DividedBy | Operation::Modulo);
    if divides && right.is_zero() {
        return Err(Fault::new("division by zero"));
    }
    if let (Number::Int(left), Number::Int(right)) = (left, right)
        && let Some(result) = integer(operation, *left, *right)
    {
        return Ok(Value::Int(result));
    }
    let kind = left.kind().max(right.kind());
    if kind == Kind::Float
        && let Some(result) = whole_float(operation, left, right)
    {
        return Ok(Value::Float(result));
    }
    let exact = exactly(operation, &left.decimal()?, &right.decimal()?, kind == Kind::Int)?;
    Ok(match kind {
        Kind::Float => Value::Float(decimal_float(&exact)),
        Kind::Int | Kind::Decimal => Value::from(exact),
        Kind::Text => Value::from(without_zeros(&exact, 1)),
    })
}

fn integer(operation: Operation, left: i128, right: i128) -> Option<i128> {
    match operation {
        Operation::Plus => left.checked_add(right),
        Operation::Minus => left.checked_sub(right),
        Operation::Times => left.checked_mul(right),
        Operation::DividedBy => {
            let quotient = left.checked_div(right)?;
            let is_below = left.checked_rem(right)? != 0 && (left < 0) != (right < 0);
            Some(if is_below { quotient - 1 } else { quotient })
        }
        Operation::Modulo => {
            let rest = left.checked_rem(right)?;
            Some(if rest != 0 && (rest < 0) != (right < 0) { rest + right } else { rest })
        }
    }
}

/// Calculates whole numbers in floats, where that is exact or rounds the exact result once.
fn whole_float(operation: Operation, left: &Number, right: &Number) -> Option<f64> {
    let (left, right) = (small_whole(left)?, small_whole(right)?);
    let result = match operation {
        Operation::Plus => left + right,
        Operation::Minus => left - right,
        Operation::Times => left * right,
        Operation::DividedBy => return Some(left / right),
        Operation::Modulo => return None,
    };
    (result.abs() <= EXACT_IN_FLOAT).then_some(result)
}

fn small_whole(number: &Number) -> Option<f64> {
    let float = match number {
        Number::Int(number) if number.unsigned_abs() <= EXACT_IN_FLOAT_INT => number.to_f64()?,
        Number::Float(number) => *number,
        Number::Int(_) | Number::Decimal(_) | Number::Text(_) => return None,
    };
    (float.abs() <= EXACT_IN_FLOAT && float.fract() == 0.0).then_some(float)
}

fn exactly(operation: Operation, left: &BigDecimal, right: &BigDecimal, floors: bool) -> Result<BigDecimal, Fault> {
    let too_large = || Fault::new(format!("the result needs more than {NUMBER_DIGITS} digits"));
    let span = |number: &BigDecimal| number.digits().saturating_add(number.fractional_digit_count().unsigned_abs());
    if span(left).saturating_add(span(right)) > 4 * NUMBER_DIGITS {
        return Err(too_large());
    }
    let result = match operation {
        Operation::Plus => left + right,
        Operation::Minus => left - right,
        Operation::Times => left * right,
        Operation::DividedBy if floors => quotient(left, right).with_scale_round(0, RoundingMode::Floor),
        Operation::DividedBy => quotient(left, right),
        Operation::Modulo => {
            let rest = left % right;
            if !rest.is_zero() && (rest.sign() != right.sign()) { rest + right } else { rest }
        }
    };
    if result.digits() > NUMBER_DIGITS { Err(too_large()) } else { Ok(result) }
}

/// Divides; exact where the quotient ends within 34 significant digits, else rounded to as many.
fn quotient(left: &BigDecimal, right: &BigDecimal) -> BigDecimal {
    let (numerator, left_scale) = left.as_bigint_and_scale();
    let (divisor, right_scale) = right.as_bigint_and_scale();
    let shift = (QUOTIENT_DIGITS + 2 + right.digits()).saturating_sub(left.digits());
    let scaled = &*numerator * BigInt::from(10_u8).pow(u32::try_from(shift).unwrap_or(u32::MAX));
    let whole = &scaled / &*divisor;
    let is_exact = &whole * &*divisor == scaled;
    let scale = left_scale - right_scale + i64::try_from(shift).unwrap_or(i64::MAX);
    if is_exact {
        return without_zeros(&BigDecimal::new(whole, scale), (left_scale - right_scale).max(0));
    }
    // The digit behind the last keeps a tie from being seen where the rest is not zero.
    let sticky = if (whole < BigInt::zero()) || (left.sign() != right.sign()) { -1 } else { 1 };
    let with_sticky = whole * BigInt::from(10_u8) + BigInt::from(sticky);
    let wide = BigDecimal::new(with_sticky, scale + 1);
    let keep = wide.fractional_digit_count() - i64::try_from(wide.digits() - QUOTIENT_DIGITS).unwrap_or(0);
    wide.with_scale_round(keep, RoundingMode::HalfUp)
}

/// Drops trailing zeros of the fraction down to `least` digits.
fn without_zeros(number: &BigDecimal, least: i64) -> BigDecimal {
    let short = number.normalized();
    if short.fractional_digit_count() < least { short.with_scale(least) } else { short }
}

/// Rounds to `places` digits behind the point by `mode`; 0 places give an integer.
pub(crate) fn round(number: &Number, places: i64, mode: RoundingMode) -> Result<Value, Fault> {
    if let (Number::Int(number), 0..) = (number, places) {
        return Ok(Value::Int(*number));
    }
    if let (Number::Float(number), Ok(places @ 0..=15)) = (number, i32::try_from(places))
        && let Some(rounded) = round_float(*number, places, mode)
    {
        return Ok(rounded);
    }
    let rounded = number.decimal()?.with_scale_round(places, mode);
    if places <= 0 {
        return Ok(rounded.to_i128().map_or_else(|| Value::from(rounded.with_scale(0)), Value::Int));
    }
    Ok(match number {
        Number::Float(_) => Value::Float(decimal_float(&rounded)),
        Number::Text(_) => Value::from(without_zeros(&rounded, 1)),
        Number::Int(_) | Number::Decimal(_) => Value::from(rounded),
    })
}

/// Rounds a float where binary arithmetic surely gives what rounding its decimal digits gives: away from ties, and far
/// below the size where a float has no digits left.
fn round_float(number: f64, places: i32, mode: RoundingMode) -> Option<Value> {
    const LARGEST: f64 = 1e12;
    const MARGIN: f64 = 1e-3;
    let power = 10_f64.powi(places);
    let scaled = number * power;
    let rest = (scaled - scaled.floor()).abs();
    let is_clear = |edge: f64| (rest - edge).abs() > MARGIN;
    if scaled.abs() > LARGEST || !is_clear(0.5) || !is_clear(0.0) || !is_clear(1.0) {
        return None;
    }
    let whole = match mode {
        RoundingMode::HalfUp => scaled.round(),
        RoundingMode::Ceiling => scaled.ceil(),
        RoundingMode::Floor => scaled.floor(),
        RoundingMode::Down => scaled.trunc(),
        RoundingMode::Up | RoundingMode::HalfDown | RoundingMode::HalfEven => return None,
    };
    if places == 0 { whole.to_i128().map(Value::Int) } else { Some(Value::Float(whole / power)) }
}

/// Returns the number without its sign.
pub(crate) fn absolute(number: Number) -> Value {
    match number {
        Number::Int(number) => {
            number.checked_abs().map_or_else(|| Value::from(BigDecimal::from(number).abs()), Value::Int)
        }
        Number::Float(number) => Value::Float(number.abs()),
        Number::Decimal(number) | Number::Text(number) => Value::from(number.abs()),
    }
}

/// Writes a float as Liquid does: always with a fraction, and with an exponent from 1e15 and below 1e-4.
pub(crate) fn write_float(number: f64, out: &mut String) {
    if !number.is_finite() {
        out.push_str(if number.is_nan() {
            "NaN"
        } else if number > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        });
        return;
    }
    let magnitude = number.abs();
    if magnitude == 0.0 || (1e-4..1e15).contains(&magnitude) {
        let text = format!("{number:?}");
        out.push_str(&text);
        return;
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    out.push_str(digits);
    if !digits.contains('.') {
        out.push_str(".0");
    }
    out.push('e');
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
    out.push(sign);
    if exponent.len() < 2 {
        out.push('0');
    }
    out.push_str(exponent);
}
