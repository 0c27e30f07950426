//! Candidates by their place in the read, one part in memory at a time.

use ebb_plan::{Buckets, Entry as DiffEntry};

use crate::error::EngineError;

/// Candidates in the order of their ordinals, one part in memory at a time.
#[derive(Default)]
pub(crate) struct CandidateQueue {
    next_part: u16,
    part: Vec<DiffEntry>,
    at: usize,
    missed: u64,
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
                Some(_) => {
                    self.at += 1;
                    self.missed += 1;
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

    /// Counts the candidates that were never asked for.
    pub(crate) fn rest(&mut self, candidates: &mut Buckets) -> Result<u64, EngineError> {
        loop {
            self.missed += u64::try_from(self.part.len() - self.at).unwrap_or(0);
            self.part.clear();
            self.at = 0;
            if !self.load(candidates)? {
                return Ok(self.missed);
            }
        }
    }
}
