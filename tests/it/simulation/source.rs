//! A source in memory, with the faults that a read can meet.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use async_trait::async_trait;
use ebb_row::{Batch, Column, ColumnType};
use ebb_source::{Query, ReadOptions, Reader, Source, SourceCheck, SourceError};
use ebb_testkit::{Model, ModelRow};

/// What a read meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SourceFault {
    None,
    /// No connection.
    Away,
    /// It breaks off after so many rows.
    Cut(usize),
    /// It never goes on after so many rows, until the statement's timeout.
    Hang(usize),
    /// The column `seats` is no longer there.
    Vanished,
    /// The column `seats` is text from now on.
    Flipped,
    /// The column `seats` becomes text after the first batch.
    FlippedMidway,
    /// It returns no rows.
    Empty,
}

/// The source; clones share their rows.
#[derive(Clone, Debug)]
pub(super) struct SimSource {
    state: Arc<Mutex<(Vec<ModelRow>, SourceFault)>>,
    batch_rows: usize,
}

impl SimSource {
    pub(super) fn new(batch_rows: usize) -> Self {
        Self { state: Arc::new(Mutex::new((Vec::new(), SourceFault::None))), batch_rows }
    }

    /// Says what the next read finds.
    pub(super) fn set(&self, rows: &[ModelRow], fault: SourceFault) {
        *self.state.lock().unwrap() = (rows.to_vec(), fault);
    }

    /// Returns how many rows a whole read has.
    pub(super) fn rows(&self) -> usize {
        let (rows, fault) = &*self.state.lock().unwrap();
        if *fault == SourceFault::Empty { 0 } else { rows.len() }
    }

    fn columns(fault: SourceFault) -> Vec<Column> {
        let mut columns = Model::columns();
        match fault {
            SourceFault::Vanished => columns.retain(|column| column.name != "seats"),
            SourceFault::Flipped => columns[3].kind = ColumnType::Text,
            SourceFault::None
            | SourceFault::Away
            | SourceFault::Cut(_)
            | SourceFault::Hang(_)
            | SourceFault::FlippedMidway
            | SourceFault::Empty => {}
        }
        columns
    }
}

#[async_trait]
impl Source for SimSource {
    async fn describe(&self, _query: &Query) -> Result<Vec<Column>, SourceError> {
        Ok(Self::columns(self.state.lock().unwrap().1))
    }

    async fn read(&self, _query: &Query, options: &ReadOptions) -> Result<Box<dyn Reader>, SourceError> {
        let (rows, fault) = self.state.lock().unwrap().clone();
        if fault == SourceFault::Away {
            return Err(SourceError::Connect { server: "memory".to_owned(), reason: "it is away".to_owned() });
        }
        let rows = if fault == SourceFault::Empty { Vec::new() } else { rows };
        let timeout = options.statement_timeout;
        let columns = Self::columns(fault);
        Ok(Box::new(SimReader { rows, fault, columns, at: 0, batch_rows: self.batch_rows, timeout }))
    }

    async fn check(&self) -> Result<SourceCheck, SourceError> {
        Ok(SourceCheck { server: "memory".to_owned(), warnings: Vec::new() })
    }
}

struct SimReader {
    rows: Vec<ModelRow>,
    fault: SourceFault,
    columns: Vec<Column>,
    at: usize,
    batch_rows: usize,
    timeout: Duration,
}

#[async_trait]
impl Reader for SimReader {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    async fn next(&mut self) -> Result<Option<Batch>, SourceError> {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let last = match self.fault {
            SourceFault::Cut(rows) | SourceFault::Hang(rows) => rows.min(self.rows.len()),
            SourceFault::None
            | SourceFault::Away
            | SourceFault::Vanished
            | SourceFault::Flipped
            | SourceFault::FlippedMidway
            | SourceFault::Empty => self.rows.len(),
        };
        let end = (self.at + self.batch_rows).min(last);
        let rows = &self.rows[self.at..end];
        let is_flipped = self.fault == SourceFault::Flipped
            || (self.fault == SourceFault::FlippedMidway && (self.at > 0 || self.rows.len() <= self.batch_rows));
        self.at = end;
        if !rows.is_empty() {
            return Ok(Some(if is_flipped { flipped(rows) } else { Model::batch(rows).unwrap() }));
        }
        match self.fault {
            SourceFault::Cut(_) => Err(SourceError::Broken("the server closed the connection".to_owned())),
            SourceFault::Hang(_) => {
                tokio::time::sleep(self.timeout).await;
                Err(SourceError::Timeout { seconds: self.timeout.as_secs() })
            }
            SourceFault::None
            | SourceFault::Away
            | SourceFault::Vanished
            | SourceFault::Flipped
            | SourceFault::FlippedMidway
            | SourceFault::Empty => Ok(None),
        }
    }
}

/// The same rows with `seats` as text.
fn flipped(rows: &[ModelRow]) -> Batch {
    let batch = Model::batch(rows).unwrap().rows;
    let seats: StringArray = rows.iter().map(|row| Some(row.seats.to_string())).collect();
    let mut fields: Vec<_> = batch.schema().fields().iter().map(|field| field.as_ref().clone()).collect();
    fields[3] = ColumnType::Text.field("seats");
    let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
    columns[3] = Arc::new(seats);
    let rows = RecordBatch::try_new(Arc::new(arrow_schema::Schema::new(fields)), columns).unwrap();
    Batch { rows, faults: Vec::new() }
}
