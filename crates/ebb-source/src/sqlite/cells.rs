//! What a declared type makes of `SQLite`'s cells, each of which has a type of its own.

use ebb_row::ColumnType;
use rusqlite::types::ValueRef;

use crate::calendar::{self, DAY_MICROS};
use crate::columns::{ColumnBuilder, Reason};
use crate::statement::is_plain_number;

/// Integers of at most this size are exact as floats.
const EXACT_IN_FLOAT: u64 = 1 << 53;
/// The seconds of the years 1 to 9999; what lies beyond is no Unix time but most likely milliseconds.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// The words that declare integers. `SQLite` itself looks for `INT` anywhere, even in `POINT`.
const INTEGERS: [&str; 16] = [
    "INT",
    "INTEGER",
    "TINYINT",
    "SMALLINT",
    "MEDIUMINT",
    "BIGINT",
    "INT2",
    "INT4",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "LONG",
    "SERIAL",
    "SMALLSERIAL",
    "BIGSERIAL",
];

/// Returns the column type for a declared type; `None` when there is none, as for an expression.
///
/// `SQLite` itself takes any words here, so types are known by their words, and those it does not know are `Any`.
pub(super) fn column_type(declared: Option<&str>) -> ColumnType {
    let declared = declared.unwrap_or_default().to_ascii_uppercase();
    let name = declared.split('(').next().unwrap_or_default();
    let words: Vec<&str> =
        name.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty()).collect();
    let has = |candidates: &[&str]| words.iter().any(|word| candidates.contains(word));
    // `TIMESTAMP(6) WITH TIME ZONE` has words behind the bracket.
    let zoned = declared.contains("WITH TIME ZONE") || has(&["TIMESTAMPTZ", "DATETIMEOFFSET"]);
    if zoned {
        ColumnType::Timestamp
    } else if has(&["DATETIME", "DATETIME2", "TIMESTAMP", "SMALLDATETIME"]) {
        ColumnType::LocalTimestamp
    } else if has(&["DATE"]) {
        ColumnType::Date
    } else if has(&["BOOL", "BOOLEAN"]) {
        ColumnType::Boolean
    } else if has(&["JSON", "JSONB"]) {
        ColumnType::Json
    } else if has(&["TEXT", "CLOB", "STRING", "UUID", "GUID", "TIME", "ENUM", "CHARACTER", "NAME", "XML"])
        || words.iter().any(|word| word.ends_with("CHAR") || word.starts_with("VARCHAR") || word.ends_with("TEXT"))
    {
        ColumnType::Text
    } else if words.iter().any(|word| word.ends_with("BLOB")) || has(&["BINARY", "VARBINARY", "BYTEA", "BYTES"]) {
        ColumnType::Binary
    } else if has(&["REAL", "FLOAT", "DOUBLE", "FLOAT4", "FLOAT8"]) {
        ColumnType::Float
    } else if has(&["DECIMAL", "NUMERIC", "NUMBER", "DEC", "MONEY", "CURRENCY", "FIXED"]) {
        ColumnType::Decimal
    } else if words.iter().any(|word| INTEGERS.contains(word)) {
        ColumnType::Integer
    } else {
        ColumnType::Any
    }
}

/// Appends one cell to a column of type `kind`, or says why it does not fit.
#[inline]
pub(super) fn append(kind: ColumnType, cell: ValueRef<'_>, out: &mut ColumnBuilder) -> Result<(), Reason> {
    if cell == ValueRef::Null {
        out.null();
        return Ok(());
    }
    match kind {
        ColumnType::Text => text(cell, out),
        ColumnType::Integer => out.integer(integer(cell)?),
        ColumnType::Float => out.float(float(cell)?),
        ColumnType::Boolean => out.boolean(boolean(cell)?),
        ColumnType::Decimal => return out.write(|out| decimal(cell, out)),
        ColumnType::Timestamp | ColumnType::LocalTimestamp => out.timestamp(micros(cell)?),
        ColumnType::Date => out.date(date(cell)?),
        ColumnType::Json => return out.write(|out| json(cell, out)),
        ColumnType::Binary => out.bytes(binary(cell)?),
        ColumnType::Any => return out.write(|out| any(cell, out)),
        ColumnType::Unsigned => return Err("SQLite has no unsigned integers"),
    }
    Ok(())
}

fn text(cell: ValueRef<'_>, out: &mut ColumnBuilder) {
    match cell {
        ValueRef::Text(text) | ValueRef::Blob(text) => out.bytes(text),
        ValueRef::Integer(number) => out.bytes(itoa::Buffer::new().format(number).as_bytes()),
        ValueRef::Real(number) => out.bytes(ryu::Buffer::new().format(number).as_bytes()),
        ValueRef::Null => out.null(),
    }
}

fn integer(cell: ValueRef<'_>) -> Result<i64, Reason> {
    match cell {
        ValueRef::Integer(number) => Ok(number),
        ValueRef::Real(_) => Err("a floating-point number in a column declared as integer"),
        ValueRef::Text(_) => Err("a text in a column declared as integer"),
        ValueRef::Blob(_) | ValueRef::Null => Err("a blob in a column declared as integer"),
    }
}

fn float(cell: ValueRef<'_>) -> Result<f64, Reason> {
    match cell {
        ValueRef::Real(number) => Ok(number),
        ValueRef::Integer(number) => exact_float(number).ok_or("an integer that a floating-point number cannot hold"),
        ValueRef::Text(_) => Err("a text in a column declared as floating-point"),
        ValueRef::Blob(_) | ValueRef::Null => Err("a blob in a column declared as floating-point"),
    }
}

fn exact_float(number: i64) -> Option<f64> {
    if number.unsigned_abs() > EXACT_IN_FLOAT {
        return None;
    }
    // Two halves of 32 bits: each converts without loss, and so does their sum within 53 bits.
    let high = i32::try_from(number >> 32).ok()?;
    let low = u32::try_from(number & 0xffff_ffff).ok()?;
    Some(f64::from(high) * 4_294_967_296.0 + f64::from(low))
}

fn boolean(cell: ValueRef<'_>) -> Result<bool, Reason> {
    match cell {
        ValueRef::Integer(0) => Ok(false),
        ValueRef::Integer(1) => Ok(true),
        ValueRef::Text(text) if text.eq_ignore_ascii_case(b"true") => Ok(true),
        ValueRef::Text(text) if text.eq_ignore_ascii_case(b"false") => Ok(false),
        ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Text(_) | ValueRef::Blob(_) | ValueRef::Null => {
            Err("neither 0 nor 1 in a column declared as boolean")
        }
    }
}

fn decimal(cell: ValueRef<'_>, out: &mut Vec<u8>) -> Result<(), Reason> {
    match cell {
        ValueRef::Integer(number) => out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes()),
        ValueRef::Real(number) if number.is_nan() => out.extend_from_slice(b"NaN"),
        ValueRef::Real(number) if number.is_infinite() => {
            out.extend_from_slice(if number > 0.0 { b"Infinity" } else { b"-Infinity" });
        }
        ValueRef::Real(number) => {
            let mut buffer = ryu::Buffer::new();
            let digits = buffer.format_finite(number);
            if digits.contains('e') {
                calendar::write(out, format_args!("{number}"));
            } else {
                out.extend_from_slice(digits.strip_suffix(".0").unwrap_or(digits).as_bytes());
            }
        }
        ValueRef::Text(text) if is_plain_number(text) => out.extend_from_slice(text),
        ValueRef::Text(_) => return Err("a text that is no plain number in a column declared as decimal"),
        ValueRef::Blob(_) | ValueRef::Null => return Err("a blob in a column declared as decimal"),
    }
    Ok(())
}

/// Returns microseconds since 1970: of a text in ISO form, or of an integer that counts seconds.
pub(super) fn micros(cell: ValueRef<'_>) -> Result<i64, Reason> {
    match cell {
        ValueRef::Text(text) => {
            let micros = calendar::parse(text).ok_or("a text that is no timestamp of the form YYYY-MM-DD HH:MM:SS")?;
            let micros = micros.micros();
            if calendar::MICROS.contains(&micros) { Ok(micros) } else { Err("a timestamp outside the years 1 to 9999") }
        }
        ValueRef::Integer(seconds) if SECONDS.contains(&seconds) => Ok(seconds * 1_000_000),
        ValueRef::Integer(_) => Err(
            "an integer that is no Unix time in seconds; convert it, for instance `datetime(c / 1000, 'unixepoch')`",
        ),
        ValueRef::Real(_) => {
            Err("a floating-point number in a column declared as timestamp; convert it with SQLite's `datetime`")
        }
        ValueRef::Blob(_) | ValueRef::Null => Err("a blob in a column declared as timestamp"),
    }
}

fn date(cell: ValueRef<'_>) -> Result<i32, Reason> {
    let ValueRef::Text(text) = cell else {
        return Err("not a text in a column declared as date; convert it with SQLite's `date`");
    };
    let parsed = calendar::parse(text).ok_or("a text that is no date of the form YYYY-MM-DD")?;
    if parsed.time != 0 || parsed.offset.is_some_and(|offset| offset != 0) {
        return Err("a time of day in a column declared as date");
    }
    i32::try_from(parsed.days).map_err(|_| "a date out of range")
}

/// Returns days since 1970 as microseconds, to compare a date with a cursor's bound.
pub(super) fn date_micros(cell: ValueRef<'_>) -> Result<i64, Reason> {
    date(cell).map(|days| i64::from(days) * DAY_MICROS)
}

fn json(cell: ValueRef<'_>, out: &mut Vec<u8>) -> Result<(), Reason> {
    match cell {
        ValueRef::Text(text) => out.extend_from_slice(text),
        // `JSON` as a declared type has numeric affinity: a number's text arrives as a number.
        ValueRef::Integer(number) => out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes()),
        ValueRef::Real(number) if number.is_finite() => {
            out.extend_from_slice(ryu::Buffer::new().format_finite(number).as_bytes());
        }
        ValueRef::Real(_) => return Err("an infinite number, which JSON cannot hold"),
        ValueRef::Blob(_) | ValueRef::Null => return Err("a blob in a column declared as JSON; select `json(c)`"),
    }
    Ok(())
}

fn binary(cell: ValueRef<'_>) -> Result<&[u8], Reason> {
    match cell {
        ValueRef::Blob(bytes) => Ok(bytes),
        ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Text(_) | ValueRef::Null => {
            Err("not a blob in a column declared as binary")
        }
    }
}

/// Writes the form that [`ColumnType::Any`] describes.
fn any(cell: ValueRef<'_>, out: &mut Vec<u8>) -> Result<(), Reason> {
    let mut tagged = |tag: u8, bytes: &[u8]| {
        out.push(tag);
        out.extend_from_slice(bytes);
    };
    match cell {
        ValueRef::Integer(number) => tagged(b'i', &number.to_le_bytes()),
        ValueRef::Real(number) => tagged(b'f', &number.to_le_bytes()),
        ValueRef::Text(text) if std::str::from_utf8(text).is_err() => return Err("the text is not valid UTF-8"),
        ValueRef::Text(text) => tagged(b't', text),
        ValueRef::Blob(bytes) => tagged(b'b', bytes),
        ValueRef::Null => return Err("a null is no value"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_types_are_known_by_their_words() {
        use ColumnType::{Any, Binary, Boolean, Date, Decimal, Float, Integer, Json, LocalTimestamp, Text, Timestamp};
        for (kind, declared) in [
            (Integer, "INTEGER int bigint TINYINT MEDIUMINT INT8 bigserial"),
            (Text, "TEXT VARCHAR(255) nvarchar CHAR(3) clob uuid LONGTEXT time VARCHAR2(10)"),
            (Float, "real DOUBLE float float8"),
            (Decimal, "DECIMAL(10,2) numeric number MONEY"),
            (Boolean, "BOOLEAN bool"),
            (LocalTimestamp, "DATETIME timestamp TIMESTAMP(6)"),
            (Timestamp, "timestamptz"),
            (Date, "date"),
            (Json, "json JSONB"),
            (Binary, "BLOB longblob BYTEA varbinary(16)"),
            (Any, "POINT geometry ANY enum_kind"),
        ] {
            for declared in declared.split(' ') {
                assert_eq!(column_type(Some(declared)), kind, "{declared}");
            }
        }
        assert_eq!(column_type(None), Any);
        assert_eq!(column_type(Some("")), Any);
        assert_eq!(column_type(Some("UNSIGNED BIG INT")), Integer);
        assert_eq!(column_type(Some("DOUBLE PRECISION")), Float);
        assert_eq!(column_type(Some("NATIVE CHARACTER(70)")), Text);
        assert_eq!(column_type(Some("TIMESTAMP(6) WITH TIME ZONE")), Timestamp);
        assert_eq!(column_type(Some("TIMESTAMP WITHOUT TIME ZONE")), LocalTimestamp);
    }

    #[test]
    fn integers_become_floats_only_when_exact() {
        for number in [0, 1, -1, 1 << 53, -(1 << 53), 4_294_967_296, -4_294_967_297] {
            assert_eq!(exact_float(number).map(|float| format!("{float}")), Some(number.to_string()));
        }
        assert_eq!(exact_float((1 << 53) + 1), None);
        assert_eq!(exact_float(i64::MIN), None);
    }
}
