//! What a settlement does to the rows in memory.

use chrono::{DateTime, Utc};
use ebb_row::{Hash128, RowKey};

use crate::memory::{Replaced, Shared, StoredEntry, SyncRows};
use crate::store::{Entry, EntryChange, Rejection, RejectionKind, RunId, Settlement, StateError, SyncId};

impl Shared {
    /// Applies a settlement as a whole.
    pub(super) fn settle(
        &mut self,
        sync: SyncId,
        run: &RunId,
        settlement: &Settlement,
        now: DateTime<Utc>,
    ) -> Result<(), StateError> {
        let begun = self.runs.iter_mut().find(|stored| stored.record.run.id == *run);
        let begun = begun.ok_or_else(|| StateError::Storage(format!("run {run} was never begun")))?;
        let rows = self.syncs.get_mut(&sync);
        let rows = rows.ok_or_else(|| StateError::Storage(format!("there is no sync {}", sync.0)))?;
        let mut is_changed = false;
        for row in &settlement.rows {
            let hash = row.key.hash();
            rows.state.live -= u64::from(rows.is_live(hash));
            is_changed |= rows.change(&row.key, &row.change, run, now);
            rows.state.live += u64::from(rows.is_live(hash));
        }
        if is_changed && !begun.is_changed {
            begun.is_changed = true;
            rows.state.counter += 1;
        }
        let destination = rows.state.identity.destination.clone();
        for (object, external_id, id) in &settlement.ids {
            let known = self.ids.entry((destination.clone(), object.clone())).or_default();
            known.insert(external_id.as_str().into(), id.clone());
        }
        Ok(())
    }
}

impl SyncRows {
    /// Applies one change; returns whether a plan made before would now differ.
    fn change(&mut self, key: &RowKey, change: &EntryChange, run: &RunId, now: DateTime<Utc>) -> bool {
        let hash = key.hash();
        match change {
            EntryChange::Accept { replaces, seen, digest, record, destination_id, created, adopted, revision } => {
                let before = replaces.and_then(|_| self.entries.get(&hash).cloned());
                let entry = Entry {
                    id: self.next_entry(),
                    key: key.clone(),
                    seen: *seen,
                    digest: *digest,
                    record: record.clone(),
                    destination_id: destination_id.clone(),
                    revision: *revision,
                    live: true,
                    adopted: *adopted,
                };
                let replaces = before.as_ref().map(|before| before.entry.id);
                let stored = StoredEntry { entry, run: run.clone(), created: *created, replaces };
                self.history.extend(before.map(|before| Replaced { before, by: run.clone() }));
                self.entries.insert(hash, stored);
                self.state.has_history = true;
                self.forget_rejection(key, false);
                true
            }
            EntryChange::Refresh { seen, .. } => {
                self.renumber(hash, |entry| {
                    entry.seen = *seen;
                    entry.live = true;
                });
                self.forget_rejection(key, false);
                true
            }
            EntryChange::Gone { .. } => {
                self.renumber(hash, |entry| entry.live = false);
                self.forget_rejection(key, true);
                true
            }
            EntryChange::Uncertain { replaces: Some(_) } => {
                self.renumber(hash, |entry| (entry.seen, entry.digest) = Default::default());
                true
            }
            EntryChange::Reject { kind, seen, reason } => self.reject(Rejection {
                key: key.clone(),
                kind: *kind,
                seen: *seen,
                reason: reason.clone(),
                tries: 1,
                first_run: run.clone(),
                last_run: run.clone(),
                time: now,
            }),
            EntryChange::Uncertain { replaces: None } | EntryChange::Keep => false,
        }
    }

    /// Gives a key's entry a new id and other marks.
    pub(super) fn renumber(&mut self, hash: Hash128, mark: impl FnOnce(&mut Entry)) -> bool {
        if !self.entries.contains_key(&hash) {
            return false;
        }
        let id = self.next_entry();
        if let Some(stored) = self.entries.get_mut(&hash) {
            stored.entry.id = id;
            mark(&mut stored.entry);
        }
        true
    }

    fn forget_rejection(&mut self, key: &RowKey, keep_unknown: bool) {
        self.rejections
            .retain(|rejection| rejection.key != *key || (keep_unknown && rejection.kind == RejectionKind::Unknown));
    }

    fn reject(&mut self, mut refused: Rejection) -> bool {
        let Some(known) = self.rejections.iter_mut().find(|known| known.key == refused.key) else {
            self.rejections.push(refused);
            return true;
        };
        let is_new = known.seen != refused.seen || known.kind != refused.kind;
        if known.seen == refused.seen {
            let is_next_run = known.last_run != refused.last_run;
            refused.tries = if is_next_run { known.tries + 1 } else { known.tries.max(1) };
            refused.first_run = known.first_run.clone();
        }
        *known = refused;
        is_new
    }
}
