//! Documents.

use rusqlite::{Connection, OptionalExtension, Row};

use crate::store::{Document, Expect, StateError};

fn document(row: &Row<'_>) -> rusqlite::Result<Document> {
    Ok(Document { key: row.get(0)?, version: row.get::<_, i64>(1)?.cast_unsigned(), body: row.get(2)? })
}

/// Returns the documents of a kind after a key.
pub(super) fn list(connection: &Connection, kind: &str, after: &str, limit: u32) -> Result<Vec<Document>, StateError> {
    let mut statement = connection
        .prepare_cached("SELECT key, version, body FROM document WHERE kind = ?1 AND key > ?2 ORDER BY key LIMIT ?3")?;
    let limit = if limit == 0 { -1 } else { i64::from(limit) };
    let rows = statement.query_map((kind, after, limit), document)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Writes a document, under a number that no version had before.
pub(super) fn put(
    connection: &Connection,
    (kind, key): (&str, &str),
    expect: Expect,
    body: &str,
) -> Result<Option<u64>, StateError> {
    if !holds(connection, kind, key, expect)? {
        return Ok(None);
    }
    connection
        .prepare_cached("INSERT OR REPLACE INTO document (kind, key, body) VALUES (?1, ?2, ?3)")?
        .execute((kind, key, body))?;
    Ok(Some(connection.last_insert_rowid().cast_unsigned()))
}

/// Removes a document.
pub(super) fn remove(connection: &Connection, kind: &str, key: &str, expect: Expect) -> Result<bool, StateError> {
    if !holds(connection, kind, key, expect)? {
        return Ok(false);
    }
    let removed =
        connection.prepare_cached("DELETE FROM document WHERE kind = ?1 AND key = ?2")?.execute((kind, key))?;
    Ok(removed > 0)
}

fn holds(connection: &Connection, kind: &str, key: &str, expect: Expect) -> Result<bool, StateError> {
    let mut statement = connection.prepare_cached("SELECT version FROM document WHERE kind = ?1 AND key = ?2")?;
    let version = statement.query_row((kind, key), |row| row.get::<_, i64>(0)).optional()?;
    Ok(expect.holds(version.map(i64::cast_unsigned)))
}
