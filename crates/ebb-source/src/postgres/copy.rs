//! The stream of a binary COPY, cut into rows.
//!
//! A header of 11 bytes, flags and an extension; then for each row the number of its cells and each cell's length and
//! bytes; then -1 (Postgres 15, "COPY", "Binary Format").

use super::cells;
use super::kinds::Kind;
use crate::SourceError;
use crate::columns::BatchBuilder;

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// The signature, the flags and the extension's length.
const HEADER_BYTES: usize = SIGNATURE.len() + 8;
const NULL: i32 = -1;

/// Where in the stream a [`Decoder`] is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Header,
    Rows,
    Ended,
}

/// Takes the stream chunk by chunk; rows may lie across chunks.
pub(super) struct Decoder {
    kinds: Vec<Kind>,
    part: Part,
    /// The beginning of a row whose rest is in the next chunk.
    kept: Vec<u8>,
}

impl Decoder {
    pub(super) fn new(kinds: Vec<Kind>) -> Self {
        Self { kinds, part: Part::Header, kept: Vec::new() }
    }

    /// Whether the server ended the stream.
    pub(super) fn has_ended(&self) -> bool {
        self.part == Part::Ended && self.kept.is_empty()
    }

    /// Returns what was kept of earlier chunks with this one behind it. Hand what [`Decoder::row`] leaves of it to
    /// [`Decoder::keep`].
    pub(super) fn join(&mut self, chunk: &[u8]) -> Option<Vec<u8>> {
        if self.kept.is_empty() {
            return None;
        }
        let mut joined = std::mem::take(&mut self.kept);
        joined.extend_from_slice(chunk);
        Some(joined)
    }

    /// Keeps the beginning of what the next chunk goes on with.
    pub(super) fn keep(&mut self, rest: &[u8]) {
        self.kept.extend_from_slice(rest);
    }

    /// Appends the first row of `bytes` to `batch` and returns what follows it; `None` when the row is not whole.
    ///
    /// The header and the end are taken too, without a row.
    pub(super) fn row<'a>(
        &mut self,
        bytes: &'a [u8],
        batch: &mut BatchBuilder,
    ) -> Result<Option<&'a [u8]>, SourceError> {
        match self.part {
            Part::Header => Ok(self.header(bytes)?),
            Part::Ended if bytes.is_empty() => Ok(None),
            Part::Ended => Err(broken("rows after the end")),
            Part::Rows => {
                let Some((count, cells)) = bytes.split_first_chunk::<2>() else { return Ok(None) };
                let count = i16::from_be_bytes(*count);
                if count == -1 {
                    self.part = Part::Ended;
                    return Ok(Some(cells));
                }
                if usize::try_from(count) != Ok(self.kinds.len()) {
                    return Err(broken("a row of another number of columns than described"));
                }
                let Some(length) = row_length(cells, self.kinds.len())? else { return Ok(None) };
                let (row, rest) = cells.split_at_checked(length).ok_or_else(|| broken("a row of no length"))?;
                self.append(row, batch)?;
                Ok(Some(rest))
            }
        }
    }

    fn header<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<&'a [u8]>, SourceError> {
        let Some((header, rest)) = bytes.split_at_checked(HEADER_BYTES) else { return Ok(None) };
        let extension = header.strip_prefix(SIGNATURE).and_then(|fields| fields.split_first_chunk::<4>());
        let (flags, extension) = extension.ok_or_else(|| broken("the signature of a binary COPY is missing"))?;
        // The high half of the flags is for changes that a reader must know; bit 16 put OIDs into rows long ago.
        if flags.starts_with(&[0, 0]) {
            let length = cells::int4(extension).ok().and_then(|length| usize::try_from(length).ok());
            let length = length.ok_or_else(|| broken("a header of no length"))?;
            let after = rest.get(length..);
            if after.is_some() {
                self.part = Part::Rows;
            }
            Ok(after)
        } else {
            Err(broken("a binary COPY of an unknown kind"))
        }
    }

    #[inline]
    fn append(&self, row: &[u8], batch: &mut BatchBuilder) -> Result<(), SourceError> {
        let mut rest = row;
        for (index, kind) in self.kinds.iter().enumerate() {
            let Some((length, after)) = split_length(rest) else { return Err(broken("a cell of no length")) };
            let Some(column) = batch.columns.get_mut(index) else { return Err(broken("a cell of no column")) };
            if length == NULL {
                column.null();
                rest = after;
                continue;
            }
            let cell = usize::try_from(length).ok().and_then(|length| after.split_at_checked(length));
            let Some((cell, after)) = cell else { return Err(broken("a cell of no length")) };
            if let Err(reason) = cells::append(kind, cell, column) {
                batch.fault(index, reason);
            }
            rest = after;
        }
        batch.end_row(row.len());
        Ok(())
    }
}

#[inline]
fn split_length(bytes: &[u8]) -> Option<(i32, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    Some((i32::from_be_bytes(*length), rest))
}

/// Returns the bytes of `columns` cells; `None` when `bytes` ends before they do.
#[inline]
fn row_length(bytes: &[u8], columns: usize) -> Result<Option<usize>, SourceError> {
    let mut rest = bytes;
    for _ in 0..columns {
        let Some((length, after)) = split_length(rest) else { return Ok(None) };
        if length == NULL {
            rest = after;
            continue;
        }
        let length = usize::try_from(length).map_err(|_| broken("a cell of negative length"))?;
        let Some(after) = after.get(length..) else { return Ok(None) };
        rest = after;
    }
    Ok(Some(bytes.len() - rest.len()))
}

fn broken(what: &str) -> SourceError {
    SourceError::Broken(format!("the server's binary COPY has {what}"))
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;
    use ebb_row::{Column, ColumnType};

    use super::*;
    use crate::ReadOptions;

    fn column(name: &str, kind: ColumnType) -> Column {
        Column { name: name.to_owned(), kind, source_type: String::new() }
    }

    fn stream() -> Vec<u8> {
        let mut stream = [SIGNATURE, &[0; 4], &[0, 0, 0, 2], b"xx"].concat();
        for (id, name) in [(1_i32, Some("one")), (2, None), (3, Some(""))] {
            stream.extend_from_slice(&[0, 2, 0, 0, 0, 4]);
            stream.extend_from_slice(&id.to_be_bytes());
            let length = name.map_or(-1, |name| i32::try_from(name.len()).unwrap());
            stream.extend_from_slice(&length.to_be_bytes());
            stream.extend_from_slice(name.unwrap_or_default().as_bytes());
        }
        stream.extend_from_slice(&[0xff, 0xff]);
        stream
    }

    fn decode(chunks: impl Iterator<Item = Vec<u8>>) -> Result<(Vec<i64>, bool), SourceError> {
        let columns = [column("id", ColumnType::Integer), column("name", ColumnType::Text)];
        let mut batch = BatchBuilder::new(&columns, &ReadOptions::default());
        let mut decoder = Decoder::new(vec![Kind::Int4, Kind::Text]);
        for chunk in chunks {
            let joined = decoder.join(&chunk);
            let mut rest = joined.as_deref().unwrap_or(&chunk);
            while let Some(after) = decoder.row(rest, &mut batch)? {
                rest = after;
            }
            decoder.keep(rest);
        }
        let rows = batch.take()?.rows;
        let ids = rows.column(0).as_primitive::<Int64Type>().values().to_vec();
        assert_eq!(rows.column(1).as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["one", ""]);
        Ok((ids, decoder.has_ended()))
    }

    #[test]
    fn rows_may_lie_across_chunks_of_any_size() {
        let stream = stream();
        for size in 1..=stream.len() {
            let (ids, ended) = decode(stream.chunks(size).map(<[u8]>::to_vec)).unwrap();
            assert_eq!((ids, ended), (vec![1, 2, 3], true), "chunks of {size}");
        }
    }

    #[test]
    fn a_stream_that_stops_short_has_not_ended() {
        let stream = stream();
        let (_, ended) = decode(std::iter::once(stream[..stream.len() - 2].to_vec())).unwrap();
        assert!(!ended);
    }

    #[test]
    fn a_damaged_stream_is_an_error() {
        for (at, byte) in [(0, b'x'), (11, 1), (15, 0xff), (22, 3), (23, 0x80)] {
            let mut stream = stream();
            stream[at] = byte;
            assert!(matches!(decode(std::iter::once(stream)), Err(SourceError::Broken(_))), "byte {at}");
        }
        let mut stream = stream();
        stream.push(0);
        assert!(decode(std::iter::once(stream)).is_err());
    }
}
