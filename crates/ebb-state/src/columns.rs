//! Described columns as text.

use ebb_row::{Column, ColumnType, write_json_string};
use serde::Deserialize;

#[derive(Deserialize)]
struct StoredColumn {
    name: String,
    kind: String,
    source_type: String,
}

/// Returns columns as a JSON list.
pub(crate) fn write_columns(columns: &[Column]) -> String {
    let mut out = vec![b'['];
    for (number, column) in columns.iter().enumerate() {
        out.extend_from_slice(if number == 0 { b"{\"name\":" } else { b",{\"name\":" });
        write_json_string(&column.name, &mut out);
        out.extend_from_slice(b",\"kind\":");
        write_json_string(column.kind.word(), &mut out);
        out.extend_from_slice(b",\"source_type\":");
        write_json_string(&column.source_type, &mut out);
        out.push(b'}');
    }
    out.push(b']');
    String::from_utf8(out).unwrap_or_default()
}

/// Reads what [`write_columns`] returns; `None` for anything else.
pub(crate) fn read_columns(text: &str) -> Option<Vec<Column>> {
    let stored: Vec<StoredColumn> = serde_json::from_str(text).ok()?;
    stored
        .into_iter()
        .map(|column| {
            Some(Column {
                name: column.name,
                kind: ColumnType::from_word(&column.kind)?,
                source_type: column.source_type,
            })
        })
        .collect()
}
