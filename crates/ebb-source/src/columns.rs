//! Batches under construction: typed columns that cells are appended to.

use std::sync::Arc;

use arrow_array::builder::BooleanBuilder;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Float64Type, Int64Type, TimestampMicrosecondType, UInt64Type,
};
use arrow_array::{Array, ArrayRef, BinaryArray, PrimitiveArray, RecordBatch, RecordBatchOptions, StringArray};
use arrow_buffer::{Buffer, NullBufferBuilder, OffsetBuffer, ScalarBuffer};
use arrow_schema::{Schema, SchemaRef};
use ebb_row::{Batch, CellFault, Column, ColumnType};

use crate::{ReadOptions, SourceError};

/// Why a cell has no place in its column; never its value.
pub(crate) type Reason = &'static str;

/// The rows read so far of the next batch.
pub(crate) struct BatchBuilder {
    /// One for each column of the result, in order.
    pub(crate) columns: Vec<ColumnBuilder>,
    schema: SchemaRef,
    faults: Vec<CellFault>,
    rows: usize,
    bytes: usize,
    max_rows: usize,
    max_bytes: usize,
}

impl BatchBuilder {
    pub(crate) fn new(columns: &[Column], options: &ReadOptions) -> Self {
        let fields: Vec<_> = columns.iter().map(|column| column.kind.field(&column.name)).collect();
        Self {
            columns: columns.iter().map(|column| ColumnBuilder::new(column.kind)).collect(),
            schema: Arc::new(Schema::new(fields)),
            faults: Vec::new(),
            rows: 0,
            bytes: 0,
            max_rows: options.batch_rows.max(1),
            // Offsets are 32 bits wide; a cell may pass the bound by its own length, of 1 GiB at most.
            max_bytes: options.batch_bytes.min(1 << 29),
        }
    }

    /// Appends a null to a column because the cell of the row under construction has no place in it.
    pub(crate) fn fault(&mut self, column: usize, reason: Reason) {
        if let Some(builder) = self.columns.get_mut(column) {
            builder.null();
        }
        self.faults.push(CellFault { row: self.rows, column, reason: reason.to_owned() });
    }

    /// Ends the row under construction, which took about `bytes`.
    pub(crate) fn end_row(&mut self, bytes: usize) {
        self.rows += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.rows >= self.max_rows || self.bytes >= self.max_bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Returns the batch, leaving room for the next.
    pub(crate) fn take(&mut self) -> Result<Batch, SourceError> {
        let mut arrays = Vec::with_capacity(self.columns.len());
        for (index, column) in self.columns.iter_mut().enumerate() {
            let (array, not_text) = column.finish();
            for row in not_text {
                let reason = "the text is not valid UTF-8".to_owned();
                self.faults.push(CellFault { row, column: index, reason });
            }
            arrays.push(array);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)
            .map_err(|error| SourceError::Broken(format!("rows do not fit the columns: {error}")))?;
        self.rows = 0;
        self.bytes = 0;
        Ok(Batch { rows, faults: std::mem::take(&mut self.faults) })
    }
}

/// Cells of one column. Each append method is for the types that its name tells; another is a bug and panics.
pub(crate) enum ColumnBuilder {
    Boolean(BooleanBuilder),
    Integer(Fixed<Int64Type>),
    Unsigned(Fixed<UInt64Type>),
    Float(Fixed<Float64Type>),
    Timestamp(Fixed<TimestampMicrosecondType>, bool),
    Date(Fixed<Date32Type>),
    Variable(Variable, bool),
}

#[cold]
fn mismatch() -> ! {
    panic!("a cell is appended to a column of its own type")
}

impl ColumnBuilder {
    pub(crate) fn new(kind: ColumnType) -> Self {
        match kind {
            ColumnType::Boolean => Self::Boolean(BooleanBuilder::new()),
            ColumnType::Integer => Self::Integer(Fixed::default()),
            ColumnType::Unsigned => Self::Unsigned(Fixed::default()),
            ColumnType::Float => Self::Float(Fixed::default()),
            ColumnType::Timestamp => Self::Timestamp(Fixed::default(), true),
            ColumnType::LocalTimestamp => Self::Timestamp(Fixed::default(), false),
            ColumnType::Date => Self::Date(Fixed::default()),
            ColumnType::Decimal | ColumnType::Text | ColumnType::Json => Self::Variable(Variable::default(), true),
            ColumnType::Binary | ColumnType::Any => Self::Variable(Variable::default(), false),
        }
    }

    #[inline]
    pub(crate) fn null(&mut self) {
        match self {
            Self::Boolean(cells) => cells.append_null(),
            Self::Integer(cells) => cells.null(),
            Self::Unsigned(cells) => cells.null(),
            Self::Float(cells) => cells.null(),
            Self::Timestamp(cells, _) => cells.null(),
            Self::Date(cells) => cells.null(),
            Self::Variable(cells, _) => cells.null(),
        }
    }

    #[inline]
    pub(crate) fn boolean(&mut self, cell: bool) {
        if let Self::Boolean(cells) = self { cells.append_value(cell) } else { mismatch() }
    }

    #[inline]
    pub(crate) fn integer(&mut self, cell: i64) {
        if let Self::Integer(cells) = self { cells.push(cell) } else { mismatch() }
    }

    #[inline]
    pub(crate) fn unsigned(&mut self, cell: u64) {
        if let Self::Unsigned(cells) = self { cells.push(cell) } else { mismatch() }
    }

    #[inline]
    pub(crate) fn float(&mut self, cell: f64) {
        if let Self::Float(cells) = self { cells.push(cell) } else { mismatch() }
    }

    /// Appends microseconds since 1970-01-01 to a column of either kind of timestamp.
    #[inline]
    pub(crate) fn timestamp(&mut self, cell: i64) {
        if let Self::Timestamp(cells, _) = self { cells.push(cell) } else { mismatch() }
    }

    /// Appends days since 1970-01-01.
    #[inline]
    pub(crate) fn date(&mut self, cell: i32) {
        if let Self::Date(cells) = self { cells.push(cell) } else { mismatch() }
    }

    /// Appends bytes or a text.
    #[inline]
    pub(crate) fn bytes(&mut self, cell: &[u8]) {
        if let Self::Variable(cells, _) = self {
            cells.values.extend_from_slice(cell);
            cells.end_cell();
        } else {
            mismatch()
        }
    }

    /// Appends what `write` writes; nothing when it fails.
    #[inline]
    pub(crate) fn write(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<(), Reason>) -> Result<(), Reason> {
        let Self::Variable(cells, _) = self else { mismatch() };
        match write(&mut cells.values) {
            Ok(()) => {
                cells.end_cell();
                Ok(())
            }
            Err(reason) => {
                cells.values.truncate(cells.ended);
                Err(reason)
            }
        }
    }

    /// Returns the cells, and the rows whose text is no text (and now null).
    fn finish(&mut self) -> (ArrayRef, Vec<usize>) {
        let array: ArrayRef = match self {
            Self::Boolean(cells) => Arc::new(cells.finish()),
            Self::Integer(cells) => Arc::new(cells.finish()),
            Self::Unsigned(cells) => Arc::new(cells.finish()),
            Self::Float(cells) => Arc::new(cells.finish()),
            Self::Timestamp(cells, true) => Arc::new(cells.finish().with_timezone("UTC")),
            Self::Timestamp(cells, false) => Arc::new(cells.finish()),
            Self::Date(cells) => Arc::new(cells.finish()),
            Self::Variable(cells, false) => Arc::new(cells.finish()),
            Self::Variable(cells, true) => return text(&cells.finish()),
        };
        (array, Vec::new())
    }
}

/// Cells of one width.
pub(crate) struct Fixed<T: ArrowPrimitiveType> {
    values: Vec<T::Native>,
    nulls: NullBufferBuilder,
}

impl<T: ArrowPrimitiveType> Default for Fixed<T> {
    fn default() -> Self {
        Self { values: Vec::new(), nulls: NullBufferBuilder::new(0) }
    }
}

impl<T: ArrowPrimitiveType> Fixed<T> {
    #[inline]
    fn push(&mut self, cell: T::Native) {
        self.values.push(cell);
        self.nulls.append_non_null();
    }

    #[inline]
    fn null(&mut self) {
        self.values.push(T::Native::default());
        self.nulls.append_null();
    }

    fn finish(&mut self) -> PrimitiveArray<T> {
        let room = Vec::with_capacity(self.values.len());
        let values = std::mem::replace(&mut self.values, room);
        PrimitiveArray::new(ScalarBuffer::from(values), self.nulls.finish())
    }
}

/// Cells of any length.
pub(crate) struct Variable {
    values: Vec<u8>,
    /// Where the last whole cell ends.
    ended: usize,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
}

impl Default for Variable {
    fn default() -> Self {
        Self { values: Vec::new(), ended: 0, offsets: vec![0], nulls: NullBufferBuilder::new(0) }
    }
}

impl Variable {
    #[inline]
    fn end_cell(&mut self) {
        self.end();
        self.nulls.append_non_null();
    }

    #[inline]
    fn null(&mut self) {
        self.values.truncate(self.ended);
        self.end();
        self.nulls.append_null();
    }

    #[inline]
    fn end(&mut self) {
        self.ended = self.values.len();
        self.offsets.push(i32::try_from(self.ended).expect("a batch ends long before 2 GiB"));
    }

    fn finish(&mut self) -> BinaryArray {
        let (values_room, mut offsets_room) =
            (Vec::with_capacity(self.values.len()), Vec::with_capacity(self.offsets.len()));
        offsets_room.push(0);
        let values = std::mem::replace(&mut self.values, values_room);
        let offsets = std::mem::replace(&mut self.offsets, offsets_room);
        self.ended = 0;
        BinaryArray::new(OffsetBuffer::new(ScalarBuffer::from(offsets)), Buffer::from_vec(values), self.nulls.finish())
    }
}

/// Returns the cells as text. One check of the whole column is much cheaper than one for each cell.
fn text(cells: &BinaryArray) -> (ArrayRef, Vec<usize>) {
    let (offsets, values, nulls) = cells.clone().into_parts();
    if let Ok(array) = StringArray::try_new(offsets, values, nulls) {
        return (Arc::new(array), Vec::new());
    }
    let mut not_text = Vec::new();
    let array: StringArray = (0..cells.len())
        .map(|row| {
            if cells.is_null(row) {
                return None;
            }
            let cell = std::str::from_utf8(cells.value(row)).ok();
            if cell.is_none() {
                not_text.push(row);
            }
            cell
        })
        .collect();
    (Arc::new(array), not_text)
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;

    use super::*;

    #[test]
    fn text_that_is_no_utf8_is_a_fault_of_its_cell_alone() {
        let column = Column { name: "t".to_owned(), kind: ColumnType::Text, source_type: "text".to_owned() };
        let mut batch = BatchBuilder::new(&[column], &ReadOptions::default());
        for cell in ["a".as_bytes(), b"\xff", "ä".as_bytes(), &"ä".as_bytes()[..1], &"ä".as_bytes()[1..]] {
            batch.columns[0].bytes(cell);
            batch.end_row(1);
        }
        batch.columns[0].null();
        batch.end_row(1);
        let batch = batch.take().unwrap();
        let cells: Vec<_> = batch.rows.column(0).as_string::<i32>().iter().collect();
        assert_eq!(cells, [Some("a"), None, Some("ä"), None, None, None]);
        assert_eq!(batch.faults.iter().map(|fault| fault.row).collect::<Vec<_>>(), [1, 3, 4]);
    }

    #[test]
    fn a_failed_write_leaves_nothing_behind() {
        let mut column = ColumnBuilder::new(ColumnType::Text);
        column.bytes(b"one");
        let failed = column.write(|out| {
            out.extend_from_slice(b"half");
            Err("no")
        });
        assert_eq!(failed, Err("no"));
        column.null();
        column.bytes(b"two");
        let (array, _) = column.finish();
        assert_eq!(array.as_string::<i32>().iter().collect::<Vec<_>>(), [Some("one"), None, Some("two")]);
    }
}
