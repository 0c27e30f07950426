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

/// Entries in 256 parts, kept in memory up to a budget and spilled beyond it.
pub struct Buckets {
    parts: Vec<Vec<Entry>>,
    in_memory: usize,
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
    pub fn new(budget_bytes: usize, spill: Box<dyn Spill>) -> Self {
        Self {
            parts: vec![Vec::new(); 256],
            in_memory: 0,
            budget: budget_bytes / ENTRY_BYTES,
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

    /// Adds an entry to a part.
    ///
    /// # Errors
    /// [`SpillError`] when the budget is passed and the disk fails.
    pub fn push(&mut self, part: u8, entry: Entry) -> Result<(), SpillError> {
        if let Some(bucket) = self.parts.get_mut(usize::from(part)) {
            bucket.push(entry);
            self.in_memory += 1;
            self.count += 1;
        }
        if self.in_memory >= self.budget { self.spill_all() } else { Ok(()) }
    }

    fn spill_all(&mut self) -> Result<(), SpillError> {
        for (part, bucket) in (0_u8..=255).zip(self.parts.iter_mut()) {
            if bucket.is_empty() {
                continue;
            }
            self.buffer.clear();
            for entry in bucket.iter() {
                entry.write(&mut self.buffer);
            }
            self.spill.append(part, &self.buffer)?;
            *bucket = Vec::new();
        }
        self.in_memory = 0;
        self.spilled = true;
        Ok(())
    }

    /// Takes all entries of a part into `out` (cleared first), in the order in which they were added.
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
        if let Some(bucket) = self.parts.get_mut(usize::from(part)) {
            out.append(bucket);
        }
        Ok(())
    }
}
