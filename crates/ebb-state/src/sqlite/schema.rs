//! The schema of the state file, in versions.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::disk::{private, refuse_writable_by_others, storage};
use crate::store::{StateError, SyncId};

/// Marks the file as ebb's: "ebb1".
const APPLICATION_ID: i32 = 0x6562_6231;

/// How long a write waits for one of another process.
pub(super) const BUSY: Duration = Duration::from_secs(10);

/// The changes from one version to the next; shipped ones never change. Numbers of runs are never given out twice:
/// entries name the run that made them, also after its row was removed.
const VERSIONS: [&str; 2] = [
    "
    CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE secret (name TEXT PRIMARY KEY, key BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE sync (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        destination TEXT NOT NULL,
        object TEXT NOT NULL,
        match_field TEXT,
        generation INTEGER NOT NULL DEFAULT 0,
        has_history INTEGER NOT NULL DEFAULT 0,
        entries INTEGER NOT NULL DEFAULT 0,
        live INTEGER NOT NULL DEFAULT 0,
        cursor TEXT,
        mapping BLOB,
        counter INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE run (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        sync TEXT NOT NULL,
        started_at INTEGER NOT NULL,
        trigger TEXT NOT NULL,
        git_commit TEXT,
        config BLOB NOT NULL,
        scope TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        changed INTEGER NOT NULL DEFAULT 0,
        status TEXT NOT NULL,
        finished_at INTEGER,
        summary TEXT NOT NULL DEFAULT ''
    );
    CREATE TABLE rejection (
        number INTEGER PRIMARY KEY,
        sync INTEGER NOT NULL,
        key_hash BLOB NOT NULL,
        key TEXT NOT NULL,
        kind TEXT NOT NULL,
        seen BLOB NOT NULL,
        reason TEXT NOT NULL,
        tries INTEGER NOT NULL,
        first_run TEXT NOT NULL,
        last_run TEXT NOT NULL,
        time INTEGER NOT NULL,
        UNIQUE (sync, key_hash)
    );
    CREATE TABLE lease (
        scope TEXT PRIMARY KEY,
        epoch INTEGER NOT NULL,
        held INTEGER NOT NULL,
        holder TEXT NOT NULL,
        host TEXT NOT NULL,
        boot TEXT NOT NULL,
        process INTEGER NOT NULL,
        lock TEXT NOT NULL,
        expires_at INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE dirty (
        sync INTEGER NOT NULL, key_hash BLOB NOT NULL, key TEXT NOT NULL, PRIMARY KEY (sync, key_hash)
    ) WITHOUT ROWID;
    CREATE TABLE object (
        number INTEGER PRIMARY KEY, destination TEXT NOT NULL, object TEXT NOT NULL, UNIQUE (destination, object)
    );
    CREATE TABLE known_id (
        object INTEGER NOT NULL, external_id TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (object, external_id)
    ) WITHOUT ROWID;
    CREATE TABLE budget_user (
        budget TEXT NOT NULL, holder TEXT NOT NULL, expires_at INTEGER NOT NULL, PRIMARY KEY (budget, holder)
    ) WITHOUT ROWID;
    CREATE TABLE described (query BLOB PRIMARY KEY, columns TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE used_plan (plan TEXT PRIMARY KEY, run_number INTEGER) WITHOUT ROWID;
",
    "
    ALTER TABLE run ADD COLUMN in_part INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE run ADD COLUMN worker TEXT NOT NULL DEFAULT '';
    UPDATE run SET in_part = 1 WHERE trigger LIKE '%, in part%';
    CREATE INDEX whole_run ON run (sync) WHERE in_part = 0;
    CREATE INDEX run_by_start ON run (started_at);
    CREATE TABLE document (
        version INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        key TEXT NOT NULL,
        body TEXT NOT NULL,
        UNIQUE (kind, key)
    );
",
];

/// Opens the state file for writing, making it private and bringing it up to date.
pub(super) fn open(path: &Path) -> Result<Connection, StateError> {
    private().create(true).append(true).open(path).map_err(|error| storage(path, &error))?;
    refuse_writable_by_others(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(256);
    // In this order: another process may be making the tables, and marks the file in the same transaction.
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let application: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if application != APPLICATION_ID && (application != 0 || tables > 0) {
        return Err(StateError::Unusable(format!("{} is not a state file of ebb", path.display())));
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", false)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "wal_autocheckpoint", 4000)?;
    connection.pragma_update(None, "cache_size", -8192)?;
    migrate(&mut connection, path)?;
    Ok(connection)
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StateError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: u32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = u32::try_from(VERSIONS.len()).unwrap_or(u32::MAX);
    let Some(missing) = usize::try_from(version).ok().and_then(|version| VERSIONS.get(version..)) else {
        return Err(StateError::Unusable(format!(
            "{}: state was written by a newer ebb (schema {version}, this one knows {known}); use that version or newer",
            path.display()
        )));
    };
    for change in missing {
        transaction.execute_batch(change)?;
    }
    if !missing.is_empty() {
        transaction.pragma_update(None, "user_version", known)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    transaction.commit()?;
    Ok(())
}

/// Makes the tables of a sync: its entries, one row a key, and what they replaced. Neither has a second index, so that
/// a change appends.
pub(super) fn create_sync_tables(connection: &Connection, sync: SyncId) -> Result<(), StateError> {
    let SyncId(number) = sync;
    let columns = "id INTEGER PRIMARY KEY, key_hash BLOB NOT NULL, seen BLOB NOT NULL, digest BLOB NOT NULL, \
                   flags INTEGER NOT NULL, revision INTEGER NOT NULL, run INTEGER NOT NULL, created INTEGER NOT NULL, \
                   replaces INTEGER, destination_id TEXT, key TEXT NOT NULL, record TEXT NOT NULL";
    connection.execute_batch(&format!(
        "CREATE TABLE IF NOT EXISTS entry_{number} ({columns});
         CREATE TABLE IF NOT EXISTS history_{number} ({columns}, replaced_by INTEGER NOT NULL);"
    ))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_of_the_first_version_is_brought_up_to_date() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        drop(private().create(true).append(true).open(&path).unwrap());
        let old = Connection::open(&path).unwrap();
        old.execute_batch(VERSIONS[0]).unwrap();
        old.pragma_update(None, "user_version", 1).unwrap();
        old.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        for trigger in ["run", "run, in part"] {
            old.execute(
                "INSERT INTO run (id, sync, started_at, trigger, config, scope, epoch, status)
                 VALUES (?1, 'accounts', 0, ?1, x'', '', 1, 'succeeded')",
                [trigger],
            )
            .unwrap();
        }
        drop(old);
        let new = open(&path).unwrap();
        let in_part: Vec<bool> = new
            .prepare("SELECT in_part FROM run ORDER BY number")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(in_part, [false, true]);
    }
}
