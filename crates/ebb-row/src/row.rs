use std::str::FromStr;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Float64Type, Int64Type, TimestampMicrosecondType, UInt64Type};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::Schema;
use bigdecimal::BigDecimal;
use chrono::{DateTime, TimeDelta};

use crate::batch::ColumnType;
use crate::json::parse_json;
use crate::value::Value;

/// One row as values; columns are found by position, or by name through [`Row::get`].
#[derive(Clone, Debug)]
pub struct Row {
    names: Arc<[Arc<str>]>,
    values: Vec<Value>,
}

impl Row {
    /// Makes a row of names and as many values.
    pub fn new(names: Arc<[Arc<str>]>, values: Vec<Value>) -> Self {
        debug_assert_eq!(names.len(), values.len(), "a value for each column");
        Self { names, values }
    }

    /// Returns the column names in order.
    pub fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    /// Returns the values in column order.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// Returns the cell at a position.
    pub fn at(&self, column: usize) -> Option<&Value> {
        self.values.get(column)
    }

    /// Returns the cell of the column with exactly this name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let at = self.names.iter().position(|candidate| &**candidate == name)?;
        self.values.get(at)
    }
}

/// Makes [`Row`]s of the batches of one schema.
#[derive(Clone, Debug)]
pub struct RowReader {
    names: Arc<[Arc<str>]>,
    kinds: Vec<ColumnType>,
}

impl RowReader {
    /// Prepares for batches of `schema`. `None` when a field is of no [`ColumnType`].
    pub fn new(schema: &Schema) -> Option<Self> {
        let names = schema.fields().iter().map(|field| Arc::from(field.name().as_str())).collect();
        let kinds = schema.fields().iter().map(|field| ColumnType::of(field)).collect::<Option<_>>()?;
        Some(Self { names, kinds })
    }

    /// Returns the column names in order.
    pub fn names(&self) -> &Arc<[Arc<str>]> {
        &self.names
    }

    /// Returns the row at `index` of a batch of the schema.
    ///
    /// # Errors
    /// The position of a column whose cell is not what its type says (JSON text that is none, a decimal that is no
    /// number), and why. A NaN or infinite decimal becomes a float.
    pub fn row(&self, rows: &RecordBatch, index: usize) -> Result<Row, (usize, String)> {
        let mut values = Vec::with_capacity(self.kinds.len());
        for (at, (kind, column)) in self.kinds.iter().zip(rows.columns()).enumerate() {
            values.push(cell(*kind, column, index).map_err(|reason| (at, reason))?);
        }
        Ok(Row { names: Arc::clone(&self.names), values })
    }
}

fn cell(kind: ColumnType, column: &ArrayRef, index: usize) -> Result<Value, String> {
    if column.is_null(index) {
        return Ok(Value::Null);
    }
    Ok(match kind {
        ColumnType::Boolean => Value::Bool(column.as_boolean().value(index)),
        ColumnType::Integer => Value::Int(column.as_primitive::<Int64Type>().value(index).into()),
        ColumnType::Unsigned => Value::Int(column.as_primitive::<UInt64Type>().value(index).into()),
        ColumnType::Float => Value::Float(column.as_primitive::<Float64Type>().value(index)),
        ColumnType::Decimal => decimal(column.as_string::<i32>().value(index))?,
        ColumnType::Text => Value::Text(column.as_string::<i32>().value(index).into()),
        ColumnType::Binary => Value::Bytes(column.as_binary::<i32>().value(index).into()),
        ColumnType::Timestamp => {
            let micros = column.as_primitive::<TimestampMicrosecondType>().value(index);
            Value::Instant(DateTime::from_timestamp_micros(micros).ok_or("the timestamp is out of range")?)
        }
        ColumnType::LocalTimestamp => {
            let micros = column.as_primitive::<TimestampMicrosecondType>().value(index);
            Value::LocalTime(
                DateTime::from_timestamp_micros(micros).ok_or("the timestamp is out of range")?.naive_utc(),
            )
        }
        ColumnType::Date => {
            let days = column.as_primitive::<Date32Type>().value(index);
            let epoch = DateTime::UNIX_EPOCH.date_naive();
            Value::Date(epoch.checked_add_signed(TimeDelta::days(days.into())).ok_or("the date is out of range")?)
        }
        ColumnType::Json => {
            parse_json(column.as_string::<i32>().value(index), false).map_err(|error| error.to_string())?
        }
        ColumnType::Any => any(column.as_binary::<i32>().value(index))?,
    })
}

fn decimal(digits: &str) -> Result<Value, String> {
    match digits {
        "NaN" => Ok(Value::Float(f64::NAN)),
        "Infinity" => Ok(Value::Float(f64::INFINITY)),
        "-Infinity" => Ok(Value::Float(f64::NEG_INFINITY)),
        _ => BigDecimal::from_str(digits).map(Value::from).map_err(|_| "the decimal is not a number".to_owned()),
    }
}

fn any(bytes: &[u8]) -> Result<Value, String> {
    let broken = || "the cell is damaged".to_owned();
    let (tag, rest) = bytes.split_first().ok_or_else(broken)?;
    Ok(match tag {
        b'i' => Value::Int(i64::from_le_bytes(rest.try_into().map_err(|_| broken())?).into()),
        b'f' => Value::Float(f64::from_le_bytes(rest.try_into().map_err(|_| broken())?)),
        b't' => Value::Text(std::str::from_utf8(rest).map_err(|_| "the text is not UTF-8".to_owned())?.into()),
        b'b' => Value::Bytes(rest.into()),
        _ => return Err(broken()),
    })
}
