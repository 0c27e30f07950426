use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use ebb_row::Clock;
use tokio::time::Instant;

/// Virtual time: the time of tokio's runtime, which a test pauses, so that hours pass in milliseconds.
#[derive(Debug)]
pub struct VirtualClock {
    origin: DateTime<Utc>,
    started: Instant,
}

impl VirtualClock {
    /// Makes a clock that shows `origin` now. Must be called within a runtime.
    pub fn starting_at(origin: DateTime<Utc>) -> Self {
        Self { origin, started: Instant::now() }
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> DateTime<Utc> {
        self.origin + TimeDelta::from_std(self.elapsed()).unwrap_or(TimeDelta::MAX)
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}
