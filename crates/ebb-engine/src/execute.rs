//! Executes a plan: rows in order, writes in slots, each settled before its slot is free.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use ebb_destination::WriteRecord;
use ebb_plan::merge_records;
use ebb_row::{Fate, Hash128, Lookup, Object, Outcome, Record, RowKey, Value, parse_json, write_json};
use ebb_state::{EntryChange, PlanKind, PlanReader, PlanRow, RejectionKind, RowSettlement, Settlement, StateError};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::Instrument as _;

use crate::error::EngineError;
use crate::look_up::{Resolved, references, substitute_object};
use crate::mapper::original_reason;
use crate::report::{Phase, Progress, RunCounts, Snapshot};
use crate::request::ReadySync;
use crate::write::{Caller, Driven, Halt, Made};

/// Operations that are resolved together before they are sent.
const CHUNK: usize = 256;
/// Rows without a call that are settled together.
const QUIET_CHUNK: usize = 500;
/// Answers in a row that reject, without an acceptance between them, that stop a run (and quarantine nobody).
const SYSTEMIC: usize = 20;
/// Rejections held back at most: past it they differ too much to be one fault.
const MOST_HELD: usize = 10_000;
/// How often a machine that asks for another try is driven anew.
const MOST_RETRIES: u32 = 3;

/// A run's executing half: what its tasks share.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) sync: ReadySync,
    pub(crate) caller: Caller,
    pub(crate) namespace: uuid::Uuid,
    pub(crate) generation: u32,
    pub(crate) counts: Mutex<RunCounts>,
    pub(crate) changed: std::sync::atomic::AtomicBool,
    pub(crate) suspects: Mutex<Suspects>,
    pub(crate) operations: u64,
    pub(crate) forgotten: Mutex<BTreeSet<Lookup>>,
    /// Hashes of the match values that were sent in this run and are not the row's key.
    pub(crate) matched: Mutex<BTreeSet<Hash128>>,
}

/// Rejections that may yet turn out to be one fault of the whole run.
#[derive(Debug, Default)]
pub(crate) struct Suspects {
    held: Vec<RowSettlement>,
    reasons: BTreeMap<String, usize>,
    in_a_row: usize,
}

/// An operation ready to write.
struct Operation {
    row: PlanRow,
    record: Arc<Record>,
    has_references: bool,
    /// What was accepted before, with ids in place of references as far as they are known.
    previous: Option<Arc<Object>>,
}

/// A group that is to be written in two parts.
struct Halves {
    left: Vec<Operation>,
    right: Vec<Operation>,
    /// Whether a request for the whole may have been applied.
    touched: bool,
}

impl Run {
    fn counts(&self) -> std::sync::MutexGuard<'_, RunCounts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn suspects(&self) -> std::sync::MutexGuard<'_, Suspects> {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Executes the plan to its end, or until the run halts: what is not reached is pending.
    pub(crate) async fn execute(
        self: &Arc<Self>,
        plan: &mut PlanReader,
        progress: &dyn Progress,
    ) -> Result<(), EngineError> {
        let slots = Arc::new(Semaphore::new(self.sync.concurrency.max(1)));
        let mut tasks = JoinSet::new();
        let mut quiet = Vec::new();
        let mut chunk = Vec::new();
        let mut resolved = Resolved::default();
        let mut broken = None;
        loop {
            let row = match plan.next_row() {
                Ok(Some(row)) => row,
                Ok(None) => break,
                Err(error) => {
                    // What flies is settled all the same.
                    self.caller.halt(Halt::State(error.to_string()));
                    broken = Some(error);
                    break;
                }
            };
            if let PlanKind::Operation(_) = row.kind {
                chunk.push(row);
                if chunk.len() >= CHUNK {
                    self.dispatch(&mut chunk, &mut resolved, &slots, &mut tasks).await;
                    self.report(progress, None);
                }
            } else {
                self.keep_quiet(row, &mut quiet);
                if quiet.len() >= QUIET_CHUNK {
                    self.settle_quiet(&mut quiet).await;
                }
            }
            while let Some(done) = tasks.try_join_next() {
                resume_panic(done);
            }
        }
        self.dispatch(&mut chunk, &mut resolved, &slots, &mut tasks).await;
        self.settle_quiet(&mut quiet).await;
        let mut ticks = tokio::time::interval(std::time::Duration::from_millis(200));
        loop {
            tokio::select! {
                biased;
                done = tasks.join_next() => match done {
                    None => break,
                    Some(done) => resume_panic(done),
                },
                _ = ticks.tick() => self.report(progress, None),
            }
        }
        self.release_suspects().await;
        self.report(progress, Some(Phase::Finished));
        broken.map_or(Ok(()), |error| Err(error.into()))
    }

    fn report(&self, progress: &dyn Progress, phase: Option<Phase>) {
        let counts = *self.counts();
        let note = self.caller.note.lock().unwrap_or_else(PoisonError::into_inner).take();
        progress.update(&Snapshot {
            phase: phase.unwrap_or(Phase::Sending),
            read: counts.read,
            operations: self.operations,
            settled: counts.accepted + counts.rejected + counts.skipped,
            calls: self.caller.calls.load(Ordering::Relaxed),
            note,
        });
    }

    /// Notes the fate of a row that needs no call.
    fn keep_quiet(&self, row: PlanRow, quiet: &mut Vec<RowSettlement>) {
        let (fate, change) = match row.kind {
            // The plan counts refreshed rows as unchanged, and unknown ones as unknown: they are there already.
            PlanKind::Refresh => (None, row.entry.map(|replaces| EntryChange::Refresh { replaces, seen: row.seen })),
            PlanKind::Adopt => {
                self.counts().adopted += 1;
                let record = row.record.unwrap_or_else(|| "{}".into());
                let change = EntryChange::Accept {
                    replaces: row.entry,
                    seen: row.seen,
                    digest: row.digest,
                    record,
                    destination_id: row.destination_id,
                    created: ebb_row::Created::No,
                    adopted: true,
                    revision: row.revision,
                };
                (Some(Fate::Unchanged), Some(change))
            }
            PlanKind::Gone => {
                self.counts().removed += 1;
                (None, row.entry.map(|replaces| EntryChange::Gone { replaces }))
            }
            PlanKind::Reject => {
                let kind = match row.rejected_by.as_deref() {
                    Some("destination") => RejectionKind::Destination,
                    Some("key") => RejectionKind::Key,
                    _ => RejectionKind::Mapping,
                };
                let reason = row.reason.unwrap_or_default();
                let reason = original_reason(&reason).to_owned();
                (Some(Fate::Rejected), Some(EntryChange::Reject { kind, seen: row.seen, reason }))
            }
            PlanKind::Unknown | PlanKind::Operation(_) => (None, None),
        };
        if let Some(fate) = fate {
            self.counts().add(fate, 1);
        }
        if let Some(change) = change {
            quiet.push(RowSettlement { key: row.key, change });
        }
    }

    async fn settle_quiet(&self, quiet: &mut Vec<RowSettlement>) {
        let rows = std::mem::take(quiet);
        if rows.is_empty() || self.caller.halted().is_some_and(|halt| halt == Halt::LeaseLost) {
            return;
        }
        if let Err(error) = self.settle(Settlement { rows, ..Settlement::default() }).await {
            self.state_failed(&error);
        }
    }

    async fn settle(&self, settlement: Settlement) -> Result<(), StateError> {
        if settlement.rows.iter().any(|row| row.change != EntryChange::Keep) {
            self.changed.store(true, Ordering::Relaxed);
        }
        let lease = self.caller.keeper.lease()?.clone();
        self.caller.store.settle(&lease, self.caller.sync, &self.caller.run, settlement).await
    }

    /// Resolves the references of some operations and hands them to slots.
    async fn dispatch(
        self: &Arc<Self>,
        chunk: &mut Vec<PlanRow>,
        resolved: &mut Resolved,
        slots: &Arc<Semaphore>,
        tasks: &mut JoinSet<()>,
    ) {
        let rows = std::mem::take(chunk);
        if rows.is_empty() {
            return;
        }
        if self.caller.halted().is_some() {
            self.counts().add(Fate::Pending, u64::try_from(rows.len()).unwrap_or(0));
            return;
        }
        let mut operations = Vec::with_capacity(rows.len());
        let mut wanted: BTreeMap<Lookup, Vec<RowKey>> = BTreeMap::new();
        for row in rows {
            let record = read_object(row.record.as_deref());
            let mut found = BTreeSet::new();
            record.values().for_each(|field| references(field, &mut found));
            let has_references = !found.is_empty();
            for lookup in found {
                wanted.entry(lookup).or_default().push(row.key.clone());
            }
            let previous = row.previous.as_deref().map(|json| Arc::new(read_object(Some(json))));
            operations.push(Operation { row, record: Arc::new(Record::new(record)), has_references, previous });
        }
        if !wanted.is_empty()
            && let Err(error) = self.resolve(&wanted, resolved).await
        {
            self.state_failed(&error);
        }
        let operations = self.substitute_all(operations, resolved).await;
        let size = self.sync.destination.batch_size(&self.sync.write).max(1);
        let mut rest = operations.into_iter().peekable();
        while rest.peek().is_some() {
            let group: Vec<Operation> = rest.by_ref().take(size).collect();
            let Ok(slot) = Arc::clone(slots).acquire_owned().await else { return };
            let run = Arc::clone(self);
            let writing = async move {
                run.write(group).await;
                drop(slot);
            };
            tasks.spawn(writing.in_current_span());
        }
    }

    /// Returns whether an earlier row of the run names the same record. Two of them would be sent at once, and which one
    /// stays would be chance. E-mails are compared without case.
    fn is_taken(&self, operation: &Operation) -> bool {
        let Some(field) = self.sync.write.match_field.as_deref() else { return false };
        let Some(value) = operation.record.fields.get(field).and_then(Value::canonical_text) else { return false };
        if *value == *operation.row.key.text() {
            return false;
        }
        let value = if field == "email" { value.to_lowercase().into() } else { value };
        let hash = Hash128::of(value.as_bytes());
        !self.matched.lock().unwrap_or_else(PoisonError::into_inner).insert(hash)
    }

    /// Puts ids in place of references; a row whose reference names nothing is rejected, one not reached is pending.
    async fn substitute_all(&self, operations: Vec<Operation>, resolved: &Resolved) -> Vec<Operation> {
        let mut ready = Vec::with_capacity(operations.len());
        let mut rejected = Vec::new();
        for operation in operations {
            if self.is_taken(&operation) {
                let field = self.sync.write.match_field.as_deref().unwrap_or_default();
                let reason = format!("another row of this run has the same `{field}`, so both are one record");
                let change = EntryChange::Reject { kind: RejectionKind::Mapping, seen: operation.row.seen, reason };
                rejected.push(RowSettlement { key: operation.row.key, change });
                self.counts().add(Fate::Rejected, 1);
                continue;
            }
            if !operation.has_references {
                ready.push(operation);
                continue;
            }
            match substitute_object(&operation.record.fields, &resolved.ids) {
                Ok(record) => {
                    // The accepted record's references are resolved as far as they are known.
                    let previous = operation
                        .previous
                        .map(|previous| substitute_object(&previous, &resolved.ids).map_or(previous, Arc::new));
                    let record = Arc::new(Record::new(record));
                    ready.push(Operation { record, previous, ..operation });
                }
                Err(lookup) if resolved.missing.contains(&lookup) => {
                    let reason =
                        format!("the destination has no {} with the id `{}`", lookup.object, lookup.external_id);
                    // Not the row's fault, so it is never quarantined: it is taken as soon as the other object is there.
                    let change = EntryChange::Reject { kind: RejectionKind::Mapping, seen: operation.row.seen, reason };
                    rejected.push(RowSettlement { key: operation.row.key, change });
                    self.counts().add(Fate::Rejected, 1);
                }
                Err(_) => self.counts().add(Fate::Pending, 1),
            }
        }
        self.settle_quiet(&mut rejected).await;
        ready
    }

    /// Writes a group: one request or a batch, split where the destination refuses it as a whole.
    async fn write(&self, group: Vec<Operation>) {
        let mut groups = vec![(group, false)];
        while let Some((group, touched)) = groups.pop() {
            if group.is_empty() {
                continue;
            }
            if let Some(halves) = self.write_once(group, touched).await {
                groups.push((halves.right, halves.touched));
                groups.push((halves.left, halves.touched));
            }
        }
    }

    /// Writes a group once; `touched` says whether an earlier request for it may have been applied.
    async fn write_once(&self, group: Vec<Operation>, touched: bool) -> Option<Halves> {
        let keys: Vec<RowKey> = group.iter().map(|operation| operation.row.key.clone()).collect();
        let mut made = Made { touched, ..Made::default() };
        let mut retries = 0;
        let outcomes = loop {
            let records = group.iter().map(|operation| self.write_record(operation)).collect();
            let mut steps = self.sync.destination.write(&self.sync.write, records);
            match self.caller.drive(steps.as_mut(), &keys, &mut made, &|outcomes| summarize(outcomes)).await {
                Driven::Done(outcomes) => {
                    let wait = outcomes.iter().find_map(|outcome| match outcome {
                        Outcome::Retry { after, .. } => Some(after.unwrap_or_default()),
                        Outcome::Accepted { .. }
                        | Outcome::Skipped { .. }
                        | Outcome::Rejected { .. }
                        | Outcome::Unknown { .. } => None,
                    });
                    match wait {
                        Some(wait) if group.len() == 1 && retries < MOST_RETRIES => {
                            retries += 1;
                            tokio::time::sleep(wait).await;
                        }
                        _ => break outcomes,
                    }
                }
                Driven::Split(_) if group.len() > 1 => {
                    let touched = made.touched;
                    let logged = self.caller.store.log_calls(self.caller.sync, made.calls, made.intents).await;
                    if let Err(error) = logged {
                        self.state_failed(&error);
                        self.counts().add(Fate::Pending, u64::try_from(group.len()).unwrap_or(0));
                        return None;
                    }
                    let mut left = group;
                    let right = left.split_off(left.len() / 2);
                    return Some(Halves { left, right, touched });
                }
                Driven::Split(reason) => break vec![Outcome::Rejected { reason }; group.len()],
                Driven::GaveUp { reason, applied: true } => break vec![Outcome::Unknown { reason }; group.len()],
                Driven::GaveUp { reason, applied: false } => {
                    break vec![Outcome::Retry { reason, after: None }; group.len()];
                }
                Driven::Unrepeatable(reason) => {
                    made.last_repeat = Some(ebb_destination::Repeat::Neither);
                    break vec![Outcome::Unknown { reason }; group.len()];
                }
                Driven::Halted { applied } => {
                    let reason = "the run ended".to_owned();
                    let outcome =
                        if applied { Outcome::Unknown { reason } } else { Outcome::Retry { reason, after: None } };
                    break vec![outcome; group.len()];
                }
            }
        };
        self.conclude(group, outcomes, made).await;
        None
    }

    /// The name that a record's message id is made of: the same on every retry.
    ///
    /// An event's key is sent once, so its id is that of the key, in every run and whatever became of its row meanwhile. An
    /// object's id is the run's and the record's: a record that was sent unheard in an earlier run, and is sent again after
    /// another one, must not be dropped as a repetition of the first.
    fn message_name(&self, row: &PlanRow) -> String {
        let (sync, generation, key) = (&self.sync.name, self.generation, row.key.text());
        if self.sync.write.match_field.is_none() {
            return format!("{sync}\0{generation}\0{key}\0{}", row.revision);
        }
        format!("{sync}\0{generation}\0{key}\0{}\0{}\0{}", row.digest, row.revision, self.caller.run)
    }

    fn write_record(&self, operation: &Operation) -> WriteRecord {
        let row = &operation.row;
        let name = self.message_name(row);
        WriteRecord {
            key: row.key.clone(),
            record: Arc::clone(&operation.record),
            previous: operation.previous.clone(),
            id: row.destination_id.clone(),
            message_id: uuid::Uuid::new_v5(&self.namespace, name.as_bytes()).to_string(),
            digest: row.digest,
        }
    }

    /// Settles a finished write, then counts its rows.
    async fn conclude(&self, group: Vec<Operation>, outcomes: Vec<Outcome>, made: Made) {
        let (sent, touched) = (made.sent, made.touched);
        let mut settlement = Settlement { calls: made.calls, intents: made.intents, ..Settlement::default() };
        let repeatable = made.last_repeat != Some(ebb_destination::Repeat::Neither);
        let mut fates = RunCounts::default();
        let mut accepted = 0;
        let mut suspicious = Vec::new();
        let mut keys = Vec::with_capacity(group.len());
        let mut outcomes = outcomes.into_iter();
        for operation in group {
            keys.push(operation.row.key.clone());
            let outcome =
                outcomes.next().unwrap_or(Outcome::Unknown { reason: "no outcome for this record".to_owned() });
            let (fate, change) = self.judge_row(&operation, outcome, repeatable, &mut settlement.ids);
            fates.add(fate, 1);
            accepted += usize::from(matches!(fate, Fate::Accepted | Fate::Skipped));
            if matches!(fate, Fate::Rejected | Fate::Skipped) && operation.has_references {
                self.forget_references(&operation.row).await;
            }
            if touched && fate != Fate::Accepted && operation.row.entry.is_some() {
                // Some part or try of it may be there, though it did not end as accepted.
                let change = EntryChange::Uncertain { replaces: operation.row.entry };
                settlement.rows.push(RowSettlement { key: operation.row.key.clone(), change });
            }
            let row = RowSettlement { key: operation.row.key, change };
            if fate == Fate::Rejected { suspicious.push(row) } else { settlement.rows.push(row) }
        }
        settlement.rows.extend(self.suspect(accepted, suspicious));
        match self.settle(settlement).await {
            Ok(()) => {
                let mut counts = self.counts();
                for (fate, rows) in [
                    (Fate::Accepted, fates.accepted),
                    (Fate::Rejected, fates.rejected),
                    (Fate::Skipped, fates.skipped),
                    (Fate::Pending, fates.pending),
                ] {
                    counts.add(fate, rows);
                }
            }
            Err(error) => {
                // What was sent is not confirmed: whoever comes next sends it again. What was not is as it was.
                let marked = if sent { self.caller.store.mark_dirty(self.caller.sync, &keys).await } else { Ok(()) };
                self.state_failed(&error);
                if let Err(error) = marked {
                    tracing::error!(%error, "late confirms could not be marked for sending again");
                }
                self.counts().add(Fate::Pending, u64::try_from(keys.len()).unwrap_or(0));
            }
        }
    }

    /// Forgets the remembered ids that a refused record referred to: one of them may be of an object that is gone. The next
    /// run asks for them again; each is forgotten once a run.
    async fn forget_references(&self, row: &PlanRow) {
        let mut found = BTreeSet::new();
        read_object(row.record.as_deref()).values().for_each(|field| references(field, &mut found));
        let destination = self.sync.destination.identity().to_string();
        for lookup in found {
            let is_first = self.forgotten.lock().unwrap_or_else(PoisonError::into_inner).insert(lookup.clone());
            if !is_first {
                continue;
            }
            let forgotten = self.caller.store.learn_id(&destination, &lookup.object, &lookup.external_id, None).await;
            if let Err(error) = forgotten {
                self.state_failed(&error);
            }
        }
    }

    fn judge_row(
        &self,
        operation: &Operation,
        outcome: Outcome,
        repeatable: bool,
        ids: &mut Vec<(String, String, String)>,
    ) -> (Fate, EntryChange) {
        let row = &operation.row;
        match outcome {
            Outcome::Accepted { id, created } => {
                if self.sync.remember_ids
                    && let Some(id) = &id
                    && let Some(external_id) = operation.record.fields.get("externalId").and_then(Value::as_text)
                {
                    ids.push((self.sync.write.object.clone(), external_id.to_owned(), id.clone()));
                }
                let change = EntryChange::Accept {
                    replaces: row.entry,
                    seen: row.seen,
                    digest: row.digest,
                    record: accepted_record(row),
                    destination_id: id.or_else(|| row.destination_id.clone()),
                    created,
                    adopted: false,
                    revision: row.revision,
                };
                (Fate::Accepted, change)
            }
            Outcome::Skipped { .. } => (Fate::Skipped, EntryChange::Keep),
            Outcome::Rejected { reason } => {
                (Fate::Rejected, EntryChange::Reject { kind: RejectionKind::Destination, seen: row.seen, reason })
            }
            Outcome::Retry { .. } => (Fate::Pending, EntryChange::Keep),
            Outcome::Unknown { .. } if repeatable => (Fate::Pending, EntryChange::Uncertain { replaces: row.entry }),
            Outcome::Unknown { reason } => {
                (Fate::Pending, EntryChange::Reject { kind: RejectionKind::Unknown, seen: row.seen, reason })
            }
        }
    }

    /// Holds rejections back until an acceptance shows that the run as a whole is sound; returns those to settle now.
    fn suspect(&self, accepted: usize, rejected: Vec<RowSettlement>) -> Vec<RowSettlement> {
        let mut suspects = self.suspects();
        if accepted > 0 {
            suspects.in_a_row = 0;
            suspects.reasons.clear();
            let mut released = std::mem::take(&mut suspects.held);
            released.extend(rejected);
            return released;
        }
        // Answers count, not rows: one refused batch is one answer.
        if let Some(EntryChange::Reject { reason, .. }) = rejected.first().map(|row| &row.change) {
            *suspects.reasons.entry(reason.clone()).or_default() += 1;
            suspects.in_a_row += 1;
        }
        suspects.held.extend(rejected);
        if suspects.held.len() > MOST_HELD {
            return std::mem::take(&mut suspects.held);
        }
        let most =
            suspects.reasons.iter().max_by_key(|(_, count)| **count).map(|(reason, count)| (reason.clone(), *count));
        if suspects.in_a_row >= SYSTEMIC
            && let Some((reason, count)) = most
            && count * 2 >= suspects.in_a_row
        {
            let text = format!(
                "{} answers in a row were rejections, most of them for one reason: {reason}",
                suspects.in_a_row
            );
            self.caller.halt(Halt::Systemic(text));
        }
        Vec::new()
    }

    /// Settles the rejections still held back, unless they turned out to be systemic.
    async fn release_suspects(&self) {
        let mut held = std::mem::take(&mut self.suspects().held);
        if !matches!(self.caller.halted(), Some(Halt::Systemic(_))) {
            self.settle_quiet(&mut held).await;
        }
    }
}

/// A panic of a write's task is the run's.
fn resume_panic(done: Result<(), tokio::task::JoinError>) {
    if let Err(error) = done
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}

fn read_object(json: Option<&str>) -> Object {
    json.and_then(|json| parse_json(json, true).ok())
        .and_then(|value| if let Value::Object(object) = value { Some(object) } else { None })
        .unwrap_or_default()
}

/// What the destination holds after it took the record: merged into what it accepted before, references symbolic.
fn accepted_record(row: &PlanRow) -> Arc<str> {
    let record = row.record.clone().unwrap_or_else(|| "{}".into());
    let Some(previous) = row.previous.as_deref() else { return record };
    let merged = merge_records(&read_object(Some(previous)), &read_object(Some(&record)));
    let mut json = Vec::with_capacity(record.len());
    match write_json(&Value::Object(merged), &mut json) {
        Ok(()) => String::from_utf8(json).map_or(record, Into::into),
        Err(_) => record,
    }
}

/// The outcome of a write's last call, for its log line: that of all its records, or `mixed`.
fn summarize(outcomes: &[Outcome]) -> (&'static str, Option<String>) {
    let word = |outcome: &Outcome| match outcome {
        Outcome::Accepted { .. } => ("accepted", None),
        Outcome::Skipped { reason } => ("skipped", Some(reason.clone())),
        Outcome::Rejected { reason } => ("rejected", Some(reason.clone())),
        Outcome::Retry { reason, .. } => ("retry", Some(reason.clone())),
        Outcome::Unknown { reason } => ("unknown", Some(reason.clone())),
    };
    let Some(first) = outcomes.first() else { return ("answered", None) };
    let (first, reason) = word(first);
    if outcomes.iter().all(|outcome| word(outcome).0 == first) { (first, reason) } else { ("mixed", reason) }
}
