//! Rejected rows.

use chrono::DateTime;
use ebb_row::{Hash128, RowKey};
use rusqlite::{Connection, OptionalExtension, Row};

use crate::sqlite::entry::hash;
use crate::store::{Rejection, RejectionKind, RunId, StateError, SyncId};

/// A row that was refused just now.
pub(super) struct Refusal<'a> {
    pub(super) kind: RejectionKind,
    pub(super) seen: Hash128,
    pub(super) reason: &'a str,
    pub(super) run: &'a RunId,
    pub(super) time: i64,
}

/// Returns whether a sync has rejected rows.
pub(super) fn any(connection: &Connection, sync: SyncId) -> Result<bool, StateError> {
    let any = connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM rejection WHERE sync = ?1)")?
        .query_row([sync.0], |row| row.get(0))?;
    Ok(any)
}

/// Keeps a refusal: tries count runs that refused the row with the same fingerprint. Returns whether it says something
/// new: another fingerprint or kind.
pub(super) fn keep(
    connection: &Connection,
    sync: SyncId,
    (key, key_hash): (&RowKey, Hash128),
    refusal: &Refusal<'_>,
) -> Result<bool, StateError> {
    let before: Option<([u8; 16], String)> = connection
        .prepare_cached("SELECT seen, kind FROM rejection WHERE sync = ?1 AND key_hash = ?2")?
        .query_row((sync.0, key_hash.to_bytes()), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let word = refusal.kind.word();
    connection
        .prepare_cached(
            "INSERT INTO rejection (sync, key_hash, key, kind, seen, reason, tries, first_run, last_run, time)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7, ?7, ?8)
             ON CONFLICT (sync, key_hash) DO UPDATE SET
                tries = CASE WHEN seen <> excluded.seen THEN 1
                    WHEN last_run = excluded.last_run THEN max(tries, 1) ELSE tries + 1 END,
                first_run = CASE WHEN seen <> excluded.seen THEN excluded.first_run ELSE first_run END,
                kind = excluded.kind, seen = excluded.seen, reason = excluded.reason,
                last_run = excluded.last_run, time = excluded.time",
        )?
        .execute((
            sync.0,
            key_hash.to_bytes(),
            key.text(),
            word,
            refusal.seen.to_bytes(),
            refusal.reason,
            &refusal.run.0,
            refusal.time,
        ))?;
    Ok(before.is_none_or(|(seen, kind)| seen != refusal.seen.to_bytes() || kind != word))
}

/// Forgets a row's rejection; with `keep_unknown`, not one whose outcome is unknown.
pub(super) fn forget(
    connection: &Connection,
    sync: SyncId,
    key_hash: Hash128,
    keep_unknown: bool,
) -> Result<(), StateError> {
    connection
        .prepare_cached("DELETE FROM rejection WHERE sync = ?1 AND key_hash = ?2 AND NOT (?3 AND kind = 'unknown')")?
        .execute((sync.0, key_hash.to_bytes(), keep_unknown))?;
    Ok(())
}

/// Forgets the rejections that a run which read everything did not see again.
pub(super) fn forget_unseen(connection: &Connection, sync: SyncId, run: &RunId) -> Result<(), StateError> {
    connection
        .execute("DELETE FROM rejection WHERE sync = ?1 AND last_run <> ?2 AND kind <> 'unknown'", (sync.0, &run.0))?;
    Ok(())
}

/// Sets tries to 0 and makes unknown ones plain ones; raises the sync's counter where that changed anything.
pub(super) fn retry(connection: &Connection, sync: SyncId, key: Option<Hash128>) -> Result<u64, StateError> {
    let key = key.map(Hash128::to_bytes);
    let count = connection.execute(
        "UPDATE rejection SET tries = 0, kind = CASE kind WHEN 'unknown' THEN 'destination' ELSE kind END
         WHERE sync = ?1 AND (?2 IS NULL OR key_hash = ?2)",
        (sync.0, key),
    )?;
    if count > 0 {
        connection.execute("UPDATE sync SET counter = counter + 1 WHERE id = ?1", [sync.0])?;
    }
    Ok(u64::try_from(count).unwrap_or(u64::MAX))
}

const COLUMNS: &str = "key, kind, seen, reason, tries, first_run, last_run, time";

/// Returns the rejections of keys, in the order asked.
pub(super) fn of_keys(
    connection: &Connection,
    sync: SyncId,
    keys: &[Hash128],
) -> Result<Vec<Option<Rejection>>, StateError> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT {COLUMNS} FROM rejection WHERE sync = ?1 AND key_hash = ?2"))?;
    let mut found = Vec::with_capacity(keys.len());
    for key in keys {
        found.push(statement.query_row((sync.0, key.to_bytes()), rejection).optional()?);
    }
    Ok(found)
}

/// Returns a sync's rejections, oldest first.
pub(super) fn list(connection: &Connection, sync: SyncId, limit: u32) -> Result<Vec<Rejection>, StateError> {
    let mut statement = connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM rejection WHERE sync = ?1 ORDER BY number LIMIT ?2"))?;
    let limit = if limit == 0 { -1 } else { i64::from(limit) };
    let rows = statement.query_map((sync.0, limit), rejection)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn rejection(row: &Row<'_>) -> rusqlite::Result<Rejection> {
    let kind: String = row.get(1)?;
    Ok(Rejection {
        key: RowKey::new(row.get::<_, std::sync::Arc<str>>(0)?),
        kind: RejectionKind::from_word(&kind).unwrap_or(RejectionKind::Destination),
        seen: hash(row, 2)?,
        reason: row.get(3)?,
        tries: row.get(4)?,
        first_run: RunId(row.get(5)?),
        last_run: RunId(row.get(6)?),
        time: DateTime::from_timestamp_millis(row.get(7)?).unwrap_or_default(),
    })
}
