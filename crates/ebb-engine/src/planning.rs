//! A plan: the model is read to its end, compared with the snapshot, and every candidate is mapped into the plan file.
//! The source's transaction is closed before anything is mapped; memory stays bounded whatever the row count.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::{Array as _, BooleanArray, UInt64Array};
use arrow_schema::Schema;
use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat, TimeDelta, Utc};
use ebb_mapping::{Bound, RunContext as MappingContext};
use ebb_plan::{
    Accepted, Buckets, Decision, Difference, Entry as DiffEntry, Fingerprinter, GuardCounts, Hashes, Prior, SeenSet,
    SpillError, decide, merge,
};
use ebb_row::{Column, Hash128, OperationKind, Row, RowKey, RowReader, SyncMode, parse_json, write_json};
use ebb_source::{CursorBound, Query, ReadOptions};
use ebb_state::{
    Entry, EntryId, IndexEntry, PlanCounts, PlanFooter, PlanHeader, PlanKind, PlanRow, PlanWriter, PriorIndex,
    Rejection, RejectionKind, StateError, SyncIdentity, SyncState,
};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::job::{OnRemoved, Scope, SyncJob};
use crate::report::{Phase, PlanSummary, Progress, Snapshot};
use crate::staging::{SpillFile, StagedRows, Staging};

/// Candidates that are mapped together.
const CHUNK: usize = 512;
/// Marks a repeated key in an entry's tag; the rest of the tag is the prior entry.
const REPEATED: u64 = 1 << 63;
/// How many rows with a null key a plan names.
const NULL_KEY_SAMPLE: usize = 10;

impl From<SpillError> for EngineError {
    fn from(error: SpillError) -> Self {
        Self::Storage(error.to_string())
    }
}

/// What a plan is made for.
pub(crate) struct PlanFor<'a> {
    pub(crate) job: &'a SyncJob,
    pub(crate) scope: &'a Scope,
    pub(crate) override_guards: &'a [String],
    pub(crate) run: String,
    pub(crate) time: DateTime<Utc>,
    pub(crate) file: &'a Path,
    pub(crate) progress: &'a dyn Progress,
}

impl SyncJob {
    pub(crate) fn identity(&self) -> SyncIdentity {
        SyncIdentity {
            name: self.name.clone(),
            destination: self.destination.identity().to_string(),
            object: self.write.object.clone(),
            match_field: self.write.match_field.clone(),
        }
    }

    fn is_events(&self) -> bool {
        self.write.match_field.is_none()
    }

    fn project_fault(&self, message: String) -> EngineError {
        EngineError::Project { sync: self.name.clone(), message }
    }
}

/// What the first pass leaves: hashes in buckets, rows that may be candidates in a file.
struct ReadRows {
    entries: Buckets,
    staged: StagedRows,
    read: u64,
    null_keys: u64,
    null_key_rows: Vec<u64>,
    cursor: Option<String>,
}

impl Engine {
    /// Makes a plan and seals it with the store's key.
    pub(crate) async fn make_plan(&self, wanted: &PlanFor<'_>) -> Result<PlanSummary, EngineError> {
        let job = wanted.job;
        let store = &self.options.store;
        let state = store.sync(&job.identity()).await?;
        check_identity(job, &state)?;
        check_first_run(job, wanted.scope, &state)?;
        let adopt = wanted.scope.adopt
            || (!state.has_history && (job.adopt_first || wanted.scope.first_run_send == Some(false)));
        let mut index = store.index(state.id).await?;
        let cursor_from = if wanted.scope.full { None } else { state.cursor.clone() };
        let mut read = self.read_model(wanted, index.as_mut(), cursor_from).await?;
        self.update(wanted.progress, Phase::Planning, read.read);
        let read_everything = wanted.scope.key.is_none() && wanted.scope.limit.is_none() && job.cursor.is_none();
        let header = PlanHeader {
            id: uuid::Uuid::new_v4().to_string(),
            version: self.options.version.clone(),
            sync: job.name.clone(),
            run: wanted.run.clone(),
            time: wanted.time,
            destination: job.destination.identity().to_string(),
            object: job.write.object.clone(),
            mode: job.write.mode.word().to_owned(),
            api: job.write.api.word().to_owned(),
            config: job.config,
            mapping: job.mapping.digest(),
            counter: state.counter,
            generation: state.generation,
            read_everything,
        };
        let key = store.secret_key("plan").await?;
        let mut writer = PlanWriter::create(wanted.file, &header, key)?;
        let (candidates, removed, unchanged) = self.compare(&mut read, index.as_mut(), wanted.scope.full)?;
        let mut counts = PlanCounts {
            read: read.read,
            unchanged,
            null_keys: read.null_keys,
            live: state.live,
            gone: if read_everything { u64::try_from(removed.len()).unwrap_or(u64::MAX) } else { 0 },
            ..PlanCounts::default()
        };
        let mut mapper = Mapper::new(self, wanted, &state, adopt, read.staged.columns())?;
        mapper.map_all(read.staged, candidates, read.read, &mut writer, &mut counts).await?;
        if read_everything {
            self.plan_removed(job, &state, &removed, &mut writer).await?;
        }
        let footer = finish_footer(wanted, &state, counts, read.cursor, read.null_key_rows);
        writer.finish(&footer)?;
        Ok(PlanSummary { file: wanted.file.to_owned(), header, footer })
    }

    fn update(&self, progress: &dyn Progress, phase: Phase, read: u64) {
        progress.update(&Snapshot { phase, read, operations: 0, settled: 0, calls: 0, note: None });
        let _ = self;
    }

    /// Reads the model to its end: every row's hashes, and the rows that are not certainly unchanged.
    async fn read_model(
        &self,
        wanted: &PlanFor<'_>,
        index: &mut dyn PriorIndex,
        cursor_from: Option<String>,
    ) -> Result<ReadRows, EngineError> {
        let job = wanted.job;
        let source_failed = |cause| EngineError::Source { sync: job.name.clone(), cause };
        let query = Query {
            sql: job.sql.clone(),
            cursor: job.cursor.as_ref().map(|(column, lookback)| CursorBound {
                column: column.clone(),
                from: cursor_from.map(|from| look_back(&from, *lookback)),
            }),
        };
        let options = ReadOptions {
            statement_timeout: job.statement_timeout,
            limit: wanted.scope.limit,
            ..ReadOptions::default()
        };
        let seen = if wanted.scope.full { None } else { seen_set(index)? };
        let mut reader = job.source.read(&query, &options).await.map_err(source_failed)?;
        let schema = check_columns(job, reader.columns())?;
        let mut first = FirstPass::new(self, job, &schema, seen, wanted.scope.key.as_ref().map(RowKey::hash))?;
        while let Some(batch) = reader.next().await.map_err(source_failed)? {
            first.take(&batch)?;
            self.update(wanted.progress, Phase::Reading, first.read);
            if *self.options.stop.borrow() {
                return Err(EngineError::Storage("stopped while reading; nothing was sent".to_owned()));
            }
            // Reading and hashing share the threads with everything else that runs.
            tokio::task::yield_now().await;
        }
        drop(reader);
        first.finish()
    }

    /// Merges hashes with the snapshot: candidates in buckets by their place in the read, entries that are gone.
    fn compare(
        &self,
        read: &mut ReadRows,
        index: &mut dyn PriorIndex,
        full: bool,
    ) -> Result<(Buckets, Vec<EntryId>, u64), EngineError> {
        let name = format!("{}.candidates", uuid::Uuid::new_v4());
        let spill = SpillFile::create(&self.options.work_directory, &name)?;
        let mut candidates = Buckets::new(self.options.spill_budget, Box::new(spill));
        let mut removed = Vec::new();
        let total = read.read.max(1);
        index.rewind()?;
        let mut prior = IndexCursor { index, block: Vec::new(), at: 0, unsee: full };
        let counts = merge::<EngineError>(
            &mut read.entries,
            || prior.next(),
            |difference| {
                let (entry, tag) = match difference {
                    Difference::Added(entry) => (entry, 0),
                    Difference::Changed(entry, prior) => (entry, prior.id),
                    Difference::Repeated(entry) => (entry, REPEATED),
                    Difference::Removed(prior) => {
                        removed.push(EntryId(prior.id));
                        return Ok(());
                    }
                };
                let part = u8::try_from(u128::from(entry.ordinal) * 256 / u128::from(total)).unwrap_or(u8::MAX);
                Ok(candidates.push(part, DiffEntry { tag, ..entry })?)
            },
        )?;
        Ok((candidates, removed, counts.unchanged))
    }

    async fn plan_removed(
        &self,
        job: &SyncJob,
        state: &SyncState,
        removed: &[EntryId],
        writer: &mut PlanWriter,
    ) -> Result<(), EngineError> {
        let OnRemoved::Ignore = job.on_removed;
        for ids in removed.chunks(CHUNK) {
            for entry in self.options.store.entries(state.id, ids).await?.into_iter().flatten() {
                writer.push(&PlanRow {
                    key: entry.key,
                    kind: PlanKind::Gone,
                    seen: Hash128::default(),
                    digest: Hash128::default(),
                    entry: Some(entry.id),
                    revision: entry.revision,
                    record: None,
                    previous: None,
                    destination_id: entry.destination_id,
                    reason: None,
                    rejected_by: None,
                })?;
            }
        }
        Ok(())
    }
}

/// Moves a cursor's text back by a duration, where it is a time or a date; any other text stays as it is.
fn look_back(from: &str, lookback: Duration) -> String {
    let Ok(lookback) = TimeDelta::from_std(lookback) else { return from.to_owned() };
    if let Ok(instant) = DateTime::parse_from_rfc3339(from) {
        return (instant.to_utc() - lookback).to_rfc3339_opts(SecondsFormat::Micros, true);
    }
    if let Ok(date) = from.parse::<NaiveDate>() {
        return (date.and_time(NaiveTime::MIN) - lookback).date().to_string();
    }
    from.to_owned()
}

fn finish_footer(
    wanted: &PlanFor<'_>,
    state: &SyncState,
    counts: PlanCounts,
    cursor: Option<String>,
    null_key_rows: Vec<u64>,
) -> PlanFooter {
    let guarded = GuardCounts {
        live: counts.live,
        read: if wanted.job.cursor.is_some() { counts.read.max(1) } else { counts.read },
        added: counts.add,
        changed: counts.change,
        removed: counts.gone,
        rejected: counts.rejected + counts.null_keys,
    };
    // A look at a part of the model says nothing of what left it.
    let partial = wanted.scope.key.is_some() || wanted.scope.limit.is_some();
    let mut guards = wanted.job.guards.clone();
    guards.empty &= !partial;
    let refusals = guards
        .judge(&guarded, wanted.override_guards)
        .into_iter()
        .map(|refusal| (refusal.guard.to_owned(), refusal.message))
        .collect();
    let mut notes = Vec::new();
    if state.mapping.is_some_and(|mapping| mapping != wanted.job.mapping.digest()) {
        notes.push("the mapping changed since the last run: every row was mapped again".to_owned());
    }
    PlanFooter { counts, refusals, notes, cursor: cursor.or_else(|| state.cursor.clone()), null_key_rows }
}

fn check_identity(job: &SyncJob, state: &SyncState) -> Result<(), EngineError> {
    let (old, new) = (&state.identity, job.identity());
    let changed = [
        ("destination", old.destination.as_str(), new.destination.as_str()),
        ("object", old.object.as_str(), new.object.as_str()),
        ("match field", old.match_field.as_deref().unwrap_or("none"), new.match_field.as_deref().unwrap_or("none")),
    ];
    let Some((what, before, now)) = changed.into_iter().find(|(_, before, now)| before != now) else { return Ok(()) };
    let name = &job.name;
    Err(EngineError::Refused {
        sync: name.clone(),
        message: format!(
            "its {what} was `{before}` and is now `{now}`; what was accepted there says nothing of the new one. \
             Put it back, give the sync a new name, or forget its snapshot with `ebb reset {name}`"
        ),
    })
}

fn check_first_run(job: &SyncJob, scope: &Scope, state: &SyncState) -> Result<(), EngineError> {
    if !job.is_events() || state.has_history || scope.first_run_send.is_some() || scope.adopt {
        return Ok(());
    }
    let message = "the state has no record of this sync of events. Say whether its first run sends every row \
                   (`--first-run send`) or takes them as sent (`--first-run adopt`)";
    Err(EngineError::Refused { sync: job.name.clone(), message: message.to_owned() })
}

fn check_columns(job: &SyncJob, columns: &[Column]) -> Result<Schema, EngineError> {
    for name in job.primary_key.iter().chain(job.cursor.iter().map(|(column, _)| column)) {
        if !columns.iter().any(|column| column.name == *name) {
            let names: Vec<_> = columns.iter().map(|column| format!("`{}`", column.name)).collect();
            return Err(job.project_fault(format!("the model returns no column `{name}`; it has {}", names.join(", "))));
        }
    }
    if let Some(fault) = job.mapping.check(columns).into_iter().next() {
        let hint = fault.hint.map(|hint| format!("; {hint}")).unwrap_or_default();
        return Err(job.project_fault(format!("field `{}`: {}{hint}", fault.path, fault.message)));
    }
    let fields: Vec<_> = columns.iter().map(|column| column.kind.field(&column.name)).collect();
    Ok(Schema::new(fields))
}

fn seen_set(index: &mut dyn PriorIndex) -> Result<Option<SeenSet>, EngineError> {
    let (salt, _) = uuid::Uuid::new_v4().as_u64_pair();
    if index.is_empty() {
        return Ok(None);
    }
    let Some(mut seen) = SeenSet::for_entries(index.len(), salt) else { return Ok(None) };
    index.rewind()?;
    let mut block = Vec::new();
    loop {
        index.next_block(&mut block)?;
        if block.is_empty() {
            return Ok(Some(seen));
        }
        for entry in block.iter().filter(|entry| entry.live) {
            seen.insert(&prior_of(entry));
        }
    }
}

fn prior_of(entry: &IndexEntry) -> Prior {
    Prior { key: entry.key, seen: entry.seen, id: entry.id.0, live: entry.live }
}

struct IndexCursor<'a> {
    index: &'a mut dyn PriorIndex,
    block: Vec<IndexEntry>,
    at: usize,
    /// A full resync: no fingerprint counts as seen.
    unsee: bool,
}

impl IndexCursor<'_> {
    fn next(&mut self) -> Result<Option<Prior>, EngineError> {
        if self.at >= self.block.len() {
            self.index.next_block(&mut self.block)?;
            self.at = 0;
        }
        let Some(entry) = self.block.get(self.at) else { return Ok(None) };
        self.at += 1;
        let mut prior = prior_of(entry);
        if self.unsee {
            prior.seen = Hash128::default();
        }
        Ok(Some(prior))
    }
}

/// The first pass over the model's batches.
struct FirstPass {
    fingerprinter: Fingerprinter,
    hashes: Hashes,
    seen: Option<SeenSet>,
    only: Option<Hash128>,
    entries: Buckets,
    staging: Staging,
    used: Vec<usize>,
    cursor_column: Option<usize>,
    reader: Option<RowReader>,
    highest: Option<(ebb_row::Value, String)>,
    read: u64,
    ordinal: u64,
    null_keys: u64,
    null_key_rows: Vec<u64>,
}

impl FirstPass {
    fn new(
        engine: &Engine,
        job: &SyncJob,
        schema: &Schema,
        seen: Option<SeenSet>,
        only: Option<Hash128>,
    ) -> Result<Self, EngineError> {
        let reads = job.mapping.reads();
        let names: Vec<&str> = schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .filter(|name| reads.every || reads.names.contains(*name))
            .collect();
        let salt = job.mapping.digest();
        let fingerprinter = Fingerprinter::new(schema, &names, &job.primary_key, salt)
            .map_err(|error| job.project_fault(error.to_string()))?;
        let used: Vec<usize> = schema
            .fields()
            .iter()
            .enumerate()
            .filter(|(_, field)| names.contains(&field.name().as_str()) || job.primary_key.contains(field.name()))
            .map(|(at, _)| at)
            .collect();
        let directory = &engine.options.work_directory;
        let id = uuid::Uuid::new_v4();
        let spill = SpillFile::create(directory, &format!("{id}.entries"))?;
        let cursor_column = job.cursor.as_ref().and_then(|(name, _)| schema.column_with_name(name).map(|(at, _)| at));
        Ok(Self {
            fingerprinter,
            hashes: Hashes::default(),
            seen,
            only,
            entries: Buckets::new(engine.options.spill_budget, Box::new(spill)),
            staging: Staging::create(directory, &format!("{id}.rows"), schema, used.clone())?,
            used,
            reader: cursor_column.and_then(|at| {
                let field = schema.field(at).clone();
                RowReader::new(&Schema::new(vec![field]))
            }),
            cursor_column,
            highest: None,
            read: 0,
            ordinal: 0,
            null_keys: 0,
            null_key_rows: Vec::new(),
        })
    }

    fn take(&mut self, batch: &ebb_row::Batch) -> Result<(), EngineError> {
        self.fingerprinter.hash(batch, &mut self.hashes);
        let count = batch.rows.num_rows();
        let mut chosen = Vec::with_capacity(count);
        for (key, row) in self.hashes.keys.iter().zip(&self.hashes.rows) {
            let ordinal = self.ordinal;
            self.ordinal += 1;
            if self.only.is_some() && *key != self.only {
                chosen.push(false);
                continue;
            }
            self.read += 1;
            let Some(key) = key else {
                self.null_keys += 1;
                if self.null_key_rows.len() < NULL_KEY_SAMPLE {
                    self.null_key_rows.push(ordinal + 1);
                }
                chosen.push(false);
                continue;
            };
            let [part, ..] = key.to_bytes();
            self.entries.push(part, DiffEntry { key: *key, row: *row, ordinal, tag: 0 })?;
            chosen.push(!self.seen.as_ref().is_some_and(|seen| seen.contains(*key, *row)));
        }
        let first = self.ordinal - u64::try_from(count).unwrap_or(0);
        let ordinals = UInt64Array::from_iter_values(first..self.ordinal);
        let schema = batch.rows.schema();
        let faults: Vec<(usize, String)> = batch
            .faults
            .iter()
            .filter(|fault| self.used.contains(&fault.column))
            .map(|fault| {
                let name = schema.fields().get(fault.column).map_or("?", |field| field.name().as_str());
                (fault.row, format!("column `{name}`: {}", fault.reason))
            })
            .collect();
        self.staging.push(&batch.rows, &BooleanArray::from(chosen), ordinals, &faults)?;
        self.note_cursor(batch)
    }

    /// Keeps the highest value of the cursor column.
    fn note_cursor(&mut self, batch: &ebb_row::Batch) -> Result<(), EngineError> {
        let (Some(at), Some(reader)) = (self.cursor_column, &self.reader) else { return Ok(()) };
        let column =
            batch.rows.project(&[at]).map_err(|error| EngineError::Storage(format!("the cursor column: {error}")))?;
        for index in 0..column.num_rows() {
            let Ok(row) = reader.row(&column, index) else { continue };
            let Some(value) = row.at(0).filter(|value| !value.is_null()) else { continue };
            if self.highest.as_ref().is_none_or(|(highest, _)| is_above(value, highest))
                && let Some(text) = value.canonical_text()
            {
                self.highest = Some((value.clone(), text.to_string()));
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<ReadRows, EngineError> {
        Ok(ReadRows {
            entries: self.entries,
            staged: self.staging.finish()?,
            read: self.read,
            null_keys: self.null_keys,
            null_key_rows: self.null_key_rows,
            cursor: self.highest.map(|(_, text)| text),
        })
    }
}

/// Orders two cells of one cursor column.
fn is_above(left: &ebb_row::Value, right: &ebb_row::Value) -> bool {
    use ebb_row::Value::{Date, Decimal, Float, Instant, Int, LocalTime, Text};
    match (left, right) {
        (Int(left), Int(right)) => left > right,
        (Float(left), Float(right)) => left > right,
        (Decimal(left), Decimal(right)) => left > right,
        (Text(left), Text(right)) => left > right,
        (Instant(left), Instant(right)) => left > right,
        (LocalTime(left), LocalTime(right)) => left > right,
        (Date(left), Date(right)) => left > right,
        _ => false,
    }
}

/// The second pass: candidates to plan rows.
struct Mapper<'a> {
    engine: &'a Engine,
    job: &'a SyncJob,
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
    fn new(
        engine: &'a Engine,
        wanted: &PlanFor<'a>,
        state: &'a SyncState,
        adopt: bool,
        columns: &Schema,
    ) -> Result<Self, EngineError> {
        let job = wanted.job;
        let reader = RowReader::new(columns)
            .ok_or_else(|| EngineError::Storage("the working file of the plan has unknown types".to_owned()))?;
        let keys = job.primary_key.iter().filter_map(|name| columns.column_with_name(name).map(|(at, _)| at)).collect();
        let bound = job.mapping.bind(reader.names());
        let context = MappingContext { sync: job.name.clone(), run_id: wanted.run.clone(), run_time: wanted.time };
        Ok(Self { engine, job, scope: wanted.scope, state, adopt, has_rejections: true, reader, keys, bound, context })
    }

    async fn map_all(
        &mut self,
        mut staged: StagedRows,
        mut candidates: Buckets,
        read: u64,
        writer: &mut PlanWriter,
        counts: &mut PlanCounts,
    ) -> Result<(), EngineError> {
        let _ = read;
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
        // Rows whose digest met another's are not staged: they stay pending until the next run, under another salt.
        counts.unknown += queue.rest(&mut candidates)?;
        Ok(())
    }

    fn candidate(&self, batch: &crate::staging::StagedBatch, index: usize, entry: DiffEntry) -> Candidate {
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
        let ids: Vec<EntryId> = chunk
            .iter()
            .filter(|candidate| candidate.entry.tag != 0 && candidate.entry.tag != REPEATED)
            .map(|candidate| EntryId(candidate.entry.tag))
            .collect();
        let mut entries =
            if ids.is_empty() { Vec::new() } else { store.entries(self.state.id, &ids).await? }.into_iter();
        let rejections = if self.has_rejections {
            let keys: Vec<_> = chunk.iter().map(|candidate| candidate.entry.key).collect();
            store.rejections_of(self.state.id, &keys).await?
        } else {
            vec![None; chunk.len()]
        };
        for (candidate, rejection) in chunk.drain(..).zip(rejections) {
            let entry = if candidate.entry.tag != 0 && candidate.entry.tag != REPEATED {
                entries
                    .next()
                    .flatten()
                    .ok_or_else(|| StateError::Unusable("the snapshot changed while it was planned".to_owned()))?
                    .into()
            } else {
                None
            };
            let row = self.plan_row(candidate, entry, rejection)?;
            count(&row.kind, counts);
            writer.push(&row)?;
        }
        Ok(())
    }

    fn plan_row(
        &self,
        candidate: Candidate,
        entry: Option<Entry>,
        rejection: Option<Rejection>,
    ) -> Result<PlanRow, EngineError> {
        let mut row = PlanRow {
            key: candidate.key,
            kind: PlanKind::Reject,
            seen: candidate.entry.row,
            digest: Hash128::default(),
            entry: entry.as_ref().map(|entry| entry.id),
            revision: entry.as_ref().map_or(0, |entry| entry.revision) + 1,
            record: None,
            previous: entry.as_ref().map(|entry| Arc::clone(&entry.record)),
            destination_id: entry.as_ref().and_then(|entry| entry.destination_id.clone()),
            reason: None,
            rejected_by: None,
        };
        if candidate.entry.tag == REPEATED {
            row.reason = Some("the primary key is repeated in the model".to_owned());
            row.rejected_by = Some(RejectionKind::Key.word().to_owned());
            return Ok(row);
        }
        if let Some(rejection) = &rejection {
            if rejection.kind == RejectionKind::Unknown {
                row.kind = PlanKind::Unknown;
                row.reason = Some(rejection.reason.clone());
                return Ok(row);
            }
            if rejection.kind == RejectionKind::Destination
                && rejection.seen == row.seen
                && rejection.tries >= self.job.rejected_tries
            {
                row.reason = Some(format!("quarantined after {} tries: {}", rejection.tries, rejection.reason));
                row.rejected_by = Some(rejection.kind.word().to_owned());
                return Ok(row);
            }
        }
        let mapped = candidate.row.and_then(|cells| {
            let record = self.bound.record(&cells, &self.context).map_err(|fault| fault.to_string())?;
            let digest = record.digest().map_err(|error| error.to_string())?;
            self.job.destination.judge_record(&self.job.write, &record)?;
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
        row.kind = self.decide(&record, digest, entry.as_ref())?;
        if row.kind != PlanKind::Refresh {
            let mut json = Vec::with_capacity(512);
            write_json(&ebb_row::Value::Object(record.fields), &mut json)
                .map_err(|error| EngineError::Storage(error.to_string()))?;
            row.record = Some(text(json)?);
        }
        Ok(row)
    }

    fn decide(
        &self,
        record: &ebb_row::Record,
        digest: Hash128,
        entry: Option<&Entry>,
    ) -> Result<PlanKind, EngineError> {
        let Some(entry) = entry else {
            return Ok(if self.adopt { PlanKind::Adopt } else { PlanKind::Operation(OperationKind::Add) });
        };
        if self.scope.full && self.job.write.mode != SyncMode::Insert {
            return Ok(PlanKind::Operation(OperationKind::Change));
        }
        if entry.digest == digest || self.job.write.mode == SyncMode::Insert {
            return Ok(PlanKind::Refresh);
        }
        let accepted = parse_json(&entry.record, true)
            .ok()
            .and_then(|value| value.as_object().cloned())
            .ok_or_else(|| StateError::Unusable("a kept record is damaged".to_owned()))?;
        let accepted = Accepted { digest: entry.digest, record: &accepted };
        Ok(match decide(self.job.write.mode, record, digest, Some(&accepted)) {
            Decision::Refresh => PlanKind::Refresh,
            Decision::Send(_) if self.adopt => PlanKind::Adopt,
            Decision::Send(kind) => PlanKind::Operation(kind),
        })
    }
}

fn text(json: Vec<u8>) -> Result<Arc<str>, EngineError> {
    String::from_utf8(json).map(Into::into).map_err(|error| EngineError::Storage(error.to_string()))
}

fn count(kind: &PlanKind, counts: &mut PlanCounts) {
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

/// Candidates in the order of their ordinals, one part in memory at a time.
#[derive(Default)]
struct CandidateQueue {
    next_part: u16,
    part: Vec<DiffEntry>,
    at: usize,
    missed: u64,
}

impl CandidateQueue {
    /// Returns the candidate with this ordinal, if it is one; ordinals are asked in ascending order.
    fn find(&mut self, candidates: &mut Buckets, ordinal: u64) -> Result<Option<DiffEntry>, EngineError> {
        loop {
            match self.part.get(self.at) {
                Some(entry) if entry.ordinal == ordinal => {
                    self.at += 1;
                    return Ok(Some(*entry));
                }
                Some(entry) if entry.ordinal > ordinal => return Ok(None),
                Some(_) => {
                    self.at += 1;
                    self.missed += 1;
                }
                None => {
                    if !self.load(candidates)? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    fn load(&mut self, candidates: &mut Buckets) -> Result<bool, EngineError> {
        let Ok(part) = u8::try_from(self.next_part) else { return Ok(false) };
        self.next_part += 1;
        candidates.take(part, &mut self.part)?;
        self.part.sort_unstable_by_key(|entry| entry.ordinal);
        self.at = 0;
        Ok(true)
    }

    /// Counts the candidates that were never asked for.
    fn rest(&mut self, candidates: &mut Buckets) -> Result<u64, EngineError> {
        loop {
            self.missed += u64::try_from(self.part.len() - self.at).unwrap_or(0);
            self.part.clear();
            self.at = 0;
            if !self.load(candidates)? {
                return Ok(self.missed);
            }
        }
    }
}
