//! Postgres's binary forms, as COPY and the extended protocol send them (each type's `send` function in the server's
//! `src/backend/utils/adt`).

use std::net::{Ipv4Addr, Ipv6Addr};

use super::array;
use super::kinds::Kind;
use crate::calendar::{self, DAY_MICROS, DAYS, MICROS, write};
use crate::columns::{ColumnBuilder, Reason};

/// Days from 1970-01-01 to Postgres's epoch, 2000-01-01.
const EPOCH_DAYS: i64 = 10_957;
/// What a cell of another length than its type's has.
pub(super) const MALFORMED: Reason = "the cell is not in the binary form of its type";

/// Appends a cell that is not null to its column, or says why it has no place there.
#[inline]
pub(super) fn append(kind: &Kind, cell: &[u8], out: &mut ColumnBuilder) -> Result<(), Reason> {
    match kind {
        Kind::Text | Kind::Json | Kind::Bytea => out.bytes(cell),
        Kind::Int8 => out.integer(int8(cell)?),
        Kind::Int4 => out.integer(int4(cell)?.into()),
        Kind::Int2 => out.integer(int2(cell)?.into()),
        Kind::Boolean => out.boolean(boolean(cell)?),
        Kind::Float8 => out.float(float8(cell)?),
        Kind::Float4 => out.float(float4(cell)?),
        Kind::Timestamp | Kind::Timestamptz => out.timestamp(micros(cell)?),
        Kind::Date => out.date(i32::try_from(days(cell)?).map_err(|_| MALFORMED)?),
        Kind::Oid => out.integer(uint4(cell)?.into()),
        Kind::Oid8 => out.unsigned(u64::from_be_bytes(fixed(cell)?)),
        Kind::Jsonb => out.bytes(jsonb(cell)?),
        Kind::Numeric => return out.write(|out| write_numeric(cell, out)),
        Kind::Time | Kind::Timetz | Kind::Interval | Kind::Uuid | Kind::Inet | Kind::Macaddr | Kind::Bits => {
            return out.write(|out| write_text(kind, cell, out));
        }
        Kind::Array(element) => return out.write(|out| array::write_array(element, cell, out)),
    }
    Ok(())
}

/// Returns exactly `N` bytes.
#[inline]
pub(super) fn fixed<const N: usize>(cell: &[u8]) -> Result<[u8; N], Reason> {
    cell.try_into().map_err(|_| MALFORMED)
}

#[inline]
pub(super) fn int8(cell: &[u8]) -> Result<i64, Reason> {
    fixed(cell).map(i64::from_be_bytes)
}

#[inline]
pub(super) fn int4(cell: &[u8]) -> Result<i32, Reason> {
    fixed(cell).map(i32::from_be_bytes)
}

pub(super) fn int2(cell: &[u8]) -> Result<i16, Reason> {
    fixed(cell).map(i16::from_be_bytes)
}

pub(super) fn uint4(cell: &[u8]) -> Result<u32, Reason> {
    fixed(cell).map(u32::from_be_bytes)
}

#[inline]
pub(super) fn boolean(cell: &[u8]) -> Result<bool, Reason> {
    match cell {
        [0] => Ok(false),
        [1] => Ok(true),
        _ => Err(MALFORMED),
    }
}

#[inline]
pub(super) fn float8(cell: &[u8]) -> Result<f64, Reason> {
    fixed(cell).map(f64::from_be_bytes)
}

/// Returns the float whose shortest digits are those of the `real`: 0.1, not 0.10000000149.
pub(super) fn float4(cell: &[u8]) -> Result<f64, Reason> {
    let number = f32::from_be_bytes(fixed(cell)?);
    if !number.is_finite() {
        return Ok(number.into());
    }
    ryu::Buffer::new().format_finite(number).parse().map_err(|_| MALFORMED)
}

/// Returns microseconds since 1970.
#[inline]
pub(super) fn micros(cell: &[u8]) -> Result<i64, Reason> {
    let since_2000 = int8(cell)?;
    if since_2000 == i64::MAX || since_2000 == i64::MIN {
        return Err("the timestamp is infinite");
    }
    let micros = since_2000.saturating_add(EPOCH_DAYS * DAY_MICROS);
    if MICROS.contains(&micros) { Ok(micros) } else { Err("the timestamp is outside the years 1 to 9999") }
}

/// Returns days since 1970.
pub(super) fn days(cell: &[u8]) -> Result<i64, Reason> {
    let since_2000 = int4(cell)?;
    if since_2000 == i32::MAX || since_2000 == i32::MIN {
        return Err("the date is infinite");
    }
    let days = i64::from(since_2000) + EPOCH_DAYS;
    if DAYS.contains(&days) { Ok(days) } else { Err("the date is outside the years 1 to 9999") }
}

/// Returns the text in a `jsonb`, which has a version before it.
pub(super) fn jsonb(cell: &[u8]) -> Result<&[u8], Reason> {
    cell.strip_prefix(&[1]).ok_or("the version of jsonb's binary form is not 1")
}

/// Appends the digits of a `numeric` exactly as the server prints them.
pub(super) fn write_numeric(cell: &[u8], out: &mut Vec<u8>) -> Result<(), Reason> {
    let (head, digits) = cell.split_first_chunk::<8>().ok_or(MALFORMED)?;
    let [n1, n2, w1, w2, s1, s2, d1, d2] = *head;
    match [s1, s2] {
        [0x00, 0x00] => {}
        [0x40, 0x00] => out.push(b'-'),
        sign => {
            out.extend_from_slice(not_finite(sign)?);
            return Ok(());
        }
    }
    let (groups, rest) = digits.as_chunks::<2>();
    if groups.len() != usize::from(u16::from_be_bytes([n1, n2])) || !rest.is_empty() {
        return Err(MALFORMED);
    }
    let weight = i32::from(i16::from_be_bytes([w1, w2]));
    let scale = usize::from(u16::from_be_bytes([d1, d2]));
    // The group of four digits that stands for 10000 to the power `weight - index`.
    let group = |index: i32| {
        let bytes = usize::try_from(index).ok().and_then(|index| groups.get(index));
        bytes.map_or(0, |bytes| u16::from_be_bytes(*bytes))
    };
    if weight < 0 {
        out.push(b'0');
    } else {
        four_digits(group(0))?;
        out.extend_from_slice(itoa::Buffer::new().format(group(0)).as_bytes());
        for index in 1..=weight {
            out.extend_from_slice(&four_digits(group(index))?);
        }
    }
    if scale > 0 {
        out.push(b'.');
        let end = out.len() + scale;
        let mut index = weight + 1;
        while out.len() < end {
            out.extend_from_slice(&four_digits(group(index))?);
            index += 1;
        }
        out.truncate(end);
    }
    Ok(())
}

fn four_digits(group: u16) -> Result<[u8; 4], Reason> {
    let digit = |power: u16| u8::try_from(group / power % 10).map(|digit| b'0' + digit).map_err(|_| MALFORMED);
    if group > 9999 {
        return Err(MALFORMED);
    }
    Ok([digit(1000)?, digit(100)?, digit(10)?, digit(1)?])
}

fn not_finite(sign: [u8; 2]) -> Result<&'static [u8], Reason> {
    match sign {
        [0xC0, 0x00] => Ok(b"NaN"),
        [0xD0, 0x00] => Ok(b"Infinity"),
        [0xF0, 0x00] => Ok(b"-Infinity"),
        _ => Err(MALFORMED),
    }
}

/// Appends the text of a type whose binary form is something else.
pub(super) fn write_text(kind: &Kind, cell: &[u8], out: &mut Vec<u8>) -> Result<(), Reason> {
    match kind {
        Kind::Time => calendar::write_time(int8(cell)?, out),
        Kind::Timetz => {
            let (time, zone) = cell.split_at_checked(8).ok_or(MALFORMED)?;
            calendar::write_time(int8(time)?, out);
            write_zone(-int4(zone)?, out);
        }
        Kind::Interval => return write_interval(cell, out),
        Kind::Uuid => {
            let bytes: [u8; 16] = fixed(cell)?;
            for (index, byte) in bytes.iter().enumerate() {
                if matches!(index, 4 | 6 | 8 | 10) {
                    out.push(b'-');
                }
                out.extend_from_slice(&hexadecimal(*byte));
            }
        }
        Kind::Inet => return write_inet(cell, out),
        Kind::Macaddr => {
            if !matches!(cell.len(), 6 | 8) {
                return Err(MALFORMED);
            }
            for (index, byte) in cell.iter().enumerate() {
                if index > 0 {
                    out.push(b':');
                }
                out.extend_from_slice(&hexadecimal(*byte));
            }
        }
        Kind::Bits => return write_bits(cell, out),
        Kind::Boolean
        | Kind::Int2
        | Kind::Int4
        | Kind::Int8
        | Kind::Oid
        | Kind::Oid8
        | Kind::Float4
        | Kind::Float8
        | Kind::Numeric
        | Kind::Text
        | Kind::Bytea
        | Kind::Json
        | Kind::Jsonb
        | Kind::Date
        | Kind::Timestamp
        | Kind::Timestamptz
        | Kind::Array(_) => return Err(MALFORMED),
    }
    Ok(())
}

fn hexadecimal(byte: u8) -> [u8; 2] {
    let digit = |half: u8| if half < 10 { b'0' + half } else { b'a' + half - 10 };
    [digit(byte >> 4), digit(byte & 15)]
}

/// Appends seconds east of UTC.
fn write_zone(seconds: i32, out: &mut Vec<u8>) {
    let east = seconds.abs();
    write(out, format_args!("{}{:02}:{:02}", if seconds < 0 { '-' } else { '+' }, east / 3600, east / 60 % 60));
    if east % 60 != 0 {
        write(out, format_args!(":{:02}", east % 60));
    }
}

fn write_interval(cell: &[u8], out: &mut Vec<u8>) -> Result<(), Reason> {
    let (micros, rest) = cell.split_at_checked(8).ok_or(MALFORMED)?;
    let (days, months) = rest.split_at_checked(4).ok_or(MALFORMED)?;
    let (micros, days, months) = (int8(micros)?, int4(days)?, int4(months)?);
    let infinities = [(i64::MAX, i32::MAX, i32::MAX), (i64::MIN, i32::MIN, i32::MIN)];
    if infinities.contains(&(micros, days, months)) {
        return Err("the interval is infinite");
    }
    calendar::write_duration(months.into(), days.into(), micros, out);
    Ok(())
}

fn write_inet(cell: &[u8], out: &mut Vec<u8>) -> Result<(), Reason> {
    let (&[family, bits, is_cidr, _], address) = cell.split_first_chunk::<4>().ok_or(MALFORMED)?;
    let whole = match family {
        2 => {
            write(out, format_args!("{}", Ipv4Addr::from(fixed::<4>(address)?)));
            32
        }
        3 => {
            write(out, format_args!("{}", Ipv6Addr::from(fixed::<16>(address)?)));
            128
        }
        _ => return Err(MALFORMED),
    };
    if is_cidr != 0 || bits != whole {
        write(out, format_args!("/{bits}"));
    }
    Ok(())
}

fn write_bits(cell: &[u8], out: &mut Vec<u8>) -> Result<(), Reason> {
    let (count, bytes) = cell.split_at_checked(4).ok_or(MALFORMED)?;
    let count = usize::try_from(int4(count)?).map_err(|_| MALFORMED)?;
    if bytes.len() != count.div_ceil(8) {
        return Err(MALFORMED);
    }
    let bits = bytes.iter().flat_map(|byte| (0..8).rev().map(move |place| byte >> place & 1));
    out.extend(bits.take(count).map(|bit| b'0' + bit));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numeric(words: &[u16]) -> String {
        let cell: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        let mut out = Vec::new();
        match write_numeric(&cell, &mut out) {
            Ok(()) => String::from_utf8(out).unwrap(),
            Err(reason) => reason.to_owned(),
        }
    }

    #[test]
    fn numerics_are_written_digit_for_digit() {
        assert_eq!(numeric(&[0, 0, 0, 0]), "0");
        assert_eq!(numeric(&[0, 0, 0, 3]), "0.000");
        assert_eq!(numeric(&[1, 1, 0x4000, 0, 5]), "-50000");
        assert_eq!(numeric(&[2, 0, 0, 2, 12, 5000]), "12.50");
        assert_eq!(numeric(&[1, 0xFFFE, 0, 8, 1]), "0.00000001");
        assert_eq!(numeric(&[2, 0xFFFF, 0, 5, 12, 3000]), "0.00123");
        assert_eq!(numeric(&[0, 0, 0xC000, 0]), "NaN");
        assert_eq!(numeric(&[0, 0, 0xF000, 0]), "-Infinity");
        assert_eq!(numeric(&[2, 0, 0, 2, 12]), MALFORMED);
        assert_eq!(numeric(&[1, 1, 0, 0, 10_000]), MALFORMED);
        assert_eq!(numeric(&[1]), MALFORMED);
    }

    #[test]
    fn cells_of_another_length_are_refused_not_misread() {
        for kind in [
            Kind::Boolean,
            Kind::Int2,
            Kind::Int4,
            Kind::Int8,
            Kind::Oid,
            Kind::Oid8,
            Kind::Float4,
            Kind::Float8,
            Kind::Numeric,
            Kind::Jsonb,
            Kind::Date,
            Kind::Timestamp,
            Kind::Timestamptz,
            Kind::Time,
            Kind::Timetz,
            Kind::Interval,
            Kind::Uuid,
            Kind::Inet,
            Kind::Macaddr,
            Kind::Bits,
            Kind::Array(Box::new(Kind::Int4)),
        ] {
            let mut out = ColumnBuilder::new(kind.column_type());
            for length in [0, 3, 5, 7, 9, 13, 15, 17, 21] {
                assert!(append(&kind, &vec![3; length], &mut out).is_err(), "{kind:?} of {length} bytes");
            }
        }
    }
}
