//! The working files of one plan: entries of the diff that do not fit in memory, and the rows that may be candidates.
//! They have no name once they are open, so a crash leaves nothing behind.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::Arc;

use arrow_array::{Array as _, ArrayRef, BooleanArray, RecordBatch, StringArray, UInt64Array};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::filter::filter_record_batch;
use ebb_plan::{Spill, SpillError};

use crate::error::EngineError;

/// Opens a file of the work directory and takes its name away.
fn nameless(directory: &Path, name: &str) -> Result<File, EngineError> {
    let path = directory.join(name);
    let failed = |error: std::io::Error| EngineError::Storage(format!("{}: {error}", path.display()));
    std::fs::create_dir_all(directory).map_err(failed)?;
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&path).map_err(failed)?;
    std::fs::remove_file(&path).map_err(failed)?;
    Ok(file)
}

/// A lent spill file: segments of 256 parts, appended in turn.
#[derive(Debug)]
pub(crate) struct SpillFile {
    file: File,
    end: u64,
    segments: Vec<Vec<(u64, usize)>>,
}

impl SpillFile {
    pub(crate) fn create(directory: &Path, name: &str) -> Result<Self, EngineError> {
        Ok(Self { file: nameless(directory, name)?, end: 0, segments: vec![Vec::new(); 256] })
    }
}

impl Spill for SpillFile {
    fn append(&mut self, part: u8, bytes: &[u8]) -> Result<(), SpillError> {
        self.file.seek(SeekFrom::Start(self.end)).map_err(|error| SpillError(error.to_string()))?;
        self.file.write_all(bytes).map_err(|error| SpillError(error.to_string()))?;
        if let Some(segments) = self.segments.get_mut(usize::from(part)) {
            segments.push((self.end, bytes.len()));
        }
        self.end += u64::try_from(bytes.len()).unwrap_or(0);
        Ok(())
    }

    fn read(&mut self, part: u8, out: &mut Vec<u8>) -> Result<(), SpillError> {
        for (at, length) in self.segments.get(usize::from(part)).into_iter().flatten() {
            self.file.seek(SeekFrom::Start(*at)).map_err(|error| SpillError(error.to_string()))?;
            let start = out.len();
            out.resize(start + length, 0);
            let room = out.get_mut(start..).unwrap_or_default();
            self.file.read_exact(room).map_err(|error| SpillError(error.to_string()))?;
        }
        Ok(())
    }
}

const ORDINAL: &str = "ebb.ordinal";
const FAULT: &str = "ebb.fault";

/// Rows that may be candidates, written while the model is read.
pub(crate) struct Staging {
    writer: StreamWriter<BufWriter<File>>,
    schema: SchemaRef,
    columns: Vec<usize>,
}

impl Staging {
    /// Prepares to stage some columns, by position, of batches of `schema`.
    pub(crate) fn create(
        directory: &Path,
        name: &str,
        schema: &Schema,
        columns: Vec<usize>,
    ) -> Result<Self, EngineError> {
        let mut fields: Vec<Arc<Field>> =
            columns.iter().filter_map(|at| schema.fields().get(*at).map(Arc::clone)).collect();
        fields.push(Arc::new(Field::new(ORDINAL, DataType::UInt64, false)));
        fields.push(Arc::new(Field::new(FAULT, DataType::Utf8, true)));
        let schema = Arc::new(Schema::new(fields));
        let file = BufWriter::with_capacity(1 << 18, nameless(directory, name)?);
        let writer = StreamWriter::try_new(file, &schema).map_err(|error| storage(&error))?;
        Ok(Self { writer, schema, columns })
    }

    /// Stages the chosen rows of a batch; `ordinals` has a number for each row of it, `faults` a reason for some.
    pub(crate) fn push(
        &mut self,
        rows: &RecordBatch,
        chosen: &BooleanArray,
        ordinals: UInt64Array,
        faults: &[(usize, String)],
    ) -> Result<(), EngineError> {
        if chosen.true_count() == 0 {
            return Ok(());
        }
        let mut arrays: Vec<ArrayRef> = self.columns.iter().map(|at| Arc::clone(rows.column(*at))).collect();
        arrays.push(Arc::new(ordinals));
        let mut reasons = vec![None; rows.num_rows()];
        for (row, reason) in faults {
            if let Some(slot) = reasons.get_mut(*row) {
                *slot = Some(reason.as_str());
            }
        }
        arrays.push(Arc::new(StringArray::from(reasons)));
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays).map_err(|error| storage(&error))?;
        let batch = if chosen.true_count() == batch.num_rows() {
            batch
        } else {
            filter_record_batch(&batch, chosen).map_err(|error| storage(&error))?
        };
        self.writer.write(&batch).map_err(|error| storage(&error))
    }

    /// Turns to reading.
    pub(crate) fn finish(mut self) -> Result<StagedRows, EngineError> {
        self.writer.finish().map_err(|error| storage(&error))?;
        let buffered = self.writer.into_inner().map_err(|error| storage(&error))?;
        let mut file = buffered.into_inner().map_err(|error| EngineError::Storage(error.to_string()))?;
        file.seek(SeekFrom::Start(0)).map_err(|error| EngineError::Storage(error.to_string()))?;
        let reader =
            StreamReader::try_new(BufReader::with_capacity(1 << 18, file), None).map_err(|error| storage(&error))?;
        let columns: Vec<Arc<Field>> = self.schema.fields().iter().take(self.columns.len()).map(Arc::clone).collect();
        Ok(StagedRows { reader, columns: Schema::new(columns) })
    }
}

/// Staged rows in the order in which they were read.
pub(crate) struct StagedRows {
    reader: StreamReader<BufReader<File>>,
    columns: Schema,
}

/// Staged rows with their ordinals and faults.
pub(crate) struct StagedBatch {
    pub(crate) rows: RecordBatch,
    pub(crate) ordinals: UInt64Array,
    pub(crate) faults: StringArray,
}

impl StagedRows {
    /// Returns the staged columns.
    pub(crate) fn columns(&self) -> &Schema {
        &self.columns
    }

    /// Returns the next batch; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<StagedBatch>, EngineError> {
        let Some(batch) = self.reader.next() else { return Ok(None) };
        let batch = batch.map_err(|error| storage(&error))?;
        let count = self.columns.fields().len();
        let damaged = || EngineError::Storage("the working file of the plan is damaged".to_owned());
        let ordinals = batch.column(count).as_any().downcast_ref::<UInt64Array>().ok_or_else(damaged)?.clone();
        let faults = batch.column(count + 1).as_any().downcast_ref::<StringArray>().ok_or_else(damaged)?.clone();
        let kept: Vec<usize> = (0..count).collect();
        let rows = batch.project(&kept).map_err(|error| storage(&error))?;
        Ok(Some(StagedBatch { rows, ordinals, faults }))
    }
}

fn storage(error: &arrow_schema::ArrowError) -> EngineError {
    EngineError::Storage(format!("the working file of the plan: {error}"))
}
