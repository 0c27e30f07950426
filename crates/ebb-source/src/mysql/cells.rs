//! The binary protocol's cells (`MySQL` 8.0, "Binary Protocol Resultset"; `MariaDB`'s are the same).

use ebb_row::ColumnType;
use sqlx::mysql::MySqlTypeInfo;
use sqlx::{MySql, TypeInfo as _};

use crate::calendar::{self, DAY_MICROS, write};
use crate::columns::{ColumnBuilder, Reason};

const MALFORMED: Reason = "the cell is not in the binary form of its type";
const ZERO_DATE: Reason = "a zero date, which is no date";
const WITH_ZEROES: Reason = "a date with a zero month or day, or none that exists";

/// How a column's cells are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `tinyint(1)`.
    Boolean,
    /// Signed, of 1, 2, 4 or 8 bytes.
    Signed,
    /// Unsigned, of 1, 2, 4 or 8 bytes.
    Unsigned,
    Float,
    Double,
    /// Sent as its digits.
    Decimal,
    Text,
    Binary,
    Json,
    /// Sent as up to 8 bytes, the highest first.
    Bits,
    Date,
    /// `datetime`.
    LocalTime,
    /// `timestamp`, which the session's time zone, UTC, makes an instant.
    Instant,
    Time,
}

impl Kind {
    /// Returns how `info` is read; the advice for the user when it is not.
    pub(super) fn of(info: &MySqlTypeInfo) -> Result<Self, &'static str> {
        // A `_bin` collation sets the driver's binary flag too; what is text is told by the collation.
        if <str as sqlx::Type<MySql>>::compatible(info) {
            return Ok(Self::Text);
        }
        if <[u8] as sqlx::Type<MySql>>::compatible(info) {
            return Ok(Self::Binary);
        }
        Ok(match info.name() {
            "BOOLEAN" => Self::Boolean,
            "TINYINT" | "SMALLINT" | "MEDIUMINT" | "INT" | "BIGINT" => Self::Signed,
            "TINYINT UNSIGNED" | "SMALLINT UNSIGNED" | "MEDIUMINT UNSIGNED" | "INT UNSIGNED" | "BIGINT UNSIGNED"
            | "YEAR" => Self::Unsigned,
            "FLOAT" => Self::Float,
            "DOUBLE" => Self::Double,
            "DECIMAL" => Self::Decimal,
            "JSON" => Self::Json,
            "BIT" => Self::Bits,
            "DATE" => Self::Date,
            "DATETIME" => Self::LocalTime,
            "TIMESTAMP" => Self::Instant,
            "TIME" => Self::Time,
            "ENUM" | "SET" | "NULL" => Self::Text,
            "GEOMETRY" => return Err("select `ST_AsGeoJSON(x)` or `ST_AsText(x)`"),
            _ => return Err("which ebb does not read; cast it: `cast(x as char)`"),
        })
    }

    /// Whether a cell of it may be `0000-00-00`.
    pub(super) fn may_be_zero_date(self) -> bool {
        matches!(self, Self::Date | Self::LocalTime | Self::Instant)
    }

    /// Returns the column type that holds it.
    pub(super) fn column_type(self, info: &MySqlTypeInfo) -> ColumnType {
        match self {
            Self::Boolean => ColumnType::Boolean,
            // Only a 64-bit column needs the room above a signed one; the others are ordinary integers.
            Self::Unsigned if info.name() == "BIGINT UNSIGNED" => ColumnType::Unsigned,
            Self::Signed | Self::Unsigned => ColumnType::Integer,
            Self::Float | Self::Double => ColumnType::Float,
            Self::Decimal => ColumnType::Decimal,
            Self::Text | Self::Time => ColumnType::Text,
            Self::Binary => ColumnType::Binary,
            Self::Json => ColumnType::Json,
            Self::Bits => ColumnType::Unsigned,
            Self::Date => ColumnType::Date,
            Self::LocalTime => ColumnType::LocalTimestamp,
            Self::Instant => ColumnType::Timestamp,
        }
    }
}

/// Appends a cell that is not null to its column, or says why it has no place there.
pub(super) fn append(kind: Kind, cell: &[u8], out: &mut ColumnBuilder) -> Result<(), Reason> {
    match kind {
        Kind::Text | Kind::Binary | Kind::Decimal | Kind::Json => out.bytes(cell),
        Kind::Signed => out.integer(signed(cell)?),
        Kind::Unsigned => match (unsigned(cell)?, out) {
            (number, out @ ColumnBuilder::Unsigned(_)) => out.unsigned(number),
            (number, out) => out.integer(i64::try_from(number).map_err(|_| MALFORMED)?),
        },
        Kind::Boolean => match cell {
            [0] => out.boolean(false),
            [1] => out.boolean(true),
            _ => return Err("neither 0 nor 1 in a `tinyint(1)`; select `x + 0` for the number"),
        },
        Kind::Float => out.float(float(cell)?),
        Kind::Double => out.float(f64::from_le_bytes(cell.try_into().map_err(|_| MALFORMED)?)),
        Kind::Bits => out.unsigned(bits(cell)?),
        Kind::Date => {
            let (days, _) = date_and_time(cell)?;
            out.date(i32::try_from(days).map_err(|_| MALFORMED)?);
        }
        Kind::LocalTime | Kind::Instant => {
            let (days, micros) = date_and_time(cell)?;
            out.timestamp(days * DAY_MICROS + micros);
        }
        Kind::Time => return out.write(|out| write_time(cell, out)),
    }
    Ok(())
}

fn signed(cell: &[u8]) -> Result<i64, Reason> {
    let number = unsigned(cell)?;
    // The highest bit of the cell's width is the sign.
    let unused = 64 - 8 * u32::try_from(cell.len()).map_err(|_| MALFORMED)?;
    Ok((number << unused).cast_signed() >> unused)
}

fn unsigned(cell: &[u8]) -> Result<u64, Reason> {
    if !matches!(cell.len(), 1 | 2 | 4 | 8) {
        return Err(MALFORMED);
    }
    Ok(cell.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn bits(cell: &[u8]) -> Result<u64, Reason> {
    if cell.len() > 8 {
        return Err(MALFORMED);
    }
    Ok(cell.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// Returns the float whose shortest digits are those of the `float`: 0.1, not 0.10000000149.
fn float(cell: &[u8]) -> Result<f64, Reason> {
    let number = f32::from_le_bytes(cell.try_into().map_err(|_| MALFORMED)?);
    if !number.is_finite() {
        return Ok(number.into());
    }
    ryu::Buffer::new().format_finite(number).parse().map_err(|_| MALFORMED)
}

/// Returns days since 1970 and microseconds since midnight.
fn date_and_time(cell: &[u8]) -> Result<(i64, i64), Reason> {
    let (length, fields) = cell.split_first().ok_or(MALFORMED)?;
    if usize::from(*length) != fields.len() {
        return Err(MALFORMED);
    }
    let (date, time) = match *fields {
        [] => return Err(ZERO_DATE),
        [y1, y2, month, day] => ([y1, y2, month, day], 0),
        [y1, y2, month, day, hour, minute, second] => ([y1, y2, month, day], micros(hour, minute, second, [0; 4])),
        [y1, y2, month, day, hour, minute, second, a, b, c, d] => {
            ([y1, y2, month, day], micros(hour, minute, second, [a, b, c, d]))
        }
        _ => return Err(MALFORMED),
    };
    let [y1, y2, month, day] = date;
    let year = u16::from_le_bytes([y1, y2]);
    if year == 0 && month == 0 && day == 0 {
        return Err(ZERO_DATE);
    }
    Ok((calendar::days(year.into(), month.into(), day.into()).ok_or(WITH_ZEROES)?, time))
}

fn micros(hour: u8, minute: u8, second: u8, fraction: [u8; 4]) -> i64 {
    let seconds = (i64::from(hour) * 60 + i64::from(minute)) * 60 + i64::from(second);
    seconds * 1_000_000 + i64::from(u32::from_le_bytes(fraction))
}

/// Appends a `time`, a duration of up to 838 hours, as the server prints it.
fn write_time(cell: &[u8], out: &mut Vec<u8>) -> Result<(), Reason> {
    let (length, fields) = cell.split_first().ok_or(MALFORMED)?;
    if usize::from(*length) != fields.len() {
        return Err(MALFORMED);
    }
    let (sign, days, time) = match *fields {
        [] => (0, 0, 0),
        [sign, d1, d2, d3, d4, hour, minute, second] => {
            (sign, u32::from_le_bytes([d1, d2, d3, d4]), micros(hour, minute, second, [0; 4]))
        }
        [sign, d1, d2, d3, d4, hour, minute, second, a, b, c, d] => {
            (sign, u32::from_le_bytes([d1, d2, d3, d4]), micros(hour, minute, second, [a, b, c, d]))
        }
        _ => return Err(MALFORMED),
    };
    if sign != 0 {
        write(out, format_args!("-"));
    }
    calendar::write_time(i64::from(days) * DAY_MICROS + time, out);
    Ok(())
}
