//! Reading of snapshot entries and of what runs replaced.

use ebb_row::{Created, Hash128, RowKey};
use rusqlite::types::FromSqlError;
use rusqlite::{Connection, OptionalExtension, Row};

use crate::store::{Entry, EntryId, HistoryEntry, RunId, StateError, SyncId};

/// The row was in the model.
pub(super) const LIVE: i64 = 1;
/// The entry was taken over without sending.
pub(super) const ADOPTED: i64 = 2;

/// Returns how [`Created`] is stored.
pub(super) fn created_number(created: Created) -> i64 {
    match created {
        Created::No => 0,
        Created::Yes => 1,
        Created::Unknown => 2,
    }
}

fn created(number: i64) -> Created {
    match number {
        0 => Created::No,
        1 => Created::Yes,
        _ => Created::Unknown,
    }
}

/// Reads a hash.
pub(super) fn hash(row: &Row<'_>, column: usize) -> rusqlite::Result<Hash128> {
    row.get::<_, [u8; 16]>(column).map(Hash128::from_bytes)
}

/// Reads a number that is never negative.
pub(super) fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| FromSqlError::OutOfRange(number).into())
}

const COLUMNS: &str = "id, key, seen, digest, record, destination_id, revision, flags";

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let flags: i64 = row.get(7)?;
    Ok(Entry {
        id: EntryId(unsigned(row, 0)?),
        key: RowKey::new(row.get::<_, std::sync::Arc<str>>(1)?),
        seen: hash(row, 2)?,
        digest: hash(row, 3)?,
        record: row.get(4)?,
        destination_id: row.get(5)?,
        revision: row.get(6)?,
        live: flags & LIVE != 0,
        adopted: flags & ADOPTED != 0,
    })
}

/// Returns entries by id, in the order asked.
pub(super) fn entries(
    connection: &Connection,
    sync: SyncId,
    ids: &[EntryId],
) -> Result<Vec<Option<Entry>>, StateError> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM entry_{} WHERE id = ?1", sync.0))?;
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        found.push(statement.query_row([id.0.cast_signed()], entry).optional()?);
    }
    Ok(found)
}

/// Returns what a run changed: the entries that it made last for their keys, each with the one it replaced.
pub(super) fn history(
    connection: &Connection,
    sync: SyncId,
    run: &RunId,
    after: u64,
    limit: u32,
) -> Result<Vec<HistoryEntry>, StateError> {
    let number: Option<i64> =
        connection.query_row("SELECT number FROM run WHERE id = ?1", [&run.0], |row| row.get(0)).optional()?;
    let Some(number) = number else { return Ok(Vec::new()) };
    let table = sync.0;
    let made = "SELECT id, key, created, replaces FROM";
    let mut statement = connection.prepare_cached(&format!(
        "SELECT * FROM ({made} entry_{table} WHERE id > ?1 AND run = ?2
         UNION ALL {made} history_{table} WHERE id > ?1 AND run = ?2 AND replaced_by <> ?2)
         ORDER BY id LIMIT ?3"
    ))?;
    let mut before =
        connection.prepare_cached(&format!("SELECT {COLUMNS}, run, replaces FROM history_{table} WHERE id = ?1"))?;
    let limit = if limit == 0 { -1 } else { i64::from(limit) };
    let mut rows = statement.query((after.cast_signed(), number, limit))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let mut replaces: Option<i64> = row.get(3)?;
        let mut earlier = None;
        while let Some(id) = replaces {
            let step: Option<(Entry, i64, Option<i64>)> =
                before.query_row([id], |row| Ok((entry(row)?, row.get(8)?, row.get(9)?))).optional()?;
            let Some((entry, run, next)) = step else { break };
            replaces = if run == number { next } else { None };
            if run != number {
                earlier = Some(entry);
            }
        }
        let key = RowKey::new(row.get::<_, std::sync::Arc<str>>(1)?);
        found.push(HistoryEntry {
            entry: EntryId(unsigned(row, 0)?),
            before: earlier,
            key,
            created: created(row.get(2)?),
        });
    }
    Ok(found)
}
