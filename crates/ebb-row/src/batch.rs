use std::collections::HashMap;
use std::fmt;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, TimeUnit};

/// The key of a field's Arrow metadata that tells [`ColumnType`]s of one Arrow type apart.
pub const TYPE_METADATA_KEY: &str = "ebb.type";

/// Rows of a model, as a source yields them.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The columns, each of a type that [`ColumnType::of`] knows.
    pub rows: RecordBatch,
    /// Cells that could not be read; such a cell is null in `rows` and its row is to be rejected.
    pub faults: Vec<CellFault>,
}

/// A cell that its column's type cannot hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellFault {
    /// Row within the batch, from 0.
    pub row: usize,
    /// Column within the batch, from 0.
    pub column: usize,
    /// Why, without the cell's value.
    pub reason: String,
}

/// The type of a column, common to all sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColumnType {
    /// Arrow `Boolean`.
    Boolean,
    /// Arrow `Int64`.
    Integer,
    /// Arrow `UInt64`.
    Unsigned,
    /// Arrow `Float64`; may be NaN or infinite.
    Float,
    /// Arrow `Utf8` holding the digits of an exact number (`-12.50`, `NaN`, `Infinity`).
    Decimal,
    /// Arrow `Utf8`.
    Text,
    /// Arrow `Binary`.
    Binary,
    /// Arrow `Timestamp(Microsecond, "UTC")`: an instant.
    Timestamp,
    /// Arrow `Timestamp(Microsecond, None)`: a date and time without a zone, taken as UTC.
    LocalTimestamp,
    /// Arrow `Date32`.
    Date,
    /// Arrow `Utf8` holding JSON: JSON columns, and SQL arrays as JSON lists.
    Json,
    /// Arrow `Binary` whose first byte tells the type of the cell: columns of `SQLite` without a declared type.
    ///
    /// Tags: `i` then 8 bytes little-endian, `f` then 8 bytes little-endian, `t` then UTF-8, `b` then bytes.
    Any,
}

impl ColumnType {
    /// Returns the Arrow field for a column of this type; every column may be null.
    pub fn field(self, name: &str) -> Field {
        let (data_type, tag) = match self {
            Self::Boolean => (DataType::Boolean, None),
            Self::Integer => (DataType::Int64, None),
            Self::Unsigned => (DataType::UInt64, None),
            Self::Float => (DataType::Float64, None),
            Self::Decimal => (DataType::Utf8, Some("decimal")),
            Self::Text => (DataType::Utf8, None),
            Self::Binary => (DataType::Binary, None),
            Self::Timestamp => (DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), None),
            Self::LocalTimestamp => (DataType::Timestamp(TimeUnit::Microsecond, None), None),
            Self::Date => (DataType::Date32, None),
            Self::Json => (DataType::Utf8, Some("json")),
            Self::Any => (DataType::Binary, Some("any")),
        };
        let field = Field::new(name, data_type, true);
        match tag {
            Some(tag) => field.with_metadata(HashMap::from([(TYPE_METADATA_KEY.to_owned(), tag.to_owned())])),
            None => field,
        }
    }

    /// Returns the type of a field made by [`ColumnType::field`]; `None` for any other Arrow type.
    pub fn of(field: &Field) -> Option<Self> {
        let tag = field.metadata().get(TYPE_METADATA_KEY).map(String::as_str);
        Some(match (field.data_type(), tag) {
            (DataType::Boolean, _) => Self::Boolean,
            (DataType::Int64, _) => Self::Integer,
            (DataType::UInt64, _) => Self::Unsigned,
            (DataType::Float64, _) => Self::Float,
            (DataType::Utf8, Some("decimal")) => Self::Decimal,
            (DataType::Utf8, Some("json")) => Self::Json,
            (DataType::Utf8, _) => Self::Text,
            (DataType::Binary, Some("any")) => Self::Any,
            (DataType::Binary, _) => Self::Binary,
            (DataType::Timestamp(TimeUnit::Microsecond, Some(_)), _) => Self::Timestamp,
            (DataType::Timestamp(TimeUnit::Microsecond, None), _) => Self::LocalTimestamp,
            (DataType::Date32, _) => Self::Date,
            _ => return None,
        })
    }

    /// Returns the word used in messages, YAML and state.
    pub fn word(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Unsigned => "unsigned integer",
            Self::Float => "float",
            Self::Decimal => "decimal",
            Self::Text => "text",
            Self::Binary => "binary",
            Self::Timestamp => "timestamp",
            Self::LocalTimestamp => "timestamp without time zone",
            Self::Date => "date",
            Self::Json => "json",
            Self::Any => "any",
        }
    }

    /// Reads what [`ColumnType::word`] returns.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// Every column type.
    pub const ALL: [Self; 12] = [
        Self::Boolean,
        Self::Integer,
        Self::Unsigned,
        Self::Float,
        Self::Decimal,
        Self::Text,
        Self::Binary,
        Self::Timestamp,
        Self::LocalTimestamp,
        Self::Date,
        Self::Json,
        Self::Any,
    ];
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A column of a model, as its source describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The name, exactly as the source spells it.
    pub name: String,
    /// The type as ebb reads it.
    pub kind: ColumnType,
    /// The source's own name of the type, for messages (`numeric(12,2)`).
    pub source_type: String,
}
