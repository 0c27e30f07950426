//! Which of Postgres's types are read, and as what.

use ebb_row::ColumnType;
use sqlx::TypeInfo as _;
use sqlx::postgres::{PgTypeInfo, PgTypeKind};

/// How a type's binary form is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Boolean,
    Int2,
    Int4,
    Int8,
    /// `oid`, `xid`, `cid`: unsigned, of 32 bits.
    Oid,
    /// `xid8`: unsigned, of 64 bits.
    Oid8,
    Float4,
    Float8,
    Numeric,
    /// Types whose binary form is their text: `text`, `varchar`, `char(n)`, `name`, `xml`, enums, `citext`.
    Text,
    Bytea,
    Json,
    Jsonb,
    Date,
    Timestamp,
    Timestamptz,
    Time,
    Timetz,
    Interval,
    Uuid,
    Inet,
    Macaddr,
    Bits,
    Array(Box<Kind>),
}

impl Kind {
    /// Returns how `info` is read; the advice for the user when it is not.
    pub(super) fn of(info: &PgTypeInfo) -> Result<Self, &'static str> {
        match info.kind() {
            PgTypeKind::Domain(base) => Self::of(base),
            PgTypeKind::Enum(_) => Ok(Self::Text),
            PgTypeKind::Array(element) => {
                let element = Self::of(element)?;
                if element == Self::Bytea {
                    return Err("which JSON cannot hold; encode its elements, or cast it: `x::text`");
                }
                Ok(Self::Array(Box::new(element)))
            }
            PgTypeKind::Composite(_) => Err("select its fields one by one, or `to_jsonb(x)`"),
            PgTypeKind::Range(_) => Err("select `lower(x)` and `upper(x)`, or cast it to text: `x::text`"),
            PgTypeKind::Simple | PgTypeKind::Pseudo => Self::of_simple(info),
        }
    }

    fn of_simple(info: &PgTypeInfo) -> Result<Self, &'static str> {
        // The numbers are fixed for types of the server itself: src/include/catalog/pg_type.dat.
        Ok(match info.oid().map_or(0, |oid| oid.0) {
            16 => Self::Boolean,
            17 => Self::Bytea,
            18 | 19 | 25 | 142 | 705 | 1042 | 1043 | 1790 => Self::Text,
            20 => Self::Int8,
            21 => Self::Int2,
            23 => Self::Int4,
            26 | 28 | 29 => Self::Oid,
            114 => Self::Json,
            650 | 869 => Self::Inet,
            700 => Self::Float4,
            701 => Self::Float8,
            774 | 829 => Self::Macaddr,
            790 => return Err("whose digits depend on the server's locale; cast it to numeric: `x::numeric`"),
            1082 => Self::Date,
            1083 => Self::Time,
            1114 => Self::Timestamp,
            1184 => Self::Timestamptz,
            1186 => Self::Interval,
            1266 => Self::Timetz,
            1560 | 1562 => Self::Bits,
            1700 => Self::Numeric,
            2950 => Self::Uuid,
            3802 => Self::Jsonb,
            5069 => Self::Oid8,
            _ if info.name().eq_ignore_ascii_case("citext") => Self::Text,
            _ => return Err("which ebb does not read; cast it to text: `x::text`"),
        })
    }

    /// Returns the column type that holds it.
    pub(super) fn column_type(&self) -> ColumnType {
        match self {
            Self::Boolean => ColumnType::Boolean,
            Self::Int2 | Self::Int4 | Self::Int8 | Self::Oid => ColumnType::Integer,
            Self::Oid8 => ColumnType::Unsigned,
            Self::Float4 | Self::Float8 => ColumnType::Float,
            Self::Numeric => ColumnType::Decimal,
            Self::Bytea => ColumnType::Binary,
            Self::Json | Self::Jsonb | Self::Array(_) => ColumnType::Json,
            Self::Date => ColumnType::Date,
            Self::Timestamp => ColumnType::LocalTimestamp,
            Self::Timestamptz => ColumnType::Timestamp,
            Self::Text
            | Self::Time
            | Self::Timetz
            | Self::Interval
            | Self::Uuid
            | Self::Inet
            | Self::Macaddr
            | Self::Bits => ColumnType::Text,
        }
    }
}
