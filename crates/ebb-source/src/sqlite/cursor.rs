//! The lower bound of a cursor model. What an index can do is in the condition; where `SQLite` stores one instant in
//! several ways, the condition lets too much through and [`Filter`] compares exactly.

use ebb_row::{Column, ColumnType};
use rusqlite::types::{Value, ValueRef};

use super::cells;
use crate::calendar::{self, DAY_MICROS};
use crate::{CursorBound, SourceError};

/// A bound made ready: a condition in SQL with its parameters, and what is compared afterwards.
pub(super) struct Bound {
    pub(super) condition: String,
    pub(super) parameters: Vec<Value>,
    pub(super) filter: Option<Filter>,
}

/// Lets through cells that are at or above an instant, and cells that are none (they become faults).
pub(super) struct Filter {
    column: usize,
    kind: ColumnType,
    from_micros: i64,
}

impl Filter {
    pub(super) fn column(&self) -> usize {
        self.column
    }

    pub(super) fn passes(&self, cell: ValueRef<'_>) -> bool {
        let micros = if self.kind == ColumnType::Date { cells::date_micros(cell) } else { cells::micros(cell) };
        micros.is_ok_and(|micros| micros >= self.from_micros) || (micros.is_err() && cell != ValueRef::Null)
    }
}

/// Returns the condition for `bound`; `None` when it has no value and everything is read.
pub(super) fn prepare(bound: &CursorBound, columns: &[Column]) -> Result<Option<Bound>, SourceError> {
    let Some(index) = columns.iter().position(|column| column.name == bound.column) else {
        return Err(SourceError::unknown_cursor(&bound.column, columns));
    };
    let (Some(from), Some(column)) = (&bound.from, columns.get(index)) else { return Ok(None) };
    let name = format!("\"{}\"", bound.column.replace('"', "\"\""));
    let unreadable = || SourceError::cursor_value(&bound.column, column.kind);
    let simple =
        |value: Value| Some(Bound { condition: format!("{name} >= ?1"), parameters: vec![value], filter: None });
    Ok(match column.kind {
        ColumnType::Integer | ColumnType::Unsigned => simple(Value::Integer(from.parse().map_err(|_| unreadable())?)),
        ColumnType::Float => simple(Value::Real(from.parse().map_err(|_| unreadable())?)),
        ColumnType::Decimal => simple(number(from).ok_or_else(unreadable)?),
        ColumnType::Text => simple(Value::Text(from.clone())),
        ColumnType::Any => Some(any(&name, from)),
        ColumnType::Timestamp | ColumnType::LocalTimestamp | ColumnType::Date => {
            let micros = calendar::parse(from.as_bytes()).ok_or_else(unreadable)?.micros();
            let filter = Some(Filter { column: index, kind: column.kind, from_micros: micros });
            // A text tells the date of its own zone, which is a day off at most.
            let day = date_text(micros.div_euclid(DAY_MICROS) - 1);
            let parameters = vec![Value::Text(day), Value::Integer(micros.div_euclid(1_000_000))];
            let condition = format!("({name} >= ?1 or (typeof({name}) <> 'text' and {name} >= ?2))");
            Some(Bound { condition, parameters, filter })
        }
        ColumnType::Boolean | ColumnType::Binary | ColumnType::Json => return Err(unreadable()),
    })
}

/// Numbers compare with numbers and texts with texts.
fn any(name: &str, from: &str) -> Bound {
    let text = Value::Text(from.to_owned());
    match number(from) {
        None => Bound { condition: format!("{name} >= ?1"), parameters: vec![text], filter: None },
        Some(number) => {
            let condition = format!("case when typeof({name}) = 'text' then {name} >= ?1 else {name} >= ?2 end");
            Bound { condition, parameters: vec![text, number], filter: None }
        }
    }
}

fn number(text: &str) -> Option<Value> {
    text.parse().map(Value::Integer).or_else(|_| text.parse().map(Value::Real)).ok()
}

fn date_text(days: i64) -> String {
    let date = chrono::DateTime::UNIX_EPOCH.date_naive() + chrono::TimeDelta::days(days);
    date.format("%Y-%m-%d").to_string()
}
