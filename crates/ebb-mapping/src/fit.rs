//! Which types of columns fit which fields, before any row is read.

use ebb_row::{ColumnType, FieldType};

use crate::convert::ValueType;
use crate::rule::Accepts;

/// Returns whether values of a column of this type may be what the place takes.
///
/// The answer is no only where no value, or hardly any, could be: an `any` column is judged row by row.
pub(crate) fn column_fits(column: ColumnType, accepts: Accepts) -> bool {
    match accepts {
        Accepts::Json => column != ColumnType::Binary,
        Accepts::ExternalId | Accepts::Field(FieldType::Ids) => {
            !matches!(column, ColumnType::Binary | ColumnType::Boolean)
        }
        Accepts::Field(FieldType::Id) => !matches!(column, ColumnType::Binary | ColumnType::Boolean | ColumnType::Json),
        Accepts::Field(FieldType::Text) => !matches!(column, ColumnType::Binary | ColumnType::Json),
        Accepts::Field(FieldType::Boolean) => matches!(column, ColumnType::Boolean | ColumnType::Any),
        Accepts::Field(FieldType::Timestamp) => matches!(
            column,
            ColumnType::Timestamp | ColumnType::LocalTimestamp | ColumnType::Date | ColumnType::Text | ColumnType::Any
        ),
        Accepts::Field(FieldType::Object) => column == ColumnType::Json,
    }
}

/// Returns whether values of a column of this type can be read as a `type:`.
pub(crate) fn column_converts(column: ColumnType, to: ValueType) -> bool {
    let is_number =
        matches!(column, ColumnType::Integer | ColumnType::Unsigned | ColumnType::Float | ColumnType::Decimal);
    let is_time = matches!(column, ColumnType::Timestamp | ColumnType::LocalTimestamp | ColumnType::Date);
    let is_loose = matches!(column, ColumnType::Text | ColumnType::Json | ColumnType::Any);
    match to {
        ValueType::Text | ValueType::Json | ValueType::JsonText | ValueType::List => column != ColumnType::Binary,
        ValueType::Integer | ValueType::Number => is_number || is_loose,
        ValueType::Boolean => {
            is_loose || matches!(column, ColumnType::Boolean | ColumnType::Integer | ColumnType::Unsigned)
        }
        ValueType::Timestamp | ValueType::Date => is_time || is_loose,
    }
}

/// Returns whether what a `type:` gives may be what the place takes.
pub(crate) fn type_fits(kind: ValueType, accepts: Accepts) -> bool {
    match accepts {
        Accepts::Json => true,
        Accepts::ExternalId | Accepts::Field(FieldType::Ids) => kind != ValueType::Boolean,
        Accepts::Field(FieldType::Id) => !matches!(kind, ValueType::Boolean | ValueType::List),
        Accepts::Field(FieldType::Text) => kind != ValueType::List,
        Accepts::Field(FieldType::Boolean) => matches!(kind, ValueType::Boolean | ValueType::Json),
        Accepts::Field(FieldType::Timestamp) => {
            matches!(kind, ValueType::Timestamp | ValueType::Date | ValueType::Text | ValueType::Json)
        }
        Accepts::Field(FieldType::Object) => kind == ValueType::Json,
    }
}

/// Returns how a column that does not fit can be made to.
pub(crate) fn advice(name: &str, column: ColumnType, accepts: Accepts, path: &str) -> Option<String> {
    let cell = cell(name);
    if column == ColumnType::Binary {
        return Some(format!("encode it: `\"{{{{ {cell} | base64_encode }}}}\"`"));
    }
    match accepts {
        Accepts::Field(FieldType::Boolean) if column_converts(column, ValueType::Boolean) => {
            Some(format!("`{{ $column: {name}, type: boolean }}` reads it as one"))
        }
        Accepts::Field(FieldType::Timestamp) if column_converts(column, ValueType::Integer) => {
            Some(format!("for seconds since 1970 write `\"{{{{ {cell} | date: '%Y-%m-%dT%H:%M:%SZ' }}}}\"`"))
        }
        Accepts::Field(FieldType::Text) if column == ColumnType::Json => {
            Some(format!("`{{ $column: {name}, type: json_text }}` sends its text"))
        }
        Accepts::Field(FieldType::Object) => Some(object_form(path, Some(name))),
        Accepts::Json
        | Accepts::ExternalId
        | Accepts::Field(
            FieldType::Boolean | FieldType::Timestamp | FieldType::Text | FieldType::Id | FieldType::Ids,
        ) => None,
    }
}

fn cell(name: &str) -> String {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.starts_with(|first: char| first.is_ascii_digit());
    if is_plain { format!("row.{name}") } else { format!("row['{name}']") }
}

/// Shows how an object field is written.
pub(crate) fn object_form(path: &str, column: Option<&str>) -> String {
    let (column, json) = (column.unwrap_or("plan"), column.unwrap_or("details"));
    format!(
        "write an object: `{path}: {{ {column}: {column} }}`; a column that holds JSON as text is read by \
         `{path}: {{ $column: {json}, type: json }}`"
    )
}
