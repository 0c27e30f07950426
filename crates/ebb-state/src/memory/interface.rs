//! [`Store`] for [`MemoryStore`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use ebb_row::{Column, Hash128, RowKey};

use crate::memory::{MemoryIndex, MemoryStore, Shared, StoredLease, SyncRows, begun};
use crate::store::{
    Acquire, CallEntry, ClosedRun, Document, Entry, EntryId, Expect, HistoryEntry, IndexEntry, Intent, Lease,
    LeaseTerm, NewRun, PriorIndex, Rejection, RejectionKind, RunFilter, RunId, RunRecord, Settlement, Share,
    StateError, Store, SyncId, SyncIdentity, SyncState,
};

impl Shared {
    fn is_held(&self, lease: &Lease) -> bool {
        self.leases.get(&lease.scope).is_some_and(|held| held.is_held && held.epoch == lease.epoch)
    }

    fn fence(&self, lease: &Lease) -> Result<(), StateError> {
        if self.is_held(lease) { Ok(()) } else { Err(StateError::LeaseLost { scope: lease.scope.clone() }) }
    }

    fn log(&mut self, calls: Vec<CallEntry>) {
        for call in calls {
            self.calls.entry(call.run).or_default().push(call.line);
        }
    }

    /// Returns the runs that a filter takes, newest first, as they are now.
    fn list(&self, now: DateTime<Utc>, takes: impl Fn(&NewRun) -> bool) -> Vec<RunRecord> {
        let mut found: Vec<RunRecord> = Vec::new();
        for stored in self.runs.iter().rev().filter(|stored| takes(&stored.record.run)) {
            let mut record = stored.record.clone();
            let is_alive = self.leases.get(&stored.scope).is_some_and(|held| {
                held.is_held && held.epoch == stored.epoch && held.expires_at > now && !self.dead.contains(&held.holder)
            });
            if record.status == "running" && !is_alive {
                "interrupted".clone_into(&mut record.status);
            }
            found.push(record);
        }
        found.sort_by_key(|record| std::cmp::Reverse(record.run.started_at));
        found
    }
}

fn close(sync: &mut SyncRows, run: Option<&RunId>, intents: &[u64]) {
    sync.journal.retain(|intent| !(run.is_none_or(|run| intent.run == *run) && intents.contains(&intent.id)));
}

fn until(now: DateTime<Utc>, ttl: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(ttl).ok().and_then(|ttl| now.checked_add_signed(ttl)).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

fn most(limit: u32) -> usize {
    if limit == 0 { usize::MAX } else { usize::try_from(limit).unwrap_or(usize::MAX) }
}

#[async_trait]
impl Store for MemoryStore {
    async fn installation(&self) -> Result<String, StateError> {
        drop(self.read()?);
        Ok("00000000-0000-4000-8000-000000000001".to_owned())
    }

    async fn secret_key(&self, name: &str) -> Result<[u8; 32], StateError> {
        let mut shared = self.write()?;
        let fresh = Hash128::of(name.as_bytes()).to_bytes();
        let mut key = [0; 32];
        for (place, byte) in key.iter_mut().zip(fresh.into_iter().cycle()) {
            *place = byte;
        }
        Ok(*shared.secrets.entry(name.to_owned()).or_insert(key))
    }

    async fn acquire(&self, scope: &str, term: LeaseTerm) -> Result<Acquire, StateError> {
        let mut shared = self.write()?;
        let now = self.clock.now();
        let before = shared.leases.get(scope).cloned();
        let mut after_expiry = false;
        if let Some(held) = before.as_ref().filter(|held| held.is_held && !shared.dead.contains(&held.holder)) {
            if let Some(expires_in) = (held.expires_at - now).to_std().ok().filter(|left| !left.is_zero()) {
                return Ok(Acquire::Busy { holder: format!("process {}", held.holder), expires_in });
            }
            after_expiry = true;
        }
        let epoch = before.map_or(0, |held| held.epoch) + 1;
        let held = StoredLease { epoch, is_held: true, holder: self.holder, expires_at: until(now, term.ttl) };
        shared.leases.insert(scope.to_owned(), held);
        let lease = Lease { scope: scope.to_owned(), epoch, holder: format!("process {}", self.holder) };
        Ok(Acquire::Held { lease, after_expiry })
    }

    async fn renew(&self, lease: &Lease, term: LeaseTerm) -> Result<(), StateError> {
        let now = self.clock.now();
        let mut shared = self.write()?;
        shared.fence(lease)?;
        if let Some(held) = shared.leases.get_mut(&lease.scope) {
            held.expires_at = held.expires_at.max(until(now, term.ttl));
        }
        Ok(())
    }

    async fn release(&self, lease: &Lease) -> Result<(), StateError> {
        let mut shared = self.write()?;
        if shared.is_held(lease)
            && let Some(held) = shared.leases.get_mut(&lease.scope)
        {
            held.is_held = false;
        }
        Ok(())
    }

    async fn sync(&self, identity: &SyncIdentity) -> Result<SyncState, StateError> {
        let mut shared = self.write()?;
        if let Some(found) = shared.find(&identity.name) {
            return Ok(found.state.clone());
        }
        let id = SyncId(shared.syncs.keys().next_back().map_or(1, |last| last.0 + 1));
        let rows = SyncRows::new(id, identity);
        let state = rows.state.clone();
        shared.syncs.insert(id, rows);
        Ok(state)
    }

    async fn find_sync(&self, name: &str) -> Result<Option<SyncState>, StateError> {
        Ok(self.read()?.find(name).map(|found| found.state.clone()))
    }

    async fn reset(&self, lease: &Lease, identity: &SyncIdentity) -> Result<SyncState, StateError> {
        self.sync(identity).await?;
        let mut shared = self.write()?;
        shared.fence(lease)?;
        let Some(found) = shared.find(&identity.name) else {
            return Err(StateError::Storage("a sync was not kept".to_owned()));
        };
        let mut fresh = SyncRows::new(found.state.id, identity);
        fresh.state.generation = found.state.generation + 1;
        fresh.state.counter = found.state.counter + 1;
        *found = fresh;
        Ok(found.state.clone())
    }

    async fn index(&self, sync: SyncId) -> Result<Box<dyn PriorIndex>, StateError> {
        let mut shared = self.read()?;
        let entries = shared.sync(sync)?.entries.iter().map(|(key, stored)| IndexEntry {
            key: *key,
            seen: stored.entry.seen,
            id: stored.entry.id,
            live: stored.entry.live,
        });
        Ok(Box::new(MemoryIndex { entries: entries.collect(), at: 0 }))
    }

    async fn entries(&self, sync: SyncId, ids: &[EntryId]) -> Result<Vec<Option<Entry>>, StateError> {
        let mut shared = self.read()?;
        let by_id: std::collections::BTreeMap<EntryId, &Entry> =
            shared.sync(sync)?.entries.values().map(|stored| (stored.entry.id, &stored.entry)).collect();
        Ok(ids.iter().map(|id| by_id.get(id).map(|entry| (*entry).clone())).collect())
    }

    async fn rejections_of(&self, sync: SyncId, keys: &[Hash128]) -> Result<Vec<Option<Rejection>>, StateError> {
        let mut shared = self.read()?;
        let rejections = &shared.sync(sync)?.rejections;
        Ok(keys.iter().map(|key| rejections.iter().find(|kept| kept.key.hash() == *key).cloned()).collect())
    }

    async fn rejections(&self, sync: SyncId, limit: u32) -> Result<Vec<Rejection>, StateError> {
        let mut shared = self.read()?;
        Ok(shared.sync(sync)?.rejections.iter().take(most(limit)).cloned().collect())
    }

    async fn retry_rejections(&self, sync: SyncId, key: Option<&RowKey>) -> Result<u64, StateError> {
        let mut shared = self.write()?;
        let rows = shared.sync(sync)?;
        let mut count = 0;
        for rejection in rows.rejections.iter_mut().filter(|kept| key.is_none_or(|key| kept.key == *key)) {
            rejection.tries = 0;
            if rejection.kind == RejectionKind::Unknown {
                rejection.kind = RejectionKind::Destination;
            }
            count += 1;
        }
        rows.state.counter += u64::from(count > 0);
        Ok(count)
    }

    async fn begin_run(&self, lease: &Lease, run: &NewRun) -> Result<(), StateError> {
        let mut shared = self.write()?;
        shared.fence(lease)?;
        if shared.runs.iter().any(|stored| stored.record.run.id == run.id) {
            return Err(StateError::Storage(format!("run {} was begun before", run.id)));
        }
        for stored in &mut shared.runs {
            let is_earlier = stored.record.run.sync == run.sync && stored.scope == lease.scope;
            if is_earlier && stored.record.status == "running" && stored.epoch < lease.epoch {
                "interrupted".clone_into(&mut stored.record.status);
            }
        }
        shared.runs.push(begun(run, &lease.scope, lease.epoch));
        Ok(())
    }

    async fn end_run(&self, lease: &Lease, sync: SyncId, run: &RunId, end: &ClosedRun) -> Result<(), StateError> {
        let mut shared = self.write()?;
        shared.fence(lease)?;
        let Some(stored) = shared.runs.iter_mut().find(|stored| stored.record.run.id == *run) else {
            return Err(StateError::Storage(format!("run {run} was never begun")));
        };
        stored.record.status.clone_from(&end.status);
        stored.record.finished_at = Some(end.finished_at);
        stored.record.summary.clone_from(&end.summary);
        let rows = shared.sync(sync)?;
        rows.state.cursor = end.cursor.clone().or(rows.state.cursor.take());
        rows.state.mapping = end.mapping.or(rows.state.mapping);
        if end.read_everything {
            rows.rejections.retain(|kept| kept.last_run == *run || kept.kind == RejectionKind::Unknown);
        }
        Ok(())
    }

    async fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRecord>, StateError> {
        let shared = self.read()?;
        let mut found = shared.list(self.clock.now(), |run| filter.sync.as_ref().is_none_or(|sync| run.sync == *sync));
        found.truncate(most(filter.limit));
        Ok(found)
    }

    async fn latest_runs(&self, of: Option<&str>) -> Result<Vec<RunRecord>, StateError> {
        let mut newest = BTreeMap::new();
        let is_asked = |run: &NewRun| !run.in_part && of.is_none_or(|of| run.sync == of);
        for record in self.read()?.list(self.clock.now(), is_asked) {
            newest.entry(record.run.sync.clone()).or_insert(record);
        }
        Ok(newest.into_values().collect())
    }

    async fn find_runs(&self, prefix: &str) -> Result<Vec<RunRecord>, StateError> {
        Ok(self.read()?.list(self.clock.now(), |run| run.id.0.starts_with(prefix)))
    }

    async fn intend(&self, sync: SyncId, intents: &[Intent], _durable: bool) -> Result<(), StateError> {
        self.write()?.sync(sync)?.journal.extend_from_slice(intents);
        Ok(())
    }

    async fn open_intents(&self, sync: SyncId) -> Result<Vec<Intent>, StateError> {
        Ok(self.read()?.sync(sync)?.journal.clone())
    }

    async fn clear_journal(&self, sync: SyncId) -> Result<(), StateError> {
        self.write()?.sync(sync)?.journal.clear();
        Ok(())
    }

    async fn settle(&self, lease: &Lease, sync: SyncId, run: &RunId, settlement: Settlement) -> Result<(), StateError> {
        let now = self.clock.now();
        let mut shared = self.write()?;
        // The calls were made: their lines are kept even where the lease is lost.
        let Settlement { calls, rows, intents, ids } = settlement;
        shared.log(calls);
        shared.fence(lease)?;
        shared.settle(sync, run, &Settlement { rows, ids, ..Settlement::default() }, now)?;
        close(shared.sync(sync)?, Some(run), &intents);
        Ok(())
    }

    async fn log_calls(&self, sync: SyncId, calls: Vec<CallEntry>, intents: Vec<u64>) -> Result<(), StateError> {
        let mut shared = self.write()?;
        let runs: Vec<RunId> = calls.iter().map(|call| call.run.clone()).collect();
        shared.log(calls);
        let rows = shared.sync(sync)?;
        if runs.is_empty() {
            close(rows, None, &intents);
        }
        for run in &runs {
            close(rows, Some(run), &intents);
        }
        Ok(())
    }

    async fn keep_plan(&self, run: &RunId, file: &Path) -> Result<(), StateError> {
        self.write()?.kept_plans.insert(run.clone(), file.to_owned());
        Ok(())
    }

    async fn kept_plan(&self, run: &RunId) -> Result<Option<PathBuf>, StateError> {
        Ok(self.read()?.kept_plans.get(run).cloned())
    }

    async fn documents(&self, kind: &str, after: &str, limit: u32) -> Result<Vec<Document>, StateError> {
        let shared = self.read()?;
        let of_kind = shared.documents.iter().filter(|((of, key), _)| of == kind && key.as_str() > after);
        Ok(of_kind.map(|(_, document)| document.clone()).take(most(limit)).collect())
    }

    async fn put_document(&self, kind: &str, key: &str, expect: Expect, body: &str) -> Result<Option<u64>, StateError> {
        let mut shared = self.write()?;
        let place = (kind.to_owned(), key.to_owned());
        if !expect.holds(shared.documents.get(&place).map(|document| document.version)) {
            return Ok(None);
        }
        shared.versions += 1;
        let version = shared.versions;
        shared.documents.insert(place, Document { key: key.to_owned(), version, body: body.to_owned() });
        Ok(Some(version))
    }

    async fn remove_document(&self, kind: &str, key: &str, expect: Expect) -> Result<bool, StateError> {
        let mut shared = self.write()?;
        let place = (kind.to_owned(), key.to_owned());
        if !expect.holds(shared.documents.get(&place).map(|document| document.version)) {
            return Ok(false);
        }
        Ok(shared.documents.remove(&place).is_some())
    }

    async fn mark_dirty(&self, sync: SyncId, keys: &[RowKey]) -> Result<(), StateError> {
        let mut shared = self.write()?;
        shared.sync(sync)?.dirty.extend(keys.iter().map(|key| (key.hash(), key.clone())));
        Ok(())
    }

    async fn apply_dirty(&self, lease: &Lease, sync: SyncId) -> Result<Vec<RowKey>, StateError> {
        let mut shared = self.write()?;
        shared.fence(lease)?;
        let rows = shared.sync(sync)?;
        let dirty = std::mem::take(&mut rows.dirty);
        let mut is_changed = false;
        for hash in dirty.keys() {
            is_changed |= rows.renumber(*hash, |entry| (entry.seen, entry.digest) = Default::default());
        }
        rows.state.counter += u64::from(is_changed);
        let mut keys: Vec<RowKey> = dirty.into_values().collect();
        keys.sort_unstable();
        Ok(keys)
    }

    async fn known_ids(
        &self,
        destination: &str,
        object: &str,
        external_ids: &[Arc<str>],
    ) -> Result<Vec<Option<String>>, StateError> {
        let shared = self.read()?;
        let known = shared.ids.get(&(destination.to_owned(), object.to_owned()));
        Ok(external_ids.iter().map(|id| known.and_then(|known| known.get(id).cloned())).collect())
    }

    async fn learn_id(
        &self,
        destination: &str,
        object: &str,
        external_id: &str,
        id: Option<&str>,
    ) -> Result<(), StateError> {
        let mut shared = self.write()?;
        let known = shared.ids.entry((destination.to_owned(), object.to_owned())).or_default();
        match id {
            Some(id) => drop(known.insert(external_id.into(), id.to_owned())),
            None => drop(known.remove(external_id)),
        }
        Ok(())
    }

    async fn share_budget(&self, key: &str, ttl: Duration) -> Result<Share, StateError> {
        let now = self.clock.now();
        let mut shared = self.write()?;
        let budget = shared.budgets.entry(key.to_owned()).or_default();
        budget.retain(|_, expires_at| *expires_at > now);
        budget.insert(self.holder, until(now, ttl));
        let users = u32::try_from(budget.len()).unwrap_or(u32::MAX);
        drop(shared);
        let before = self.users.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), users);
        Ok(Share { users, changed: before.is_some_and(|before| before != users) })
    }

    async fn remember_columns(&self, query: Hash128, columns: &[Column]) -> Result<(), StateError> {
        self.write()?.columns.insert(query, columns.to_vec());
        Ok(())
    }

    async fn columns(&self, query: Hash128) -> Result<Option<Vec<Column>>, StateError> {
        Ok(self.read()?.columns.get(&query).cloned())
    }

    async fn use_plan(&self, plan: &str) -> Result<bool, StateError> {
        Ok(self.write()?.plans.insert(plan.to_owned()))
    }

    async fn history(
        &self,
        sync: SyncId,
        run: &RunId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<HistoryEntry>, StateError> {
        let mut shared = self.read()?;
        let rows = shared.sync(sync)?;
        let replaced = rows.history.iter().filter(|replaced| replaced.by != *run).map(|replaced| &replaced.before);
        let mut made: Vec<_> =
            rows.entries.values().chain(replaced).filter(|made| made.run == *run && made.entry.id.0 > after).collect();
        made.sort_by_key(|made| made.entry.id);
        let page = made.into_iter().take(most(limit)).map(|made| {
            let mut before = None;
            let mut next = made.replaces;
            while let Some(id) = next {
                let step = rows.history.iter().map(|replaced| &replaced.before).find(|step| step.entry.id == id);
                before = step.filter(|step| step.run != *run).map(|step| step.entry.clone());
                next = step.filter(|step| step.run == *run).and_then(|step| step.replaces);
            }
            HistoryEntry { entry: made.entry.id, before, key: made.entry.key.clone(), created: made.created }
        });
        Ok(page.collect())
    }

    async fn remove_runs_before(&self, cutoff: DateTime<Utc>) -> Result<u64, StateError> {
        let mut shared = self.write()?;
        let old: Vec<RunId> = shared
            .list(self.clock.now(), |_| true)
            .into_iter()
            .filter(|record| record.status != "running")
            .filter(|record| record.finished_at.unwrap_or(record.run.started_at) < cutoff)
            .map(|record| record.run.id)
            .collect();
        shared.runs.retain(|stored| !old.contains(&stored.record.run.id));
        shared.calls.retain(|run, _| !old.contains(run));
        shared.kept_plans.retain(|run, _| !old.contains(run));
        for rows in shared.syncs.values_mut() {
            rows.history.retain(|replaced| !old.contains(&replaced.by));
        }
        Ok(u64::try_from(old.len()).unwrap_or(u64::MAX))
    }
}
