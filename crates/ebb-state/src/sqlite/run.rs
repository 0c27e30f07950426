//! Runs, and the folders with their logs.

use std::io::Write;
use std::path::Path;

use chrono::{DateTime, SecondsFormat, Utc};
use ebb_row::{parse_json, write_json_string};
use rusqlite::{Connection, OptionalExtension, Row};

use crate::disk::{make_private_directory, private, publish, run_folder, storage};
use crate::sqlite::entry::hash;
use crate::sqlite::lease::{Holder, is_alive};
use crate::sqlite::rejection;
use crate::store::{ClosedRun, Lease, NewRun, RunFilter, RunId, RunRecord, StateError, SyncId};

/// Makes a run's row and folder; earlier runs of the sync that never ended are `interrupted` from now on.
pub(super) fn begin(connection: &Connection, directory: &Path, lease: &Lease, run: &NewRun) -> Result<(), StateError> {
    make_private_directory(&directory.join("runs").join(run_folder(&run.id)?))?;
    connection.execute(
        "UPDATE run SET status = 'interrupted' WHERE sync = ?1 AND status = 'running' AND scope = ?2 AND epoch < ?3",
        (&run.sync, &lease.scope, lease.epoch.cast_signed()),
    )?;
    connection.execute(
        "INSERT INTO run (id, sync, started_at, trigger, git_commit, config, scope, epoch, in_part, worker, status)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 'running')",
        (
            &run.id.0,
            &run.sync,
            run.started_at.timestamp_micros(),
            &run.trigger,
            &run.commit,
            run.config.to_bytes(),
            &lease.scope,
            lease.epoch.cast_signed(),
            run.in_part,
            &run.worker,
        ),
    )?;
    Ok(())
}

/// Ends a run.
pub(super) fn end(connection: &Connection, sync: SyncId, run: &RunId, end: &ClosedRun) -> Result<(), StateError> {
    let changed = connection.execute(
        "UPDATE run SET status = ?2, finished_at = ?3, summary = ?4 WHERE id = ?1",
        (&run.0, &end.status, end.finished_at.timestamp_micros(), &end.summary),
    )?;
    if changed == 0 {
        return Err(StateError::Storage(format!("run {run} was never begun")));
    }
    connection.execute(
        "UPDATE sync SET cursor = ifnull(?2, cursor), mapping = ifnull(?3, mapping) WHERE id = ?1",
        (sync.0, &end.cursor, end.mapping.map(ebb_row::Hash128::to_bytes)),
    )?;
    if end.read_everything {
        rejection::forget_unseen(connection, sync, run)?;
    }
    Ok(())
}

const COLUMNS: &str = "id, sync, started_at, trigger, git_commit, config, status, finished_at, summary, scope, epoch, \
                       in_part, worker";

fn record(row: &Row<'_>) -> rusqlite::Result<(RunRecord, String, u64)> {
    let time =
        |column| row.get::<_, Option<i64>>(column).map(|micros| micros.and_then(DateTime::from_timestamp_micros));
    let run = NewRun {
        id: RunId(row.get(0)?),
        sync: row.get(1)?,
        started_at: time(2)?.unwrap_or_default(),
        trigger: row.get(3)?,
        commit: row.get(4)?,
        config: hash(row, 5)?,
        in_part: row.get(11)?,
        worker: row.get(12)?,
    };
    let record = RunRecord { run, status: row.get(6)?, finished_at: time(7)?, summary: row.get(8)? };
    Ok((record, row.get(9)?, row.get::<_, i64>(10)?.cast_unsigned()))
}

/// Lists runs, newest first; one that runs under a lease that no one holds any more is `interrupted`.
pub(super) fn list(
    connection: &Connection,
    holder: &Holder,
    now: DateTime<Utc>,
    filter: &RunFilter,
) -> Result<Vec<RunRecord>, StateError> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM run WHERE ?1 IS NULL OR sync = ?1 ORDER BY started_at DESC, number DESC LIMIT ?2"
    ))?;
    let limit = if filter.limit == 0 { -1 } else { i64::from(filter.limit) };
    let rows = statement.query_map((&filter.sync, limit), record)?;
    judged(connection, holder, now, rows.collect::<rusqlite::Result<_>>()?)
}

/// Returns the newest run of every sync, or of one, that was not of some rows only: a seek for each, not a scan of all runs.
pub(super) fn latest(
    connection: &Connection,
    holder: &Holder,
    now: DateTime<Utc>,
    of: Option<&str>,
) -> Result<Vec<RunRecord>, StateError> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM run WHERE number IN (
             SELECT (SELECT max(number) FROM run WHERE run.sync = sync.name AND run.in_part = 0)
             FROM sync WHERE ?1 IS NULL OR name = ?1)
         ORDER BY sync"
    ))?;
    let rows = statement.query_map([of], record)?;
    judged(connection, holder, now, rows.collect::<rusqlite::Result<_>>()?)
}

/// Finds runs by a prefix of their id, newest first.
pub(super) fn find(
    connection: &Connection,
    holder: &Holder,
    now: DateTime<Utc>,
    prefix: &str,
) -> Result<Vec<RunRecord>, StateError> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM run WHERE substr(id, 1, length(?1)) = ?1 ORDER BY started_at DESC, number DESC"
    ))?;
    let rows = statement.query_map([prefix], record)?;
    judged(connection, holder, now, rows.collect::<rusqlite::Result<_>>()?)
}

fn judged(
    connection: &Connection,
    holder: &Holder,
    now: DateTime<Utc>,
    found: Vec<(RunRecord, String, u64)>,
) -> Result<Vec<RunRecord>, StateError> {
    let mut records = Vec::with_capacity(found.len());
    for (mut record, scope, epoch) in found {
        if record.status == "running" && !is_alive(connection, holder, (&scope, epoch), now)? {
            "interrupted".clone_into(&mut record.status);
        }
        records.push(record);
    }
    Ok(records)
}

/// Writes `run.json` into a run's folder: the run's row, for people and scripts.
pub(super) fn mirror(connection: &Connection, directory: &Path, run: &RunId) -> Result<(), StateError> {
    let found =
        connection.query_row(&format!("SELECT {COLUMNS} FROM run WHERE id = ?1"), [&run.0], record).optional()?;
    let Some((record, ..)) = found else { return Ok(()) };
    let folder = directory.join("runs").join(run_folder(run)?);
    let (temporary, path) = (folder.join("run.json.tmp"), folder.join("run.json"));
    let mut file = private()
        .create(true)
        .truncate(true)
        .write(true)
        .open(&temporary)
        .map_err(|error| storage(&temporary, &error))?;
    file.write_all(&document(&record)).map_err(|error| storage(&temporary, &error))?;
    publish(&file, &temporary, &path)
}

fn document(record: &RunRecord) -> Vec<u8> {
    let time = |time: &DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Millis, true);
    let mut out = vec![b'{'];
    let mut text = |name: &str, value: Option<&str>| {
        write_json_string(name, &mut out);
        out.push(b':');
        match value {
            Some(value) => write_json_string(value, &mut out),
            None => out.extend_from_slice(b"null"),
        }
        out.push(b',');
    };
    text("id", Some(&record.run.id.0));
    text("sync", Some(&record.run.sync));
    text("status", Some(&record.status));
    text("trigger", Some(&record.run.trigger));
    text("commit", record.run.commit.as_deref());
    text("config", Some(&record.run.config.to_string()));
    text("worker", Some(&record.run.worker));
    text("started_at", Some(&time(&record.run.started_at)));
    text("finished_at", record.finished_at.as_ref().map(time).as_deref());
    out.extend_from_slice(b"\"summary\":");
    let is_json = parse_json(&record.summary, false).is_ok();
    out.extend_from_slice(if is_json { record.summary.as_bytes() } else { b"null" });
    out.extend_from_slice(b"}\n");
    out
}

/// A run that is over and old.
pub(super) struct OldRun {
    pub(super) number: i64,
    pub(super) id: RunId,
}

/// Returns the runs that ended before `cutoff`, and those that were interrupted and began before it.
pub(super) fn older(
    connection: &Connection,
    holder: &Holder,
    now: DateTime<Utc>,
    cutoff: DateTime<Utc>,
) -> Result<Vec<OldRun>, StateError> {
    let mut statement = connection.prepare(&format!(
        "SELECT {COLUMNS}, number FROM run WHERE ifnull(finished_at, started_at) < ?1 ORDER BY number"
    ))?;
    let found: Vec<((RunRecord, String, u64), i64)> = statement
        .query_map([cutoff.timestamp_micros()], |row| Ok((record(row)?, row.get(13)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut old = Vec::new();
    for ((record, scope, epoch), number) in found {
        if record.status != "running" || !is_alive(connection, holder, (&scope, epoch), now)? {
            old.push(OldRun { number, id: record.run.id });
        }
    }
    Ok(old)
}

/// Removes the rows of runs and what they replaced.
pub(super) fn remove(connection: &Connection, runs: &[OldRun]) -> Result<(), StateError> {
    let mut tables = connection.prepare("SELECT id FROM sync")?;
    let tables: Vec<i64> = tables.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let mut delete = connection.prepare("DELETE FROM run WHERE number = ?1")?;
    for run in runs {
        delete.execute([run.number])?;
    }
    for table in tables {
        connection
            .execute(&format!("DELETE FROM history_{table} WHERE replaced_by NOT IN (SELECT number FROM run)"), [])?;
    }
    Ok(())
}
