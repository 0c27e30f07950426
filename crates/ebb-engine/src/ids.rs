//! Ids of runs, plans and working files: random, or repeated from a seed.

use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use ebb_row::Hash128;
use uuid::{Builder, Uuid};

/// Where ids come from.
#[derive(Debug, Default)]
pub(crate) struct Ids(Option<Mutex<(u64, u64)>>);

impl Ids {
    /// The same seed gives the same ids in the same order.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(Some(Mutex::new((seed, 0))))
    }

    /// Returns the id of a run that starts at `now`.
    pub(crate) fn run(&self, now: DateTime<Utc>) -> Uuid {
        let Some([_, _, _, _, _, _, bytes @ ..]) = self.bits() else { return Uuid::now_v7() };
        let millis = u64::try_from(now.timestamp_millis()).unwrap_or_default();
        Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid()
    }

    /// Returns an id that says nothing.
    pub(crate) fn any(&self) -> Uuid {
        self.bits().map_or_else(Uuid::new_v4, |bytes| Builder::from_random_bytes(bytes).into_uuid())
    }

    fn bits(&self) -> Option<[u8; 16]> {
        let mut state = self.0.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        state.1 += 1;
        Some(Hash128::of(format!("{}/{}", state.0, state.1).as_bytes()).to_bytes())
    }
}
