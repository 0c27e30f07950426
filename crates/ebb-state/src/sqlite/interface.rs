//! [`Store`] for [`SqliteStore`].

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use ebb_row::{Column, Hash128, RowKey};
use rusqlite::OptionalExtension;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::columns::{read_columns, write_columns};
use crate::disk::{remove_if_there, run_folder, storage};
use crate::sqlite::fold::{FoldedIndex, index_path};
use crate::sqlite::settle::{LEARN, SettledSync, object_number};
use crate::sqlite::writer::{Command, Settling};
use crate::sqlite::{Inner, SqliteStore, document, entry, lease, rejection, run, sync};
use crate::store::{
    Acquire, CallEntry, ClosedRun, Document, Entry, EntryId, Expect, HistoryEntry, Intent, Lease, LeaseTerm, NewRun,
    PriorIndex, Rejection, RunFilter, RunId, RunRecord, Settlement, Share, StateError, Store, SyncId, SyncIdentity,
    SyncState,
};

/// The name of the plan in a run's folder.
const PLAN_FILE: &str = "plan";

impl Inner {
    async fn settle(
        &self,
        owner: Option<(Lease, RunId)>,
        sync: SyncId,
        settlement: Settlement,
    ) -> Result<(), StateError> {
        let (answer, answered) = oneshot::channel();
        let time = self.clock.now().timestamp_millis();
        self.send(Command::Settle(Settling { owner, sync, settlement, time, answer }))?;
        answered.await.map_err(|_| StateError::Storage("the writer has stopped".to_owned()))?
    }

    async fn meta(&self, name: &'static str, make: fn() -> String) -> Result<String, StateError> {
        self.write(move |writer| {
            writer.transaction(|transaction| {
                transaction
                    .prepare_cached("INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
                    .execute((name, make()))?;
                let kept = transaction
                    .prepare_cached("SELECT value FROM meta WHERE name = ?1")?
                    .query_row([name], |row| row.get(0))?;
                Ok(kept)
            })
        })
        .await
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn installation(&self) -> Result<String, StateError> {
        self.inner.meta("installation", || Uuid::new_v4().to_string()).await
    }

    async fn secret_key(&self, name: &str) -> Result<[u8; 32], StateError> {
        let name = name.to_owned();
        let fresh: [u8; 32] = rand::random();
        self.inner
            .write(move |writer| {
                writer.transaction(|transaction| {
                    transaction
                        .prepare_cached("INSERT INTO secret (name, key) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
                        .execute((&name, fresh))?;
                    let kept = transaction
                        .prepare_cached("SELECT key FROM secret WHERE name = ?1")?
                        .query_row([&name], |row| row.get(0))?;
                    Ok(kept)
                })
            })
            .await
    }

    async fn acquire(&self, scope: &str, term: LeaseTerm) -> Result<Acquire, StateError> {
        let (holder, scope, now) = (Arc::clone(&self.inner.holder), scope.to_owned(), self.inner.clock.now());
        self.inner
            .write(move |writer| {
                writer.transaction(|transaction| lease::acquire(transaction, &holder, &scope, now, term))
            })
            .await
    }

    async fn renew(&self, lease: &Lease, term: LeaseTerm) -> Result<(), StateError> {
        let (lease, now) = (lease.clone(), self.inner.clock.now());
        self.inner
            .write(move |writer| writer.transaction(|transaction| lease::renew(transaction, &lease, now, term)))
            .await
    }

    async fn release(&self, lease: &Lease) -> Result<(), StateError> {
        let lease = lease.clone();
        self.inner.write(move |writer| writer.transaction(|transaction| lease::release(transaction, &lease))).await
    }

    async fn sync(&self, identity: &SyncIdentity) -> Result<SyncState, StateError> {
        if let Some(found) = self.find_sync(&identity.name).await? {
            return Ok(found);
        }
        let identity = identity.clone();
        self.inner
            .write(move |writer| writer.transaction(|transaction| sync::find_or_make(transaction, &identity)))
            .await
    }

    async fn find_sync(&self, name: &str) -> Result<Option<SyncState>, StateError> {
        let name = name.to_owned();
        self.inner.read(move |transaction| sync::find(transaction, &name)).await
    }

    async fn reset(&self, lease: &Lease, identity: &SyncIdentity) -> Result<SyncState, StateError> {
        let (lease, identity) = (lease.clone(), identity.clone());
        self.inner
            .write(move |writer| {
                let state = writer.fenced(&lease, |transaction| sync::reset(transaction, &identity))?;
                writer.known.syncs.remove(&state.id);
                writer.journals.clear(state.id)?;
                remove_if_there(&index_path(&writer.directory, state.id))?;
                Ok(state)
            })
            .await
    }

    async fn index(&self, sync: SyncId) -> Result<Box<dyn PriorIndex>, StateError> {
        let index = self.inner.blocking(move |inner| FoldedIndex::open(inner, sync)).await?;
        Ok(Box::new(index))
    }

    async fn entries(&self, sync: SyncId, ids: &[EntryId]) -> Result<Vec<Option<Entry>>, StateError> {
        let ids = ids.to_vec();
        self.inner.read(move |transaction| entry::entries(transaction, sync, &ids)).await
    }

    async fn rejections_of(&self, sync: SyncId, keys: &[Hash128]) -> Result<Vec<Option<Rejection>>, StateError> {
        let keys = keys.to_vec();
        self.inner.read(move |transaction| rejection::of_keys(transaction, sync, &keys)).await
    }

    async fn rejections(&self, sync: SyncId, limit: u32) -> Result<Vec<Rejection>, StateError> {
        self.inner.read(move |transaction| rejection::list(transaction, sync, limit)).await
    }

    async fn retry_rejections(&self, sync: SyncId, key: Option<&RowKey>) -> Result<u64, StateError> {
        let key = key.map(RowKey::hash);
        self.inner.write(move |writer| writer.transaction(|transaction| rejection::retry(transaction, sync, key))).await
    }

    async fn begin_run(&self, lease: &Lease, run: &NewRun) -> Result<(), StateError> {
        let (lease, run) = (lease.clone(), run.clone());
        self.inner
            .write(move |writer| {
                let directory = writer.directory.clone();
                let found = writer.fenced(&lease, |transaction| {
                    run::begin(transaction, &directory, &lease, &run)?;
                    sync::find(transaction, &run.sync)
                })?;
                if let Some(state) = found {
                    writer.journals.forget(state.id);
                    writer.known.syncs.remove(&state.id);
                }
                Ok(())
            })
            .await
    }

    async fn end_run(&self, lease: &Lease, sync: SyncId, run: &RunId, end: &ClosedRun) -> Result<(), StateError> {
        let (lease, run, end) = (lease.clone(), run.clone(), end.clone());
        self.inner
            .write(move |writer| {
                writer.calls.close(&run)?;
                writer.fenced(&lease, |transaction| run::end(transaction, sync, &run, &end))?;
                writer.known.syncs.remove(&sync);
                writer.journals.clear_if_closed(sync)?;
                run::mirror(&writer.connection, &writer.directory, &run)
            })
            .await?;
        let folded = self.inner.blocking(move |inner| inner.fold(sync).map(drop)).await;
        if let Err(error) = folded {
            tracing::warn!(%error, "the sorted index could not be brought up to date; the next run does it");
        }
        Ok(())
    }

    async fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRecord>, StateError> {
        let (holder, now, filter) = (Arc::clone(&self.inner.holder), self.inner.clock.now(), filter.clone());
        self.inner.read(move |transaction| run::list(transaction, &holder, now, &filter)).await
    }

    async fn latest_runs(&self, of: Option<&str>) -> Result<Vec<RunRecord>, StateError> {
        let (holder, now, of) = (Arc::clone(&self.inner.holder), self.inner.clock.now(), of.map(str::to_owned));
        self.inner.read(move |transaction| run::latest(transaction, &holder, now, of.as_deref())).await
    }

    async fn find_runs(&self, prefix: &str) -> Result<Vec<RunRecord>, StateError> {
        let (holder, now, prefix) = (Arc::clone(&self.inner.holder), self.inner.clock.now(), prefix.to_owned());
        self.inner.read(move |transaction| run::find(transaction, &holder, now, &prefix)).await
    }

    async fn intend(&self, sync: SyncId, intents: &[Intent], durable: bool) -> Result<(), StateError> {
        if !durable {
            return self.inner.journals.append(sync, intents, false);
        }
        let intents = intents.to_vec();
        self.inner.blocking(move |inner| inner.journals.append(sync, &intents, true)).await
    }

    async fn open_intents(&self, sync: SyncId) -> Result<Vec<Intent>, StateError> {
        self.inner.blocking(move |inner| inner.journals.open_intents(sync)).await
    }

    async fn clear_journal(&self, sync: SyncId) -> Result<(), StateError> {
        self.inner.blocking(move |inner| inner.journals.clear(sync)).await
    }

    async fn settle(&self, lease: &Lease, sync: SyncId, run: &RunId, settlement: Settlement) -> Result<(), StateError> {
        self.inner.settle(Some((lease.clone(), run.clone())), sync, settlement).await
    }

    async fn log_calls(&self, sync: SyncId, calls: Vec<CallEntry>, intents: Vec<u64>) -> Result<(), StateError> {
        self.inner.settle(None, sync, Settlement { calls, intents, ..Settlement::default() }).await
    }

    async fn keep_plan(&self, run: &RunId, file: &Path) -> Result<(), StateError> {
        let (run, file) = (run.clone(), file.to_owned());
        self.inner
            .blocking(move |inner| {
                let kept = inner.directory.join("runs").join(run_folder(&run)?).join(PLAN_FILE);
                std::fs::rename(&file, &kept).map_err(|error| storage(&kept, &error))
            })
            .await
    }

    async fn kept_plan(&self, run: &RunId) -> Result<Option<PathBuf>, StateError> {
        let kept = self.inner.directory.join("runs").join(run_folder(run)?).join(PLAN_FILE);
        let is_there = kept.try_exists().map_err(|error| storage(&kept, &error))?;
        Ok(is_there.then_some(kept))
    }

    async fn documents(&self, kind: &str, after: &str, limit: u32) -> Result<Vec<Document>, StateError> {
        let (kind, after) = (kind.to_owned(), after.to_owned());
        self.inner.read(move |transaction| document::list(transaction, &kind, &after, limit)).await
    }

    async fn put_document(&self, kind: &str, key: &str, expect: Expect, body: &str) -> Result<Option<u64>, StateError> {
        let (kind, key, body) = (kind.to_owned(), key.to_owned(), body.to_owned());
        self.inner
            .write(move |writer| {
                writer.transaction(|transaction| document::put(transaction, (&kind, &key), expect, &body))
            })
            .await
    }

    async fn remove_document(&self, kind: &str, key: &str, expect: Expect) -> Result<bool, StateError> {
        let (kind, key) = (kind.to_owned(), key.to_owned());
        self.inner
            .write(move |writer| writer.transaction(|transaction| document::remove(transaction, &kind, &key, expect)))
            .await
    }

    async fn mark_dirty(&self, sync: SyncId, keys: &[RowKey]) -> Result<(), StateError> {
        let keys = keys.to_vec();
        self.inner
            .write(move |writer| writer.transaction(|transaction| sync::mark_dirty(transaction, sync, &keys)))
            .await
    }

    async fn apply_dirty(&self, lease: &Lease, sync: SyncId) -> Result<Vec<RowKey>, StateError> {
        let lease = lease.clone();
        self.inner
            .write(move |writer| {
                let (keys, moved) = writer.fenced(&lease, |transaction| sync::apply_dirty(transaction, sync))?;
                if !moved.is_empty() {
                    let mut known = SettledSync::load(&writer.connection, sync)?;
                    known.moved = moved;
                    writer.known.syncs.insert(sync, known);
                }
                Ok(keys)
            })
            .await
    }

    async fn known_ids(
        &self,
        destination: &str,
        object: &str,
        external_ids: &[Arc<str>],
    ) -> Result<Vec<Option<String>>, StateError> {
        let (destination, object, asked) = (destination.to_owned(), object.to_owned(), external_ids.to_vec());
        self.inner
            .read(move |transaction| {
                let number: Option<i64> = transaction
                    .prepare_cached("SELECT number FROM object WHERE destination = ?1 AND object = ?2")?
                    .query_row((&destination, &object), |row| row.get(0))
                    .optional()?;
                let mut statement =
                    transaction.prepare_cached("SELECT id FROM known_id WHERE object = ?1 AND external_id = ?2")?;
                let mut found = Vec::with_capacity(asked.len());
                for external_id in &asked {
                    let id = statement.query_row((number, external_id), |row| row.get(0)).optional()?;
                    found.push(id);
                }
                Ok(found)
            })
            .await
    }

    async fn learn_id(
        &self,
        destination: &str,
        object: &str,
        external_id: &str,
        id: Option<&str>,
    ) -> Result<(), StateError> {
        let (destination, object) = (destination.to_owned(), object.to_owned());
        let (external_id, id) = (external_id.to_owned(), id.map(str::to_owned));
        self.inner
            .write(move |writer| {
                writer.transaction(|transaction| {
                    let object = object_number(transaction, &destination, &object)?;
                    if let Some(id) = id {
                        transaction.prepare_cached(LEARN)?.execute((object, external_id, id))?;
                    } else {
                        transaction
                            .prepare_cached("DELETE FROM known_id WHERE object = ?1 AND external_id = ?2")?
                            .execute((object, external_id))?;
                    }
                    Ok(())
                })
            })
            .await
    }

    async fn share_budget(&self, key: &str, ttl: Duration) -> Result<Share, StateError> {
        let (budget, holder) = (key.to_owned(), self.inner.holder.lock.clone());
        let now = self.inner.clock.now().timestamp_millis();
        let until = now.saturating_add(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX));
        let users: u32 = self
            .inner
            .write(move |writer| {
                writer.transaction(|transaction| {
                    transaction
                        .prepare_cached("DELETE FROM budget_user WHERE budget = ?1 AND expires_at <= ?2")?
                        .execute((&budget, now))?;
                    transaction
                        .prepare_cached(
                            "INSERT OR REPLACE INTO budget_user (budget, holder, expires_at) VALUES (?1, ?2, ?3)",
                        )?
                        .execute((&budget, &holder, until))?;
                    let users = transaction
                        .prepare_cached("SELECT count(*) FROM budget_user WHERE budget = ?1")?
                        .query_row([&budget], |row| row.get(0))?;
                    Ok(users)
                })
            })
            .await?;
        let mut shares = self.inner.shares.lock().unwrap_or_else(PoisonError::into_inner);
        let before = shares.insert(key.to_owned(), users);
        Ok(Share { users, changed: before.is_some_and(|before| before != users) })
    }

    async fn remember_columns(&self, query: Hash128, columns: &[Column]) -> Result<(), StateError> {
        let text = write_columns(columns);
        self.inner
            .write(move |writer| {
                writer.transaction(|transaction| {
                    transaction
                        .prepare_cached("INSERT OR REPLACE INTO described (query, columns) VALUES (?1, ?2)")?
                        .execute((query.to_bytes(), text))?;
                    Ok(())
                })
            })
            .await
    }

    async fn columns(&self, query: Hash128) -> Result<Option<Vec<Column>>, StateError> {
        self.inner
            .read(move |transaction| {
                let text: Option<String> = transaction
                    .prepare_cached("SELECT columns FROM described WHERE query = ?1")?
                    .query_row([query.to_bytes()], |row| row.get(0))
                    .optional()?;
                Ok(text.and_then(|text| read_columns(&text)))
            })
            .await
    }

    async fn use_plan(&self, plan: &str) -> Result<bool, StateError> {
        let plan = plan.to_owned();
        self.inner
            .write(move |writer| {
                writer.transaction(|transaction| {
                    let used = transaction
                        .prepare_cached("INSERT INTO used_plan (plan) VALUES (?1) ON CONFLICT DO NOTHING")?
                        .execute([plan])?;
                    Ok(used == 1)
                })
            })
            .await
    }

    async fn history(
        &self,
        sync: SyncId,
        run: &RunId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<HistoryEntry>, StateError> {
        let run = run.clone();
        self.inner.read(move |transaction| entry::history(transaction, sync, &run, after, limit)).await
    }

    async fn remove_runs_before(&self, cutoff: DateTime<Utc>) -> Result<u64, StateError> {
        let (holder, now) = (Arc::clone(&self.inner.holder), self.inner.clock.now());
        let old = self.inner.read(move |transaction| run::older(transaction, &holder, now, cutoff)).await?;
        self.inner
            .write(move |writer| {
                if old.is_empty() {
                    return Ok(0);
                }
                for run in &old {
                    remove_run_folder(&writer.directory, &run.id)?;
                }
                writer.known.runs.clear();
                writer.transaction(|transaction| run::remove(transaction, &old))?;
                Ok(u64::try_from(old.len()).unwrap_or(u64::MAX))
            })
            .await
    }
}

fn remove_run_folder(directory: &Path, run: &RunId) -> Result<(), StateError> {
    let folder = directory.join("runs").join(run_folder(run)?);
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(storage(&folder, &error)),
        Ok(()) | Err(_) => Ok(()),
    }
}
