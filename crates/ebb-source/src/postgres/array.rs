//! Arrays as JSON lists, nested where they have several dimensions.

use std::borrow::Cow;

use ebb_row::write_json_string;

use super::cells::{self, MALFORMED};
use super::kinds::Kind;
use crate::calendar::{DAY_MICROS, write};
use crate::columns::Reason;

/// The most dimensions that Postgres allows (`MAXDIM`).
const MAX_DIMENSIONS: usize = 6;

/// Appends an array of `element`s; lower bounds other than 1 are left out.
pub(super) fn write_array(element: &Kind, cell: &[u8], out: &mut Vec<u8>) -> Result<(), Reason> {
    let mut rest = Bytes(cell);
    let dimensions = usize::try_from(cells::int4(rest.take(4)?)?).map_err(|_| MALFORMED)?;
    if dimensions > MAX_DIMENSIONS {
        return Err(MALFORMED);
    }
    rest.take(8)?;
    let mut sizes = Vec::with_capacity(dimensions);
    for _ in 0..dimensions {
        sizes.push(cells::int4(rest.take(4)?)?);
        rest.take(4)?;
    }
    if sizes.is_empty() {
        out.extend_from_slice(b"[]");
    } else {
        write_dimension(element, &sizes, &mut rest, out)?;
    }
    if rest.0.is_empty() { Ok(()) } else { Err(MALFORMED) }
}

fn write_dimension(element: &Kind, sizes: &[i32], rest: &mut Bytes<'_>, out: &mut Vec<u8>) -> Result<(), Reason> {
    let Some((size, inner)) = sizes.split_first() else { return write_element(element, rest, out) };
    out.push(b'[');
    for index in 0..*size {
        if index > 0 {
            out.push(b',');
        }
        write_dimension(element, inner, rest, out)?;
    }
    out.push(b']');
    Ok(())
}

fn write_element(kind: &Kind, rest: &mut Bytes<'_>, out: &mut Vec<u8>) -> Result<(), Reason> {
    let length = cells::int4(rest.take(4)?)?;
    if length == -1 {
        out.extend_from_slice(b"null");
        return Ok(());
    }
    let cell = rest.take(usize::try_from(length).map_err(|_| MALFORMED)?)?;
    match kind {
        Kind::Boolean => write(out, format_args!("{}", cells::boolean(cell)?)),
        Kind::Int2 => write(out, format_args!("{}", cells::int2(cell)?)),
        Kind::Int4 => write(out, format_args!("{}", cells::int4(cell)?)),
        Kind::Int8 => write(out, format_args!("{}", cells::int8(cell)?)),
        Kind::Oid => write(out, format_args!("{}", cells::uint4(cell)?)),
        Kind::Oid8 => write(out, format_args!("{}", u64::from_be_bytes(cells::fixed(cell)?))),
        Kind::Float4 => write_float(cells::float4(cell)?, out)?,
        Kind::Float8 => write_float(cells::float8(cell)?, out)?,
        Kind::Numeric => {
            let start = out.len();
            cells::write_numeric(cell, out)?;
            if out.last().is_some_and(u8::is_ascii_alphabetic) {
                out.truncate(start);
                return Err(NOT_FINITE);
            }
        }
        Kind::Json => write_json(cell, out)?,
        Kind::Jsonb => write_json(cells::jsonb(cell)?, out)?,
        Kind::Text => write_json_string(utf8(cell)?, out),
        Kind::Date => write_quoted(&date_text(cells::days(cell)?)?, out),
        Kind::Timestamp | Kind::Timestamptz => write_quoted(&instant_text(cells::micros(cell)?)?, out),
        Kind::Time | Kind::Timetz | Kind::Interval | Kind::Uuid | Kind::Inet | Kind::Macaddr | Kind::Bits => {
            out.push(b'"');
            cells::write_text(kind, cell, out)?;
            out.push(b'"');
        }
        Kind::Bytea | Kind::Array(_) => return Err(MALFORMED),
    }
    Ok(())
}

const NOT_FINITE: Reason = "the array holds NaN or an infinity, which JSON cannot hold";

fn write_float(number: f64, out: &mut Vec<u8>) -> Result<(), Reason> {
    if !number.is_finite() {
        return Err(NOT_FINITE);
    }
    let mut buffer = ryu::Buffer::new();
    let digits = buffer.format_finite(number);
    out.extend_from_slice(digits.strip_suffix(".0").unwrap_or(digits).as_bytes());
    Ok(())
}

fn write_json(cell: &[u8], out: &mut Vec<u8>) -> Result<(), Reason> {
    out.extend_from_slice(utf8(cell)?.as_bytes());
    Ok(())
}

fn write_quoted(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

fn utf8(cell: &[u8]) -> Result<&str, Reason> {
    std::str::from_utf8(cell).map_err(|_| "the text is not valid UTF-8")
}

fn date_text(days: i64) -> Result<Cow<'static, str>, Reason> {
    let instant = chrono::DateTime::from_timestamp_micros(days * DAY_MICROS).ok_or(MALFORMED)?;
    Ok(instant.date_naive().to_string().into())
}

/// Returns the text that a timestamp has in a column of its own.
fn instant_text(micros: i64) -> Result<Cow<'static, str>, Reason> {
    let instant = chrono::DateTime::from_timestamp_micros(micros).ok_or(MALFORMED)?;
    let precision = if micros % 1000 == 0 { chrono::SecondsFormat::Millis } else { chrono::SecondsFormat::Micros };
    Ok(instant.to_rfc3339_opts(precision, true).into())
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Reason> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(MALFORMED)?;
        self.0 = rest;
        Ok(taken)
    }
}
