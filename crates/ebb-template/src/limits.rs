use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::Fault;

/// The longest template, in bytes.
pub(crate) const SOURCE_BYTES: usize = 64 * 1024;
/// The deepest nesting of blocks, and of brackets in an expression.
pub(crate) const NESTING: usize = 100;
/// The most items of a range.
pub(crate) const RANGE_ITEMS: i128 = 10_000;
/// The most steps of one render.
pub(crate) const STEPS: usize = 100_000;
/// The most bytes one render may produce: output, captures and every intermediate value together.
pub(crate) const PRODUCED_BYTES: usize = 1024 * 1024;
/// The largest compiled regular expression, in bytes.
pub(crate) const REGEX_BYTES: usize = 256 * 1024;
/// The most digits of a number that arithmetic may give.
pub(crate) const NUMBER_DIGITS: u64 = 1_000;

/// What one render may still use.
///
/// Atomic only so that minijinja may hold it; one render has one thread, so loads and stores suffice.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    steps: AtomicUsize,
    bytes: AtomicUsize,
}

impl Clone for Budget {
    fn clone(&self) -> Self {
        let copy = Self::default();
        copy.catch_up(self);
        copy
    }
}

impl Budget {
    /// Takes over what another has used.
    pub(crate) fn catch_up(&self, other: &Self) {
        self.steps.store(other.steps.load(Ordering::Relaxed), Ordering::Relaxed);
        self.bytes.store(other.bytes.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Counts `steps` of work.
    pub(crate) fn step(&self, steps: usize) -> Result<(), Fault> {
        let used = self.steps.load(Ordering::Relaxed).saturating_add(steps);
        self.steps.store(used, Ordering::Relaxed);
        if used > STEPS {
            return Err(Fault::new(format!("the template takes more than {STEPS} steps")));
        }
        Ok(())
    }

    /// Counts `bytes` of produced data.
    pub(crate) fn produce(&self, bytes: usize) -> Result<(), Fault> {
        let used = self.bytes.load(Ordering::Relaxed).saturating_add(bytes);
        self.bytes.store(used, Ordering::Relaxed);
        if used > PRODUCED_BYTES {
            return Err(Fault::new("the template produces more than 1 MiB"));
        }
        Ok(())
    }

    /// Takes back `bytes` that are no longer held.
    pub(crate) fn give_back(&self, bytes: usize) {
        self.bytes.store(self.bytes.load(Ordering::Relaxed).saturating_sub(bytes), Ordering::Relaxed);
    }

    /// Refuses `bytes` that could not be produced, before they are made.
    pub(crate) fn afford(&self, bytes: usize) -> Result<(), Fault> {
        if self.bytes.load(Ordering::Relaxed).saturating_add(bytes) > PRODUCED_BYTES {
            return Err(Fault::new("the template produces more than 1 MiB"));
        }
        Ok(())
    }
}
