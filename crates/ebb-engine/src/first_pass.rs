//! The first pass over a model's batches: every row's hashes into buckets, the rows that may be candidates into a file.

use arrow_array::{BooleanArray, UInt64Array};
use arrow_schema::Schema;
use ebb_plan::{Buckets, Entry as DiffEntry, Fingerprinter, Hashes, Parts, SeenSet};
use ebb_row::{Batch, Hash128, RowReader, Value};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::request::ReadySync;
use crate::staging::{SpillFile, StagedRows, Staging};

/// How many rows with a null key a plan names.
const NULL_KEY_SAMPLE: usize = 10;

/// What the first pass leaves: hashes in buckets, rows that may be candidates in a file.
pub(crate) struct ReadRows {
    pub(crate) entries: Buckets,
    /// Rows that came by, those that were not asked for included: ordinals are below it.
    pub(crate) ordinals: u64,
    pub(crate) staged: StagedRows,
    pub(crate) read: u64,
    pub(crate) null_keys: u64,
    pub(crate) null_key_rows: Vec<u64>,
    pub(crate) cursor: Option<String>,
}

/// The first pass over the model's batches.
pub(crate) struct FirstPass {
    fingerprinter: Fingerprinter,
    hashes: Hashes,
    seen: Option<SeenSet>,
    only: Option<Hash128>,
    entries: Buckets,
    staging: Staging,
    used: Vec<usize>,
    cursor_column: Option<usize>,
    reader: Option<RowReader>,
    highest: Option<(Value, String)>,
    read: u64,
    ordinal: u64,
    null_keys: u64,
    null_key_rows: Vec<u64>,
}

impl FirstPass {
    pub(crate) fn new(
        engine: &Engine,
        sync: &ReadySync,
        schema: &Schema,
        seen: Option<SeenSet>,
        only: Option<Hash128>,
    ) -> Result<Self, EngineError> {
        let reads = sync.mapping.reads();
        let names: Vec<&str> = schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .filter(|name| reads.every || reads.names.contains(*name))
            .collect();
        let salt = sync.mapping.digest();
        let fingerprinter = Fingerprinter::new(schema, &names, &sync.primary_key, salt)
            .map_err(|error| sync.project_fault(error.to_string()))?;
        let used: Vec<usize> = schema
            .fields()
            .iter()
            .enumerate()
            .filter(|(_, field)| names.contains(&field.name().as_str()) || sync.primary_key.contains(field.name()))
            .map(|(at, _)| at)
            .collect();
        let directory = &engine.options.work_directory;
        let id = engine.ids.any();
        let spill = SpillFile::create(directory, &format!("{id}.entries"))?;
        let cursor_column = sync.cursor.as_ref().and_then(|(name, _)| schema.column_with_name(name).map(|(at, _)| at));
        Ok(Self {
            fingerprinter,
            hashes: Hashes::default(),
            seen,
            only,
            entries: Buckets::new(Parts::ByKey, engine.options.spill_budget / 2, Box::new(spill)),
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

    /// Returns how many rows were read.
    pub(crate) fn read(&self) -> u64 {
        self.read
    }

    /// Takes one batch.
    pub(crate) fn take(&mut self, batch: &Batch) -> Result<(), EngineError> {
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
            self.entries.push(DiffEntry { key: *key, row: *row, ordinal, tag: 0 })?;
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
    fn note_cursor(&mut self, batch: &Batch) -> Result<(), EngineError> {
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

    /// Ends the pass.
    pub(crate) fn finish(self) -> Result<ReadRows, EngineError> {
        Ok(ReadRows {
            entries: self.entries,
            ordinals: self.ordinal,
            staged: self.staging.finish()?,
            read: self.read,
            null_keys: self.null_keys,
            null_key_rows: self.null_key_rows,
            cursor: self.highest.map(|(_, text)| text),
        })
    }
}

/// Orders two cells of one cursor column.
fn is_above(left: &Value, right: &Value) -> bool {
    use Value::{Date, Decimal, Float, Instant, Int, LocalTime, Text};
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
