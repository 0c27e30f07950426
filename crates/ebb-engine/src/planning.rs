//! A plan: the model is read to its end, compared with the snapshot, and every candidate is mapped into the plan file.
//! The source's transaction is closed before anything is mapped; memory stays bounded whatever the row count.

use std::path::Path;
use std::time::Duration;

use arrow_schema::Schema;
use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat, TimeDelta, Utc};
use ebb_plan::{Buckets, Difference, Entry as DiffEntry, GuardCounts, Parts, Prior, SeenSet, SpillError, merge};
use ebb_row::{Batch, Column, ColumnType, Hash128, RowKey};
use ebb_source::{CursorBound, Query, ReadOptions, SourceError};
use ebb_state::{
    EntryId, IndexEntry, PlanCounts, PlanFooter, PlanHeader, PlanKind, PlanRow, PlanWriter, PriorIndex, RunFilter,
    SyncIdentity, SyncState,
};
use tracing::Instrument as _;
use tracing::field::Empty;

use crate::TRACE;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::first_pass::{FirstPass, ReadRows};
use crate::mapper::Mapper;
use crate::report::{Phase, PlanSummary, Progress, Snapshot};
use crate::request::{OnRemoved, ReadySync, Scope};
use crate::staging::SpillFile;

/// Candidates that are mapped together.
pub(crate) const CHUNK: usize = 512;
/// Ends the trigger of a run that adopts, so that the next one knows when it did not end.
pub(crate) const ADOPTING: &str = ", adopting";
/// Marks a repeated key in an entry's tag; the rest of the tag is the prior entry.
pub(crate) const REPEATED: u64 = 1 << 63;

impl From<SpillError> for EngineError {
    fn from(error: SpillError) -> Self {
        Self::Storage(error.to_string())
    }
}

/// What a plan is made for.
pub(crate) struct PlanFor<'a> {
    pub(crate) sync: &'a ReadySync,
    pub(crate) scope: &'a Scope,
    pub(crate) override_guards: &'a [String],
    pub(crate) run: String,
    pub(crate) time: DateTime<Utc>,
    pub(crate) file: &'a Path,
    pub(crate) progress: &'a dyn Progress,
}

impl ReadySync {
    /// Returns what the sync's snapshot belongs to.
    pub fn identity(&self) -> SyncIdentity {
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

    pub(crate) fn project_fault(&self, message: String) -> EngineError {
        EngineError::Project { sync: self.name.clone(), message }
    }
}

impl Engine {
    /// Makes a plan and seals it with the store's key.
    pub(crate) async fn make_plan(&self, wanted: &PlanFor<'_>) -> Result<PlanSummary, EngineError> {
        let sync = wanted.sync;
        let store = &self.options.store;
        let state = store.sync(&sync.identity()).await?;
        check_identity(sync, &state)?;
        check_first_run(sync, wanted.scope, &state)?;
        let adopt = self.adopts(sync, wanted.scope, &state, &wanted.run).await?;
        let mut index = store.index(state.id).await?;
        let cursor_from = if wanted.scope.full { None } else { state.cursor.clone() };
        let span = tracing::info_span!(target: TRACE, "read", rows = Empty);
        let mut read = self.read_model(wanted, index.as_mut(), cursor_from).instrument(span.clone()).await?;
        span.record("rows", read.read);
        drop(span);
        update(wanted.progress, Phase::Planning, read.read);
        let read_everything = wanted.scope.key.is_none() && wanted.scope.limit.is_none() && sync.cursor.is_none();
        let header = PlanHeader {
            id: self.ids.any().to_string(),
            version: self.options.version.clone(),
            sync: sync.name.clone(),
            run: wanted.run.clone(),
            time: wanted.time,
            destination: sync.destination.identity().to_string(),
            object: sync.write.object.clone(),
            mode: sync.write.mode.word().to_owned(),
            api: sync.write.api.word().to_owned(),
            config: sync.config,
            mapping: sync.mapping.digest(),
            counter: state.counter,
            generation: state.generation,
            read_everything,
        };
        let key = store.secret_key("plan").await?;
        let mut writer = PlanWriter::create(wanted.file, &header, key)?;
        let span = tracing::info_span!(target: TRACE, "diff");
        let (candidates, removed, unchanged) =
            span.in_scope(|| self.compare(&mut read, index.as_mut(), wanted.scope.full))?;
        drop(span);
        let mut counts = PlanCounts {
            read: read.read,
            unchanged,
            null_keys: read.null_keys,
            live: state.live,
            gone: if read_everything { u64::try_from(removed.len()).unwrap_or(u64::MAX) } else { 0 },
            ..PlanCounts::default()
        };
        let mut mapper = Mapper::new(self, wanted, &state, adopt, read.staged.columns())?;
        let span = tracing::info_span!(target: TRACE, "map");
        mapper.map_all(read.staged, candidates, &mut writer, &mut counts).instrument(span).await?;
        if read_everything {
            self.plan_removed(sync, &state, &removed, &mut writer).await?;
        }
        let footer = finish_footer(wanted, &state, counts, read.cursor, read.null_key_rows);
        writer.finish(&footer)?;
        Ok(PlanSummary { file: wanted.file.to_owned(), header, footer })
    }

    /// Decides whether rows are taken as accepted: when asked, in a first run that adopts, and after one that did not end, so
    /// that the rest of its rows is not sent.
    pub(crate) async fn adopts(
        &self,
        sync: &ReadySync,
        scope: &Scope,
        state: &SyncState,
        run: &str,
    ) -> Result<bool, EngineError> {
        if scope.first_run_send == Some(true) && !scope.adopt {
            return Ok(false);
        }
        let is_first = !state.has_history && (sync.adopt_first || scope.first_run_send == Some(false));
        if scope.adopt || is_first {
            let is_part = scope.key.is_some() || scope.limit.is_some();
            if is_part && !state.has_history && sync.is_events() {
                let message = "adopting a part of the model would send the rest of it next time; adopt all of it";
                return Err(EngineError::Refused { sync: sync.name.clone(), message: message.to_owned() });
            }
            return Ok(true);
        }
        if !state.has_history {
            return Ok(false);
        }
        let filter = RunFilter { sync: Some(sync.name.clone()), limit: 2 };
        let runs = self.options.store.runs(&filter).await?;
        let last = runs.iter().find(|last| *last.run.id.0 != *run);
        Ok(last.is_some_and(|last| {
            last.run.trigger.ends_with(ADOPTING) && !matches!(last.status.as_str(), "succeeded" | "partial")
        }))
    }

    /// Reads the model to its end: every row's hashes, and the rows that are not certainly unchanged.
    async fn read_model(
        &self,
        wanted: &PlanFor<'_>,
        index: &mut dyn PriorIndex,
        cursor_from: Option<String>,
    ) -> Result<ReadRows, EngineError> {
        let sync = wanted.sync;
        let source_failed = |cause| EngineError::Source { sync: sync.name.clone(), cause };
        let query = Query {
            sql: sync.sql.clone(),
            cursor: sync.cursor.as_ref().map(|(column, lookback)| CursorBound {
                column: column.clone(),
                from: cursor_from.map(|from| look_back(&from, *lookback)),
            }),
        };
        let options = ReadOptions {
            statement_timeout: sync.statement_timeout,
            limit: wanted.scope.limit,
            ..ReadOptions::default()
        };
        let seen = if wanted.scope.full { None } else { seen_set(index, self.ids.any())? };
        // A source that hangs is left alone when the process is to stop.
        let mut stop = self.options.stop.clone();
        let stopped = || EngineError::Stopped { sync: sync.name.clone() };
        let mut reader = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return Err(stopped()),
            reader = sync.source.read(&query, &options) => reader.map_err(source_failed)?,
        };
        let schema = check_columns(sync, reader.columns())?;
        let mut first = FirstPass::new(self, sync, &schema, seen, wanted.scope.key.as_ref().map(RowKey::hash))?;
        loop {
            let batch = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return Err(stopped()),
                batch = reader.next() => batch.map_err(source_failed)?,
            };
            let Some(batch) = batch else { break };
            if !has_columns(&batch, reader.columns()) {
                return Err(source_failed(SourceError::Broken("the columns changed while it was read".to_owned())));
            }
            first.take(&batch)?;
            update(wanted.progress, Phase::Reading, first.read());
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
        let name = format!("{}.candidates", self.ids.any());
        let spill = SpillFile::create(&self.options.work_directory, &name)?;
        let mut candidates =
            Buckets::new(Parts::ByOrdinal { total: read.ordinals }, self.options.spill_budget / 2, Box::new(spill));
        let mut removed = Vec::new();
        index.rewind()?;
        let mut prior = IndexCursor { index, block: Vec::new(), at: 0, unsee: full };
        let counts = merge::<EngineError>(
            &mut read.entries,
            || prior.next(),
            |difference| {
                let (entry, tag) = match difference {
                    Difference::Added(entry) => (entry, 0),
                    Difference::Changed(entry, prior) => (entry, prior.id),
                    Difference::Repeated(entry, prior) => (entry, REPEATED | prior.map_or(0, |prior| prior.id)),
                    Difference::Removed(prior) => {
                        removed.push(EntryId(prior.id));
                        return Ok(());
                    }
                };
                Ok(candidates.push(DiffEntry { tag, ..entry })?)
            },
        )?;
        Ok((candidates, removed, counts.unchanged))
    }

    async fn plan_removed(
        &self,
        sync: &ReadySync,
        state: &SyncState,
        removed: &[EntryId],
        writer: &mut PlanWriter,
    ) -> Result<(), EngineError> {
        let OnRemoved::Ignore = sync.on_removed;
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

fn update(progress: &dyn Progress, phase: Phase, read: u64) {
    progress.update(&Snapshot { phase, read, operations: 0, settled: 0, calls: 0, note: None });
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
        read: if wanted.sync.cursor.is_some() { counts.read.max(1) } else { counts.read },
        added: counts.add,
        changed: counts.change,
        removed: counts.gone,
        rejected: counts.rejected + counts.null_keys,
    };
    // A look at a part of the model says nothing of what left it.
    let partial = wanted.scope.key.is_some() || wanted.scope.limit.is_some();
    let mut guards = wanted.sync.guards.clone();
    guards.empty &= !partial;
    let refusals = guards
        .judge(&guarded, wanted.override_guards)
        .into_iter()
        .map(|refusal| (refusal.guard.to_owned(), refusal.message))
        .collect();
    let mut notes = Vec::new();
    if state.mapping.is_some_and(|mapping| mapping != wanted.sync.mapping.digest()) {
        notes.push("the mapping changed since the last run: every row was mapped again".to_owned());
    }
    // Nor does it move the cursor past rows that it did not take.
    let cursor = if partial { None } else { cursor };
    PlanFooter { counts, refusals, notes, cursor: cursor.or_else(|| state.cursor.clone()), null_key_rows }
}

fn check_identity(sync: &ReadySync, state: &SyncState) -> Result<(), EngineError> {
    let (old, new) = (&state.identity, sync.identity());
    let changed = [
        ("destination", old.destination.as_str(), new.destination.as_str()),
        ("object", old.object.as_str(), new.object.as_str()),
        ("match field", old.match_field.as_deref().unwrap_or("none"), new.match_field.as_deref().unwrap_or("none")),
    ];
    let Some((what, before, now)) = changed.into_iter().find(|(_, before, now)| before != now) else { return Ok(()) };
    let name = &sync.name;
    Err(EngineError::Refused {
        sync: name.clone(),
        message: format!(
            "its {what} was `{before}` and is now `{now}`; what was accepted there says nothing of the new one. \
             Put it back, give the sync a new name, or forget its snapshot with `ebb reset {name}`"
        ),
    })
}

fn check_first_run(sync: &ReadySync, scope: &Scope, state: &SyncState) -> Result<(), EngineError> {
    if !sync.is_events() || state.has_history || scope.first_run_send.is_some() || scope.adopt {
        return Ok(());
    }
    let message = "the state has no record of this sync of events. Say whether its first run sends every row \
                   (`--first-run send`) or takes them as sent (`--first-run adopt`)";
    Err(EngineError::Refused { sync: sync.name.clone(), message: message.to_owned() })
}

fn check_columns(sync: &ReadySync, columns: &[Column]) -> Result<Schema, EngineError> {
    for name in sync.primary_key.iter().chain(sync.cursor.iter().map(|(column, _)| column)) {
        if !columns.iter().any(|column| column.name == *name) {
            let names: Vec<_> = columns.iter().map(|column| format!("`{}`", column.name)).collect();
            return Err(
                sync.project_fault(format!("the model returns no column `{name}`; it has {}", names.join(", ")))
            );
        }
    }
    if let Some(fault) = sync.mapping.check(columns).into_iter().next() {
        let hint = fault.hint.map(|hint| format!("; {hint}")).unwrap_or_default();
        return Err(sync.project_fault(format!("field `{}`: {}{hint}", fault.path, fault.message)));
    }
    let fields: Vec<_> = columns.iter().map(|column| column.kind.field(&column.name)).collect();
    Ok(Schema::new(fields))
}

/// Whether a batch has the columns that its reader described.
fn has_columns(batch: &Batch, columns: &[Column]) -> bool {
    let schema = batch.rows.schema();
    let fields = schema.fields();
    fields.len() == columns.len()
        && fields
            .iter()
            .zip(columns)
            .all(|(field, column)| *field.name() == column.name && ColumnType::of(field) == Some(column.kind))
}

fn seen_set(index: &mut dyn PriorIndex, salt: uuid::Uuid) -> Result<Option<SeenSet>, EngineError> {
    let (salt, _) = salt.as_u64_pair();
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
