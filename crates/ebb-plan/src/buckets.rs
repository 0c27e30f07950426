use ebb_row::Hash128;

/// Why spilled entries could not be written or read back.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep the diff's working file: {0}")]
pub struct SpillError(pub String);

/// A lent working file: bytes are appended to one of 256 parts and read back part by part.
pub trait Spill: Send {
    /// Appends to a part.
    ///
    /// # Errors
    /// [`SpillError`] when the disk fails.
    fn append(&mut self, part: u8, bytes: &[u8]) -> Result<(), SpillError>;

    /// Appends everything of a part to `out`, in the order in which it was appended.
    ///
    /// # Errors
    /// [`SpillError`] when the disk fails.
    fn read(&mut self, part: u8, out: &mut Vec<u8>) -> Result<(), SpillError>;
}

/// One row of the model on its way through the diff.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Hash of its key.
    pub key: Hash128,
    /// Its fingerprint.
    pub row: Hash128,
    /// Its position in the read, from 0.
    pub ordinal: u64,
    /// A number that travels with it: the prior entry, or flags.
    pub tag: u64,
}

const ENTRY_BYTES: usize = 48;

impl Entry {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.key.0.to_le_bytes());
        out.extend_from_slice(&self.row.0.to_le_bytes());
        out.extend_from_slice(&self.ordinal.to_le_bytes());
        out.extend_from_slice(&self.tag.to_le_bytes());
    }

    fn read(bytes: &[u8; ENTRY_BYTES]) -> Option<Self> {
        let (key, rest) = bytes.split_first_chunk::<16>()?;
        let (row, rest) = rest.split_first_chunk::<16>()?;
        let (ordinal, rest) = rest.split_first_chunk::<8>()?;
        let (tag, _) = rest.split_first_chunk::<8>()?;
        Some(Self {
            key: Hash128(u128::from_le_bytes(*key)),
            row: Hash128(u128::from_le_bytes(*row)),
            ordinal: u64::from_le_bytes(*ordinal),
            tag: u64::from_le_bytes(*tag),
        })
    }
}

/// What decides an entry's part, of 256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parts {
    /// The top 8 bits of the key: parts in order are keys in order.
    ByKey,
    /// The place in a read of `total` rows: parts in order are rows in order.
    ByOrdinal {
        /// How many rows were read.
        total: u64,
    },
}

impl Parts {
    fn of(self, entry: &Entry) -> u8 {
        match self {
            Self::ByKey => {
                let [part, ..] = entry.key.to_bytes();
                part
            }
            Self::ByOrdinal { total } => {
                u8::try_from(u128::from(entry.ordinal) * 256 / u128::from(total.max(1))).unwrap_or(u8::MAX)
            }
        }
    }
}

/// Entries in 256 parts, kept in memory up to a budget and spilled beyond it.
///
/// They stand in one flat list, so that the budget is the memory: 256 lists that grow by doubling would take twice it.
pub struct Buckets {
    entries: Vec<Entry>,
    by: Parts,
    /// Where each part begins, once the entries are sorted by part.
    starts: Option<Vec<usize>>,
    budget: usize,
    count: u64,
    spilled: bool,
    spill: Box<dyn Spill>,
    buffer: Vec<u8>,
}

impl std::fmt::Debug for Buckets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Buckets").field("count", &self.count).field("spilled", &self.spilled).finish_non_exhaustive()
    }
}

impl Buckets {
    /// Makes empty buckets that hold about `budget_bytes` in memory.
    pub fn new(by: Parts, budget_bytes: usize, spill: Box<dyn Spill>) -> Self {
        Self {
            entries: Vec::new(),
            by,
            starts: None,
            budget: (budget_bytes / size_of::<Entry>()).max(1),
            count: 0,
            spilled: false,
            spill,
            buffer: Vec::new(),
        }
    }

    /// Returns how many entries there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Adds an entry. Nothing is added once a part was taken.
    ///
    /// # Errors
    /// [`SpillError`] when the budget is passed and the disk fails.
    pub fn push(&mut self, entry: Entry) -> Result<(), SpillError> {
        debug_assert!(self.starts.is_none(), "a part was taken");
        if self.entries.len() >= self.budget {
            self.spill_all()?;
        }
        if self.entries.len() == self.entries.capacity() {
            // Grows by half, and never past the budget.
            let more = (self.entries.len() / 2).max(1024).min(self.budget - self.entries.len());
            self.entries.reserve_exact(more);
        }
        self.entries.push(entry);
        self.count += 1;
        Ok(())
    }

    fn spill_all(&mut self) -> Result<(), SpillError> {
        let by = self.by;
        self.entries.sort_unstable_by_key(|entry| by.of(entry));
        for group in self.entries.chunk_by(|left, right| by.of(left) == by.of(right)) {
            let Some(first) = group.first() else { continue };
            self.buffer.clear();
            for entry in group {
                entry.write(&mut self.buffer);
            }
            self.spill.append(by.of(first), &self.buffer)?;
        }
        self.entries.clear();
        self.spilled = true;
        Ok(())
    }

    /// Takes all entries of a part into `out` (cleared first), in no order.
    ///
    /// # Errors
    /// [`SpillError`] when the disk fails or its content is not whole.
    pub fn take(&mut self, part: u8, out: &mut Vec<Entry>) -> Result<(), SpillError> {
        out.clear();
        if self.spilled {
            self.buffer.clear();
            self.spill.read(part, &mut self.buffer)?;
            let (chunks, rest) = self.buffer.as_chunks::<ENTRY_BYTES>();
            if !rest.is_empty() {
                return Err(SpillError("it was cut short".to_owned()));
            }
            out.extend(chunks.iter().filter_map(Entry::read));
        }
        let (entries, by) = (&mut self.entries, self.by);
        let starts = self.starts.get_or_insert_with(|| {
            entries.sort_unstable_by_key(|entry| by.of(entry));
            (0..=256_u16).map(|part| entries.partition_point(|entry| u16::from(by.of(entry)) < part)).collect()
        });
        let (Some(start), Some(end)) = (starts.get(usize::from(part)), starts.get(usize::from(part) + 1)) else {
            return Ok(());
        };
        out.extend(self.entries.get(*start..*end).unwrap_or_default());
        Ok(())
    }
}
