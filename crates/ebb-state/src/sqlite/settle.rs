//! What a settlement does to the tables.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use ebb_row::{Created, Hash128, RowKey};
use rusqlite::{CachedStatement, Connection, OptionalExtension, TransactionBehavior};

use crate::sqlite::entry::{ADOPTED, LIVE, created_number};
use crate::sqlite::rejection::{self, Refusal};
use crate::sqlite::writer::{Known, Settling, is_held};
use crate::store::{EntryChange, EntryId, RunId, StateError, SyncId};

/// What the writer remembers of a sync.
#[derive(Debug)]
pub(super) struct SettledSync {
    sql: Arc<Sql>,
    destination: String,
    objects: HashMap<String, i64>,
    /// Entries that became uncertain, by the id that they had: a run that settles their row later knows only that one.
    pub(super) moved: HashMap<i64, i64>,
}

/// The statements of a sync's tables.
#[derive(Debug)]
struct Sql {
    insert: String,
    find: String,
    find_key: String,
    keep: String,
    delete: String,
    refresh: String,
    last: String,
}

const COPIED: &str = "id, key_hash, seen, digest, flags, revision, run, created, replaces, destination_id, key, record";

impl SettledSync {
    /// Reads what is needed of a sync.
    pub(super) fn load(connection: &Connection, sync: SyncId) -> Result<Self, StateError> {
        let SyncId(table) = sync;
        let destination: Option<String> =
            connection.query_row("SELECT destination FROM sync WHERE id = ?1", [table], |row| row.get(0)).optional()?;
        let sql = Sql {
            insert: format!(
                "INSERT INTO entry_{table} ({COPIED}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"
            ),
            find: format!("SELECT flags FROM entry_{table} WHERE id = ?1 AND key_hash = ?2"),
            find_key: format!("SELECT id, flags FROM entry_{table} WHERE key_hash = ?1 ORDER BY id DESC LIMIT 1"),
            keep: format!(
                "INSERT INTO history_{table} ({COPIED}, replaced_by) SELECT {COPIED}, ?2 FROM entry_{table} WHERE id = ?1"
            ),
            delete: format!("DELETE FROM entry_{table} WHERE id = ?1"),
            refresh: format!(
                "UPDATE entry_{table} SET id = ?2, flags = ?3, seen = ifnull(?4, seen), digest = ifnull(?5, digest)
                 WHERE id = ?1"
            ),
            last: format!("SELECT ifnull(max(id), 0) FROM entry_{table}"),
        };
        Ok(Self {
            sql: Arc::new(sql),
            destination: destination.ok_or_else(|| StateError::Storage(format!("there is no sync {table}")))?,
            objects: HashMap::new(),
            moved: HashMap::new(),
        })
    }
}

/// Does the row changes of a group in one transaction; a settlement whose lease was lost changes nothing.
pub(super) fn settle_group(
    connection: &mut Connection,
    known: &mut Known,
    group: &[Settling],
    results: &mut Vec<Result<(), StateError>>,
) -> Result<(), StateError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let held = check_leases(&transaction, group)?;
    let mut order: Vec<(&Settling, &RunId)> = group
        .iter()
        .zip(&held)
        .filter(|(_, held)| **held)
        .filter_map(|(settling, _)| settling.owner.as_ref().map(|(_, run)| (settling, run)))
        .collect();
    order.sort_by_key(|(settling, _)| settling.sync);
    for settlings in order.chunk_by(|(one, _), (two, _)| one.sync == two.sync) {
        settle_sync(&transaction, known, settlings)?;
    }
    transaction.commit()?;
    results.extend(group.iter().zip(held).map(|(settling, held)| match &settling.owner {
        Some((lease, _)) if !held => Err(StateError::LeaseLost { scope: lease.scope.clone() }),
        Some(_) | None => Ok(()),
    }));
    Ok(())
}

/// Returns for each settlement whether its lease is held, or it needs none.
fn check_leases(connection: &Connection, group: &[Settling]) -> Result<Vec<bool>, StateError> {
    let mut leases: Vec<(&str, u64, bool)> = Vec::new();
    let mut held = Vec::with_capacity(group.len());
    for settling in group {
        let Some((lease, _)) = &settling.owner else {
            held.push(true);
            continue;
        };
        let checked = leases.iter().find(|(scope, epoch, _)| *scope == lease.scope && *epoch == lease.epoch);
        held.push(if let Some((.., is_held)) = checked {
            *is_held
        } else {
            let is_held = is_held(connection, lease)?;
            leases.push((&lease.scope, lease.epoch, is_held));
            is_held
        });
    }
    Ok(held)
}

/// Does the row changes of one sync.
fn settle_sync(
    connection: &Connection,
    known: &mut Known,
    settlings: &[(&Settling, &RunId)],
) -> Result<(), StateError> {
    let Some((first, _)) = settlings.first() else { return Ok(()) };
    let mut group = Group::begin(connection, known, first.sync)?;
    for (settling, run) in settlings {
        let number = run_number(connection, known, run)?;
        group.settle(known, settling, run, number)?;
    }
    group.finish()
}

fn run_number(connection: &Connection, known: &mut Known, run: &RunId) -> Result<i64, StateError> {
    if let Some(number) = known.runs.get(run) {
        return Ok(*number);
    }
    let number = connection
        .query_row("SELECT number FROM run WHERE id = ?1", [&run.0], |row| row.get(0))
        .optional()?
        .ok_or_else(|| StateError::Storage(format!("run {run} was never begun")))?;
    known.runs.insert(run.clone(), number);
    Ok(number)
}

/// The settlements of one sync within a group.
struct Group<'a> {
    connection: &'a Connection,
    sync: SyncId,
    insert: CachedStatement<'a>,
    find: CachedStatement<'a>,
    find_key: CachedStatement<'a>,
    keep: CachedStatement<'a>,
    delete: CachedStatement<'a>,
    refresh: CachedStatement<'a>,
    learn: CachedStatement<'a>,
    last: i64,
    entries: i64,
    live: i64,
    is_written: bool,
    has_rejections: bool,
}

/// How an entry changes whose accepted facts stay; `None` leaves a mark as it is.
#[derive(Default)]
struct Mark {
    live: Option<bool>,
    seen: Option<Hash128>,
    digest: Option<Hash128>,
}

/// An accepted record on its way into the table.
struct Accepted<'a> {
    key: &'a RowKey,
    hash: Hash128,
    run: i64,
    seen: Hash128,
    digest: Hash128,
    record: &'a str,
    destination_id: Option<&'a str>,
    created: Created,
    adopted: bool,
    revision: u32,
}

impl<'a> Group<'a> {
    fn begin(connection: &'a Connection, known: &mut Known, sync: SyncId) -> Result<Self, StateError> {
        let sql = match known.syncs.entry(sync) {
            Entry::Occupied(found) => Arc::clone(&found.get().sql),
            Entry::Vacant(vacant) => Arc::clone(&vacant.insert(SettledSync::load(connection, sync)?).sql),
        };
        Ok(Self {
            connection,
            sync,
            insert: connection.prepare_cached(&sql.insert)?,
            find: connection.prepare_cached(&sql.find)?,
            find_key: connection.prepare_cached(&sql.find_key)?,
            keep: connection.prepare_cached(&sql.keep)?,
            delete: connection.prepare_cached(&sql.delete)?,
            refresh: connection.prepare_cached(&sql.refresh)?,
            learn: connection.prepare_cached(LEARN)?,
            last: connection.prepare_cached(&sql.last)?.query_row([], |row| row.get(0))?,
            entries: 0,
            live: 0,
            is_written: false,
            has_rejections: rejection::any(connection, sync)?,
        })
    }

    fn settle(
        &mut self,
        known: &mut Known,
        settling: &Settling,
        run: &RunId,
        run_number: i64,
    ) -> Result<(), StateError> {
        let mut is_changed = false;
        for row in &settling.settlement.rows {
            let hash = row.key.hash();
            is_changed |= match &row.change {
                EntryChange::Accept { replaces, seen, digest, record, destination_id, created, adopted, revision } => {
                    let accepted = Accepted {
                        key: &row.key,
                        hash,
                        run: run_number,
                        seen: *seen,
                        digest: *digest,
                        record,
                        destination_id: destination_id.as_deref(),
                        created: *created,
                        adopted: *adopted,
                        revision: *revision,
                    };
                    self.accept(known, *replaces, &accepted)?;
                    self.forget_rejection(hash, false)?
                }
                EntryChange::Refresh { replaces, seen } => {
                    let mark = Mark { live: Some(true), seen: Some(*seen), ..Mark::default() };
                    self.replace(known, *replaces, hash, &mark)?;
                    self.forget_rejection(hash, false)?
                }
                EntryChange::Gone { replaces } => {
                    self.replace(known, *replaces, hash, &Mark { live: Some(false), ..Mark::default() })?;
                    self.forget_rejection(hash, true)?
                }
                EntryChange::Uncertain { replaces: Some(replaces) } => {
                    let nothing = Some(Hash128::default());
                    let mark = Mark { seen: nothing, digest: nothing, ..Mark::default() };
                    if let Some((from, to)) = self.replace(known, *replaces, hash, &mark)?
                        && let Some(sync) = known.syncs.get_mut(&self.sync)
                    {
                        sync.moved.insert(from, to);
                    }
                    true
                }
                EntryChange::Reject { kind, seen, reason } => {
                    self.has_rejections = true;
                    let refusal = Refusal { kind: *kind, seen: *seen, reason, run, time: settling.time };
                    rejection::keep(self.connection, self.sync, (&row.key, hash), &refusal)?
                }
                EntryChange::Uncertain { replaces: None } | EntryChange::Keep => false,
            };
        }
        for (object, external_id, id) in &settling.settlement.ids {
            let object = object_of(self.connection, known, self.sync, object)?;
            self.learn.execute((object, external_id, id))?;
        }
        if is_changed && known.changed.insert(run_number) {
            raise_counter(self.connection, self.sync, run_number)?;
        }
        Ok(())
    }

    fn accept(&mut self, known: &Known, replaces: Option<EntryId>, accepted: &Accepted<'_>) -> Result<(), StateError> {
        let before = match replaces {
            Some(id) => self.find(known, id, accepted.hash)?,
            None => None,
        };
        if let Some((id, flags)) = before {
            self.keep.execute((id, accepted.run))?;
            self.delete.execute([id])?;
            self.entries -= 1;
            self.live -= flags & LIVE;
        }
        self.last += 1;
        let flags = LIVE | if accepted.adopted { ADOPTED } else { 0 };
        self.insert.execute((
            self.last,
            accepted.hash.to_bytes(),
            accepted.seen.to_bytes(),
            accepted.digest.to_bytes(),
            flags,
            accepted.revision,
            accepted.run,
            created_number(accepted.created),
            before.map(|(id, _)| id),
            accepted.destination_id,
            accepted.key.text(),
            accepted.record,
        ))?;
        self.entries += 1;
        self.live += 1;
        self.is_written = true;
        Ok(())
    }

    /// Gives an entry a new id and other marks; its accepted facts stay. Returns its ids before and after.
    fn replace(
        &mut self,
        known: &Known,
        replaces: EntryId,
        hash: Hash128,
        mark: &Mark,
    ) -> Result<Option<(i64, i64)>, StateError> {
        let Some((id, flags)) = self.find(known, replaces, hash)? else { return Ok(None) };
        let marked = match mark.live {
            Some(true) => flags | LIVE,
            Some(false) => flags & !LIVE,
            None => flags,
        };
        self.last += 1;
        let (seen, digest) = (mark.seen.map(Hash128::to_bytes), mark.digest.map(Hash128::to_bytes));
        self.refresh.execute((id, self.last, marked, seen, digest))?;
        self.live += (marked & LIVE) - (flags & LIVE);
        Ok(Some((id, self.last)))
    }

    /// Finds an entry by the id that a plan has of it; by its key where it has another one by now.
    fn find(&mut self, known: &Known, id: EntryId, hash: Hash128) -> Result<Option<(i64, i64)>, StateError> {
        let mut id = id.0.cast_signed();
        let moved = known.syncs.get(&self.sync).map(|sync| &sync.moved);
        while let Some(next) = moved.and_then(|moved| moved.get(&id)) {
            id = *next;
        }
        let found = self.find.query_row((id, hash.to_bytes()), |row| row.get(0)).optional()?;
        if let Some(flags) = found {
            return Ok(Some((id, flags)));
        }
        let row = self.find_key.query_row([hash.to_bytes()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        Ok(row)
    }

    /// Forgets that a row was refused. Always `true`: the row's entry changed.
    fn forget_rejection(&mut self, hash: Hash128, keep_unknown: bool) -> Result<bool, StateError> {
        if self.has_rejections {
            rejection::forget(self.connection, self.sync, hash, keep_unknown)?;
        }
        Ok(true)
    }

    fn finish(self) -> Result<(), StateError> {
        if self.entries == 0 && self.live == 0 && !self.is_written {
            return Ok(());
        }
        self.connection
            .prepare_cached(
                "UPDATE sync SET entries = entries + ?2, live = live + ?3, has_history = max(has_history, ?4)
                 WHERE id = ?1",
            )?
            .execute((self.sync.0, self.entries, self.live, self.is_written))?;
        Ok(())
    }
}

/// Raises a sync's counter, once for each run.
fn raise_counter(connection: &Connection, sync: SyncId, run: i64) -> Result<(), StateError> {
    let is_first = connection.execute("UPDATE run SET changed = 1 WHERE number = ?1 AND changed = 0", [run])? > 0;
    if is_first {
        connection.execute("UPDATE sync SET counter = counter + 1 WHERE id = ?1", [sync.0])?;
    }
    Ok(())
}

/// Remembers an id.
pub(super) const LEARN: &str = "INSERT INTO known_id (object, external_id, id) VALUES (?1, ?2, ?3)
    ON CONFLICT (object, external_id) DO UPDATE SET id = excluded.id WHERE id <> excluded.id";

fn object_of(connection: &Connection, known: &mut Known, sync: SyncId, object: &str) -> Result<i64, StateError> {
    let Some(sync) = known.syncs.get_mut(&sync) else {
        return Err(StateError::Storage(format!("there is no sync {}", sync.0)));
    };
    if let Some(number) = sync.objects.get(object) {
        return Ok(*number);
    }
    let number = object_number(connection, &sync.destination, object)?;
    sync.objects.insert(object.to_owned(), number);
    Ok(number)
}

/// Returns the number of an object at a destination, making it at first use.
pub(super) fn object_number(connection: &Connection, destination: &str, object: &str) -> Result<i64, StateError> {
    connection
        .prepare_cached("INSERT INTO object (destination, object) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
        .execute((destination, object))?;
    let number = connection
        .prepare_cached("SELECT number FROM object WHERE destination = ?1 AND object = ?2")?
        .query_row((destination, object), |row| row.get(0))?;
    Ok(number)
}
