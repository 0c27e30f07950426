use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Float64Type, Int64Type, TimestampMicrosecondType, UInt64Type,
};
use arrow_array::{Array, RecordBatch};
use arrow_buffer::ToByteSlice;
use arrow_schema::Schema;
use ebb_row::{Batch, ColumnType, Hash128, RowKey, RowReader};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128, xxh3_128_with_seed};

/// The version of the fingerprint; a new one makes every row a candidate once, and re-sends no equal record.
pub const HASH_VERSION: u32 = 1;

/// Why batches cannot be fingerprinted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FingerprintError {
    /// A column that is to be read is not there.
    #[error("the model returns no column `{0}`")]
    Missing(String),
    /// A column is of an Arrow type that sources do not yield.
    #[error("column `{0}` has a type that cannot be read")]
    Type(String),
}

/// Hashes of a batch's rows, in row order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hashes {
    /// Hash of each row's key; `None` where a key column is null or has no text.
    pub keys: Vec<Option<Hash128>>,
    /// Fingerprint of each row.
    pub rows: Vec<Hash128>,
}

/// Turns batches of one schema into hashes of keys and rows.
///
/// A row's fingerprint is the wrapping sum of its columns' hashes, each seeded by the column's name and type, by
/// [`HASH_VERSION`] and by a salt (the mapping's digest): it does not depend on the order of columns, tells types and
/// nulls apart, and an edited mapping makes every row a candidate. A key's hash is [`RowKey::hash`].
#[derive(Debug)]
pub struct Fingerprinter {
    columns: Vec<(usize, ColumnType, u64)>,
    keys: Vec<usize>,
    text_key: Option<(usize, ColumnType)>,
    reader: RowReader,
}

impl Fingerprinter {
    /// Prepares for batches of `schema`: `used` columns are fingerprinted, `keys` name the row in this order.
    ///
    /// # Errors
    /// [`FingerprintError`].
    pub fn new(schema: &Schema, used: &[&str], keys: &[String], salt: Hash128) -> Result<Self, FingerprintError> {
        let find = |name: &str| -> Result<(usize, ColumnType), FingerprintError> {
            let (at, field) =
                schema.column_with_name(name).ok_or_else(|| FingerprintError::Missing(name.to_owned()))?;
            let kind = ColumnType::of(field).ok_or_else(|| FingerprintError::Type(name.to_owned()))?;
            Ok((at, kind))
        };
        let mut columns = Vec::with_capacity(used.len());
        for name in used {
            let (at, kind) = find(name)?;
            let seed = format!("{HASH_VERSION}\0{}\0{name}\0{salt}", kind.word());
            columns.push((at, kind, xxh3_64(seed.as_bytes())));
        }
        let key_columns = keys.iter().map(|name| find(name)).collect::<Result<Vec<_>, _>>()?;
        let reader = RowReader::new(schema).ok_or_else(|| FingerprintError::Type("?".to_owned()))?;
        let text_key = match key_columns.as_slice() {
            [(at, kind @ (ColumnType::Text | ColumnType::Integer | ColumnType::Unsigned))] => Some((*at, *kind)),
            _ => None,
        };
        Ok(Self { columns, keys: key_columns.into_iter().map(|(at, _)| at).collect(), text_key, reader })
    }

    /// Hashes a batch into `hashes` (cleared first). A row with an unreadable cell in a used column gets a fingerprint
    /// of its own, one with an unreadable key gets no key.
    pub fn hash(&self, batch: &Batch, hashes: &mut Hashes) {
        hashes.rows.clear();
        hashes.rows.resize(batch.rows.num_rows(), Hash128::default());
        for (at, kind, seed) in &self.columns {
            add_column(&batch.rows, *at, *kind, *seed, &mut hashes.rows);
        }
        hashes.keys.clear();
        self.hash_keys(&batch.rows, &mut hashes.keys);
        for fault in &batch.faults {
            if self.keys.contains(&fault.column)
                && let Some(key) = hashes.keys.get_mut(fault.row)
            {
                *key = None;
            }
            if self.columns.iter().any(|(at, _, _)| *at == fault.column)
                && let Some(row) = hashes.rows.get_mut(fault.row)
            {
                row.0 = row.0.wrapping_add(xxh3_128(fault.reason.as_bytes()));
            }
        }
    }

    fn hash_keys(&self, rows: &RecordBatch, keys: &mut Vec<Option<Hash128>>) {
        let Some((at, kind)) = self.text_key else {
            keys.extend((0..rows.num_rows()).map(|index| self.key(rows, index).map(|key| key.hash())));
            return;
        };
        let column = rows.column(at);
        match kind {
            ColumnType::Text => {
                keys.extend(column.as_string::<i32>().iter().map(|text| text.map(|text| Hash128::of(text.as_bytes()))));
            }
            ColumnType::Integer => hash_digits(column.as_primitive::<Int64Type>().iter(), keys),
            ColumnType::Unsigned => hash_digits(column.as_primitive::<UInt64Type>().iter(), keys),
            ColumnType::Boolean
            | ColumnType::Float
            | ColumnType::Decimal
            | ColumnType::Binary
            | ColumnType::Timestamp
            | ColumnType::LocalTimestamp
            | ColumnType::Date
            | ColumnType::Json
            | ColumnType::Any => {}
        }
    }

    /// Returns the key of a row; `None` where a key column is null or has no text.
    pub fn key(&self, rows: &RecordBatch, index: usize) -> Option<RowKey> {
        let row = self.reader.row(rows, index).ok()?;
        let values: Vec<_> = self.keys.iter().map(|at| row.at(*at)).collect::<Option<_>>()?;
        RowKey::of(&values)
    }
}

fn hash_digits<N: std::fmt::Display>(numbers: impl Iterator<Item = Option<N>>, keys: &mut Vec<Option<Hash128>>) {
    use std::io::Write as _;
    let mut digits = Vec::with_capacity(20);
    for number in numbers {
        keys.push(number.and_then(|number| {
            digits.clear();
            write!(digits, "{number}").ok()?;
            Some(Hash128::of(&digits))
        }));
    }
}

fn add_column(rows: &RecordBatch, at: usize, kind: ColumnType, seed: u64, out: &mut [Hash128]) {
    let column = rows.column(at);
    match kind {
        ColumnType::Boolean => {
            add(column.as_boolean().iter(), seed, out, |flag, seed| xxh3_128_with_seed(&[u8::from(flag)], seed));
        }
        ColumnType::Integer => add_numbers::<Int64Type>(column, seed, out),
        ColumnType::Unsigned => add_numbers::<UInt64Type>(column, seed, out),
        ColumnType::Float => {
            // Every NaN is one value, and so are 0 and -0: they are the same record.
            add(column.as_primitive::<Float64Type>().iter(), seed, out, |number, seed| {
                let number = if number.is_nan() { f64::NAN } else { number + 0.0 };
                xxh3_128_with_seed(&number.to_bits().to_le_bytes(), seed)
            });
        }
        ColumnType::Timestamp | ColumnType::LocalTimestamp => {
            add_numbers::<TimestampMicrosecondType>(column, seed, out);
        }
        ColumnType::Date => add_numbers::<Date32Type>(column, seed, out),
        ColumnType::Decimal | ColumnType::Text | ColumnType::Json => {
            add(column.as_string::<i32>().iter(), seed, out, |text, seed| xxh3_128_with_seed(text.as_bytes(), seed));
        }
        ColumnType::Binary | ColumnType::Any => {
            add(column.as_binary::<i32>().iter(), seed, out, xxh3_128_with_seed);
        }
    }
}

fn add_numbers<T>(column: &dyn Array, seed: u64, out: &mut [Hash128])
where
    T: ArrowPrimitiveType,
    T::Native: ToByteSlice,
{
    add(column.as_primitive::<T>().iter(), seed, out, |number, seed| xxh3_128_with_seed(number.to_byte_slice(), seed));
}

/// Adds each value's hash to its row; a null adds a hash that no value has but by chance.
fn add<V>(values: impl Iterator<Item = Option<V>>, seed: u64, out: &mut [Hash128], with: impl Fn(V, u64) -> u128) {
    let null = xxh3_128_with_seed(b"\0null", !seed);
    for (row, value) in out.iter_mut().zip(values) {
        row.0 = row.0.wrapping_add(value.map_or(null, |value| with(value, seed)));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray};
    use ebb_row::CellFault;

    use super::*;

    fn batch(columns: Vec<(&str, ColumnType, ArrayRef)>) -> Batch {
        let fields: Vec<_> = columns.iter().map(|(name, kind, _)| kind.field(name)).collect();
        let arrays = columns.into_iter().map(|(_, _, array)| array).collect();
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).expect("a batch");
        Batch { rows, faults: Vec::new() }
    }

    fn text(values: &[Option<&str>]) -> ArrayRef {
        Arc::new(values.iter().copied().collect::<StringArray>())
    }

    fn hash(batch: &Batch, used: &[&str], keys: &[&str], salt: u128) -> Hashes {
        let keys: Vec<String> = keys.iter().map(|name| (*name).to_owned()).collect();
        let fingerprinter =
            Fingerprinter::new(batch.rows.schema_ref(), used, &keys, Hash128(salt)).expect("known columns");
        let mut hashes = Hashes::default();
        fingerprinter.hash(batch, &mut hashes);
        hashes
    }

    #[test]
    fn the_order_of_columns_does_not_matter_and_their_content_does() {
        let one = batch(vec![("a", ColumnType::Text, text(&[Some("x")])), ("b", ColumnType::Text, text(&[Some("y")]))]);
        let two = batch(vec![("b", ColumnType::Text, text(&[Some("y")])), ("a", ColumnType::Text, text(&[Some("x")]))]);
        let swapped =
            batch(vec![("a", ColumnType::Text, text(&[Some("y")])), ("b", ColumnType::Text, text(&[Some("x")]))]);
        assert_eq!(hash(&one, &["a", "b"], &["a"], 0), hash(&two, &["a", "b"], &["a"], 0));
        assert_ne!(hash(&one, &["a", "b"], &["a"], 0).rows, hash(&swapped, &["a", "b"], &["a"], 0).rows);
        assert_ne!(hash(&one, &["a", "b"], &["a"], 0).rows, hash(&one, &["a", "b"], &["a"], 1).rows, "the salt counts");
    }

    #[test]
    fn types_and_nulls_are_told_apart() {
        let rows = |kind, array: ArrayRef| hash(&batch(vec![("a", kind, array)]), &["a"], &[], 0).rows;
        let forms = [
            rows(ColumnType::Text, text(&[Some("1")])),
            rows(ColumnType::Decimal, text(&[Some("1")])),
            rows(ColumnType::Text, text(&[Some("")])),
            rows(ColumnType::Text, text(&[None])),
            rows(ColumnType::Integer, Arc::new(Int64Array::from(vec![1]))),
            rows(ColumnType::Boolean, Arc::new(BooleanArray::from(vec![true]))),
            rows(ColumnType::Float, Arc::new(Float64Array::from(vec![1.0]))),
        ];
        for (at, form) in forms.iter().enumerate() {
            assert!(forms.iter().skip(at + 1).all(|other| other != form), "form {at} is unique");
        }
        let zeros = rows(ColumnType::Float, Arc::new(Float64Array::from(vec![0.0, -0.0])));
        assert_eq!(zeros[0], zeros[1]);
    }

    #[test]
    fn keys_hash_their_text_whatever_the_type() {
        let texts = batch(vec![("id", ColumnType::Text, text(&[Some("42"), None]))]);
        let numbers = batch(vec![("id", ColumnType::Integer, Arc::new(Int64Array::from(vec![Some(42), None])))]);
        let expected = vec![Some(RowKey::new("42").hash()), None];
        assert_eq!(hash(&texts, &[], &["id"], 0).keys, expected);
        assert_eq!(hash(&numbers, &[], &["id"], 0).keys, expected);
        let pair = batch(vec![
            ("a", ColumnType::Integer, Arc::new(Int64Array::from(vec![1]))),
            ("b", ColumnType::Text, text(&[Some("x")])),
        ]);
        assert_eq!(hash(&pair, &[], &["b", "a"], 0).keys, vec![Some(RowKey::new(r#"["x",1]"#).hash())]);
    }

    #[test]
    fn an_unreadable_cell_is_not_a_null() {
        let sound = batch(vec![("id", ColumnType::Text, text(&[Some("k")])), ("n", ColumnType::Text, text(&[None]))]);
        let mut broken = sound.clone();
        broken.faults.push(CellFault { row: 0, column: 1, reason: "not a number".to_owned() });
        let (sound, broken) = (hash(&sound, &["n"], &["id"], 0), hash(&broken, &["n"], &["id"], 0));
        assert_ne!(sound.rows, broken.rows);
        assert_eq!(sound.keys, broken.keys);
    }
}
