//! Syncs: their identity, counters, and the keys whose state is uncertain.

use std::collections::HashMap;

use ebb_row::{Hash128, RowKey};
use rusqlite::{Connection, OptionalExtension, Row};

use crate::sqlite::entry::{LIVE, unsigned};
use crate::sqlite::schema::create_sync_tables;
use crate::store::{EntryId, StateError, SyncId, SyncIdentity, SyncState};

const COLUMNS: &str =
    "id, name, destination, object, match_field, generation, has_history, live, cursor, mapping, counter";

fn state(row: &Row<'_>) -> rusqlite::Result<SyncState> {
    Ok(SyncState {
        id: SyncId(row.get(0)?),
        identity: SyncIdentity {
            name: row.get(1)?,
            destination: row.get(2)?,
            object: row.get(3)?,
            match_field: row.get(4)?,
        },
        generation: row.get(5)?,
        has_history: row.get(6)?,
        live: unsigned(row, 7)?,
        last_entry: EntryId(0),
        cursor: row.get(8)?,
        mapping: row.get::<_, Option<[u8; 16]>>(9)?.map(Hash128::from_bytes),
        counter: unsigned(row, 10)?,
    })
}

/// Finds a sync by its name.
pub(super) fn find(connection: &Connection, name: &str) -> Result<Option<SyncState>, StateError> {
    let found = connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM sync WHERE name = ?1"))?
        .query_row([name], state)
        .optional()?;
    let Some(mut state) = found else { return Ok(None) };
    state.last_entry = last_entry(connection, state.id)?;
    Ok(Some(state))
}

/// Returns the highest entry of a sync.
pub(super) fn last_entry(connection: &Connection, sync: SyncId) -> Result<EntryId, StateError> {
    let last = connection
        .prepare_cached(&format!("SELECT ifnull(max(id), 0) FROM entry_{}", sync.0))?
        .query_row([], |row| unsigned(row, 0))?;
    Ok(EntryId(last))
}

/// Finds a sync, or makes it for an identity.
pub(super) fn find_or_make(connection: &Connection, identity: &SyncIdentity) -> Result<SyncState, StateError> {
    if let Some(state) = find(connection, &identity.name)? {
        return Ok(state);
    }
    connection.execute(
        "INSERT INTO sync (name, destination, object, match_field) VALUES (?1, ?2, ?3, ?4)",
        (&identity.name, &identity.destination, &identity.object, &identity.match_field),
    )?;
    create_sync_tables(connection, SyncId(connection.last_insert_rowid()))?;
    find(connection, &identity.name)?.ok_or_else(|| StateError::Storage("a sync was not kept".to_owned()))
}

/// Forgets what a sync has sent and binds it to an identity.
pub(super) fn reset(connection: &Connection, identity: &SyncIdentity) -> Result<SyncState, StateError> {
    let id = find_or_make(connection, identity)?.id;
    connection.execute_batch(&format!("DROP TABLE entry_{0}; DROP TABLE history_{0};", id.0))?;
    create_sync_tables(connection, id)?;
    connection.execute("DELETE FROM rejection WHERE sync = ?1", [id.0])?;
    connection.execute("DELETE FROM dirty WHERE sync = ?1", [id.0])?;
    connection.execute(
        "UPDATE sync SET destination = ?2, object = ?3, match_field = ?4, generation = generation + 1, has_history = 0,
            entries = 0, live = 0, cursor = NULL, mapping = NULL, counter = counter + 1
         WHERE id = ?1",
        (id.0, &identity.destination, &identity.object, &identity.match_field),
    )?;
    find(connection, &identity.name)?.ok_or_else(|| StateError::Storage("a sync was not kept".to_owned()))
}

/// Marks keys whose late confirm was refused.
pub(super) fn mark_dirty(connection: &Connection, sync: SyncId, keys: &[RowKey]) -> Result<(), StateError> {
    let mut statement =
        connection.prepare_cached("INSERT OR REPLACE INTO dirty (sync, key_hash, key) VALUES (?1, ?2, ?3)")?;
    for key in keys {
        statement.execute((sync.0, key.hash().to_bytes(), key.text()))?;
    }
    Ok(())
}

/// Makes the entries of dirty keys uncertain and empties the list. Returns the keys and the ids that changed.
pub(super) fn apply_dirty(
    connection: &Connection,
    sync: SyncId,
) -> Result<(Vec<RowKey>, HashMap<i64, i64>), StateError> {
    let mut moved = HashMap::new();
    let mut statement = connection.prepare("SELECT key FROM dirty WHERE sync = ?1 ORDER BY key")?;
    let keys: Vec<RowKey> = statement
        .query_map([sync.0], |row| row.get(0).map(|key: String| RowKey::new(key)))?
        .collect::<Result<_, _>>()?;
    if keys.is_empty() {
        return Ok((keys, moved));
    }
    let SyncId(table) = sync;
    let mut last = last_entry(connection, sync)?.0.cast_signed();
    // One pass over the table for all of them: the list is short and seldom there.
    let mut found: Vec<i64> = connection
        .prepare(&format!(
            "SELECT id FROM entry_{table} WHERE key_hash IN (SELECT key_hash FROM dirty WHERE sync = ?1)"
        ))?
        .query_map([table], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    found.sort_unstable();
    let mut update =
        connection.prepare(&format!("UPDATE entry_{table} SET id = ?2, seen = ?3, digest = ?3 WHERE id = ?1"))?;
    for id in found {
        last += 1;
        update.execute((id, last, Hash128::default().to_bytes()))?;
        moved.insert(id, last);
    }
    connection.execute("DELETE FROM dirty WHERE sync = ?1", [table])?;
    if !moved.is_empty() {
        connection.execute("UPDATE sync SET counter = counter + 1 WHERE id = ?1", [table])?;
    }
    Ok((keys, moved))
}

/// What the index must agree with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) generation: u32,
    pub(super) entries: u64,
    pub(super) live: u64,
    pub(super) last: EntryId,
}

/// Reads what the index must agree with.
pub(super) fn totals(connection: &Connection, sync: SyncId) -> Result<Totals, StateError> {
    let found = connection
        .prepare_cached("SELECT generation, entries, live FROM sync WHERE id = ?1")?
        .query_row([sync.0], |row| Ok((row.get(0)?, unsigned(row, 1)?, unsigned(row, 2)?)))
        .optional()?;
    let Some((generation, entries, live)) = found else {
        return Err(StateError::Storage(format!("there is no sync {}", sync.0)));
    };
    Ok(Totals { generation, entries, live, last: last_entry(connection, sync)? })
}

/// Removes entries that a newer one of the same key makes void, and counts anew where `counted` still holds.
pub(super) fn repair(
    connection: &Connection,
    sync: SyncId,
    void: &[EntryId],
    counted: &Totals,
) -> Result<(), StateError> {
    let SyncId(table) = sync;
    let mut flags = connection.prepare(&format!("SELECT flags FROM entry_{table} WHERE id = ?1"))?;
    let mut delete = connection.prepare(&format!("DELETE FROM entry_{table} WHERE id = ?1"))?;
    let (mut entries, mut live) = (0, 0);
    for id in void {
        let id = id.0.cast_signed();
        let found: Option<i64> = flags.query_row([id], |row| row.get(0)).optional()?;
        if let Some(flags) = found {
            delete.execute([id])?;
            entries += 1;
            live += flags & LIVE;
        }
    }
    connection
        .execute("UPDATE sync SET entries = entries - ?2, live = live - ?3 WHERE id = ?1", (table, entries, live))?;
    let now = totals(connection, sync)?;
    if now.last == counted.last && now.generation == counted.generation && now != *counted {
        connection.execute(
            "UPDATE sync SET entries = ?2, live = ?3 WHERE id = ?1",
            (table, counted.entries.cast_signed(), counted.live.cast_signed()),
        )?;
    }
    Ok(())
}
