//! The second pass: candidates are mapped, compared with what was accepted, and become rows of the plan.

use std::sync::Arc;

use arrow_array::Array as _;
use arrow_schema::Schema;
use ebb_mapping::{Bound, RunContext as MappingContext};
use ebb_plan::{Accepted, Buckets, Decision, Entry as DiffEntry, decide};
use ebb_row::{Hash128, OperationKind, Record, Row, RowKey, RowReader, SyncMode, Value, parse_json, write_json};
use ebb_state::{
    Entry, EntryId, PlanCounts, PlanKind, PlanRow, PlanWriter, Rejection, RejectionKind, StateError, SyncState,
};

use crate::candidates::CandidateQueue;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::planning::{CHUNK, PlanFor, REPEATED};
use crate::request::{ReadySync, Scope};
use crate::staging::{StagedBatch, StagedRows};

/// The second pass: candidates to plan rows.
pub(crate) struct Mapper<'a> {
    engine: &'a Engine,
    sync: &'a ReadySync,
    scope: &'a Scope,
    state: &'a SyncState,
    adopt: bool,
    has_rejections: bool,
    reader: RowReader,
    keys: Vec<usize>,
    bound: Bound,
    context: MappingContext,
}

/// A candidate with its row.
struct Candidate {
    key: RowKey,
    entry: DiffEntry,
    row: Result<Row, String>,
}

impl<'a> Mapper<'a> {
    pub(crate) fn new(
        engine: &'a Engine,
        wanted: &PlanFor<'a>,
        state: &'a SyncState,
        adopt: bool,
        columns: &Schema,
    ) -> Result<Self, EngineError> {
        let sync = wanted.sync;
        let reader = RowReader::new(columns)
            .ok_or_else(|| EngineError::Storage("the working file of the plan has unknown types".to_owned()))?;
        let keys =
            sync.primary_key.iter().filter_map(|name| columns.column_with_name(name).map(|(at, _)| at)).collect();
        let bound = sync.mapping.bind(reader.names());
        let context = MappingContext { sync: sync.name.clone(), run_id: wanted.run.clone(), run_time: wanted.time };
        Ok(Self { engine, sync, scope: wanted.scope, state, adopt, has_rejections: true, reader, keys, bound, context })
    }

    pub(crate) async fn map_all(
        &mut self,
        mut staged: StagedRows,
        mut candidates: Buckets,
        writer: &mut PlanWriter,
        counts: &mut PlanCounts,
    ) -> Result<(), EngineError> {
        self.has_rejections = !self.engine.options.store.rejections(self.state.id, 1).await?.is_empty();
        let mut queue = CandidateQueue::default();
        let mut chunk = Vec::with_capacity(CHUNK);
        while let Some(batch) = staged.next()? {
            for (index, ordinal) in batch.ordinals.values().iter().enumerate() {
                let Some(entry) = queue.find(&mut candidates, *ordinal)? else { continue };
                chunk.push(self.candidate(&batch, index, entry));
                if chunk.len() >= CHUNK {
                    self.plan_chunk(&mut chunk, writer, counts).await?;
                    tokio::task::yield_now().await;
                }
            }
        }
        self.plan_chunk(&mut chunk, writer, counts).await?;
        self.plan_unstaged(queue.rest(&mut candidates)?, writer, counts).await
    }

    /// Candidates whose rows were not staged. A repeated key is rejected whatever its row holds; any other stays pending
    /// until the next run, which digests under another salt.
    async fn plan_unstaged(
        &self,
        entries: Vec<DiffEntry>,
        writer: &mut PlanWriter,
        counts: &mut PlanCounts,
    ) -> Result<(), EngineError> {
        let (repeated, lost): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|entry| entry.tag & REPEATED != 0 && entry.tag != REPEATED);
        counts.unknown += u64::try_from(lost.len()).unwrap_or(0);
        for chunk in repeated.chunks(CHUNK) {
            let ids: Vec<EntryId> = chunk.iter().map(|entry| EntryId(entry.tag & !REPEATED)).collect();
            let known = self.engine.options.store.entries(self.state.id, &ids).await?;
            for (entry, known) in chunk.iter().zip(known) {
                let key = known.map_or_else(|| RowKey::new(entry.key.to_string()), |known| known.key);
                let row = repeated_row(key, entry.row);
                count(row.kind, counts);
                writer.push(&row)?;
            }
        }
        Ok(())
    }

    fn candidate(&self, batch: &StagedBatch, index: usize, entry: DiffEntry) -> Candidate {
        let row = self.reader.row(&batch.rows, index).map_err(|(at, reason)| {
            let name = self.reader.names().get(at).map_or("?", |name| name);
            format!("column `{name}`: {reason}")
        });
        let key = match &row {
            Ok(row) => {
                let values: Vec<_> = self.keys.iter().filter_map(|at| row.at(*at)).collect();
                RowKey::of(&values)
            }
            Err(_) => self.key_alone(&batch.rows, index),
        };
        let row = if batch.faults.is_null(index) { row } else { Err(batch.faults.value(index).to_owned()) };
        Candidate { key: key.unwrap_or_else(|| RowKey::new(entry.key.to_string())), entry, row }
    }

    /// Reads only the key columns, for a row of which another cell cannot be read.
    fn key_alone(&self, rows: &arrow_array::RecordBatch, index: usize) -> Option<RowKey> {
        let keys = rows.project(&self.keys).ok()?;
        let row = RowReader::new(keys.schema_ref())?.row(&keys, index).ok()?;
        RowKey::of(&row.values().iter().collect::<Vec<_>>())
    }

    async fn plan_chunk(
        &self,
        chunk: &mut Vec<Candidate>,
        writer: &mut PlanWriter,
        counts: &mut PlanCounts,
    ) -> Result<(), EngineError> {
        let store = &self.engine.options.store;
        let ids: Vec<EntryId> = chunk.iter().filter_map(|candidate| prior_of(&candidate.entry)).collect();
        let mut entries =
            if ids.is_empty() { Vec::new() } else { store.entries(self.state.id, &ids).await? }.into_iter();
        let rejections = if self.has_rejections {
            let keys: Vec<_> = chunk.iter().map(|candidate| candidate.entry.key).collect();
            store.rejections_of(self.state.id, &keys).await?
        } else {
            vec![None; chunk.len()]
        };
        for (candidate, rejection) in chunk.drain(..).zip(rejections) {
            let entry = if prior_of(&candidate.entry).is_some() {
                entries
                    .next()
                    .flatten()
                    .ok_or_else(|| StateError::Unusable("the snapshot changed while it was planned".to_owned()))?
                    .into()
            } else {
                None
            };
            let row = self.plan_row(candidate, entry.as_ref(), rejection.as_ref())?;
            count(row.kind, counts);
            writer.push(&row)?;
        }
        Ok(())
    }

    fn plan_row(
        &self,
        candidate: Candidate,
        entry: Option<&Entry>,
        rejection: Option<&Rejection>,
    ) -> Result<PlanRow, EngineError> {
        if candidate.entry.tag & REPEATED != 0 {
            return Ok(repeated_row(candidate.key, candidate.entry.row));
        }
        let mut row = PlanRow {
            key: candidate.key,
            kind: PlanKind::Reject,
            seen: candidate.entry.row,
            digest: Hash128::default(),
            entry: entry.map(|entry| entry.id),
            revision: entry.map_or(0, |entry| entry.revision) + 1,
            record: None,
            previous: entry.map(|entry| Arc::clone(&entry.record)),
            destination_id: entry.and_then(|entry| entry.destination_id.clone()),
            reason: None,
            rejected_by: None,
        };
        if let Some(rejection) = rejection {
            if rejection.kind == RejectionKind::Unknown {
                row.kind = PlanKind::Unknown;
                row.reason = Some(rejection.reason.clone());
                return Ok(row);
            }
            if rejection.kind == RejectionKind::Destination
                && rejection.seen == row.seen
                && rejection.tries >= self.sync.rejected_tries
            {
                row.reason = Some(format!("{QUARANTINED}{} tries: {}", rejection.tries, rejection.reason));
                row.rejected_by = Some(rejection.kind.word().to_owned());
                return Ok(row);
            }
        }
        let mapped = candidate.row.and_then(|cells| {
            let record = self.bound.record(&cells, &self.context).map_err(|fault| fault.to_string())?;
            let digest = record.digest().map_err(|error| error.to_string())?;
            self.sync.destination.judge_record(&self.sync.write, &record)?;
            Ok((record, digest))
        });
        let (record, digest) = match mapped {
            Ok(mapped) => mapped,
            Err(reason) => {
                row.reason = Some(reason);
                row.rejected_by = Some(RejectionKind::Mapping.word().to_owned());
                return Ok(row);
            }
        };
        row.digest = digest;
        row.kind = self.decide(&record, digest, entry)?;
        if row.kind != PlanKind::Refresh {
            let mut json = Vec::with_capacity(512);
            write_json(&Value::Object(record.fields), &mut json)
                .map_err(|error| EngineError::Storage(error.to_string()))?;
            row.record = Some(text(json)?);
        }
        Ok(row)
    }

    fn decide(&self, record: &Record, digest: Hash128, entry: Option<&Entry>) -> Result<PlanKind, EngineError> {
        let Some(entry) = entry else {
            return Ok(if self.adopt { PlanKind::Adopt } else { PlanKind::Operation(OperationKind::Add) });
        };
        if self.scope.full && self.sync.write.mode != SyncMode::Insert {
            return Ok(PlanKind::Operation(OperationKind::Change));
        }
        if entry.digest == digest || self.sync.write.mode == SyncMode::Insert {
            return Ok(PlanKind::Refresh);
        }
        let accepted = parse_json(&entry.record, true)
            .ok()
            .and_then(|value| value.as_object().cloned())
            .ok_or_else(|| StateError::Unusable("a kept record is damaged".to_owned()))?;
        let accepted = Accepted { digest: entry.digest, record: &accepted };
        Ok(match decide(self.sync.write.mode, record, digest, Some(&accepted)) {
            Decision::Refresh => PlanKind::Refresh,
            Decision::Send(_) if self.adopt => PlanKind::Adopt,
            Decision::Send(kind) => PlanKind::Operation(kind),
        })
    }
}

/// How the reason of a quarantined row begins in a plan.
const QUARANTINED: &str = "quarantined after ";

/// Returns a reason as the destination gave it, without what a plan says of the quarantine.
pub(crate) fn original_reason(reason: &str) -> &str {
    reason
        .strip_prefix(QUARANTINED)
        .and_then(|rest| rest.split_once(" tries: "))
        .map_or(reason, |(_, original)| original)
}

/// Returns the snapshot entry of a candidate that is not a repeated key.
fn prior_of(entry: &DiffEntry) -> Option<EntryId> {
    (entry.tag != 0 && entry.tag & REPEATED == 0).then_some(EntryId(entry.tag))
}

/// A row of a repeated key: rejected, and its entry is left alone.
fn repeated_row(key: RowKey, seen: Hash128) -> PlanRow {
    PlanRow {
        key,
        kind: PlanKind::Reject,
        seen,
        digest: Hash128::default(),
        entry: None,
        revision: 0,
        record: None,
        previous: None,
        destination_id: None,
        reason: Some("the primary key is repeated in the model".to_owned()),
        rejected_by: Some(RejectionKind::Key.word().to_owned()),
    }
}

fn text(json: Vec<u8>) -> Result<Arc<str>, EngineError> {
    String::from_utf8(json).map(Into::into).map_err(|error| EngineError::Storage(error.to_string()))
}

fn count(kind: PlanKind, counts: &mut PlanCounts) {
    *match kind {
        PlanKind::Operation(OperationKind::Add) => &mut counts.add,
        PlanKind::Operation(OperationKind::Change) => &mut counts.change,
        PlanKind::Operation(OperationKind::Remove) => &mut counts.remove,
        PlanKind::Refresh => &mut counts.unchanged,
        PlanKind::Adopt => &mut counts.adopt,
        PlanKind::Gone => &mut counts.gone,
        PlanKind::Reject => &mut counts.rejected,
        PlanKind::Unknown => &mut counts.unknown,
    } += 1;
}
