//! Candidates by their place in the read, one part in memory at a time.

use ebb_plan::{Buckets, Entry as DiffEntry};

use crate::error::EngineError;

/// Candidates in the order of their ordinals, one part in memory at a time.
#[derive(Default)]
pub(crate) struct CandidateQueue {
    next_part: u16,
    part: Vec<DiffEntry>,
    at: usize,
    missed: Vec<DiffEntry>,
}

impl CandidateQueue {
    /// Returns the candidate with this ordinal, if it is one; ordinals are asked in ascending order.
    pub(crate) fn find(&mut self, candidates: &mut Buckets, ordinal: u64) -> Result<Option<DiffEntry>, EngineError> {
        loop {
            match self.part.get(self.at) {
                Some(entry) if entry.ordinal == ordinal => {
                    self.at += 1;
                    return Ok(Some(*entry));
                }
                Some(entry) if entry.ordinal > ordinal => return Ok(None),
                Some(entry) => {
                    self.missed.push(*entry);
                    self.at += 1;
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

    /// Returns the candidates that were never asked for, since their rows were not staged: repeated keys of which a row is
    /// as it was, and the rare row whose digest met another's.
    pub(crate) fn rest(mut self, candidates: &mut Buckets) -> Result<Vec<DiffEntry>, EngineError> {
        loop {
            self.missed.extend(self.part.get(self.at..).unwrap_or_default());
            if !self.load(candidates)? {
                return Ok(self.missed);
            }
        }
    }
}
