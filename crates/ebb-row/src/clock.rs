use std::fmt::Debug;
use std::time::Duration;

use chrono::{DateTime, Utc};

/// The one clock of a process; lent by the binary (system time) or by a simulation (virtual time).
pub trait Clock: Debug + Send + Sync {
    /// Returns the wall time.
    fn now(&self) -> DateTime<Utc>;

    /// Returns the time since an arbitrary fixed origin; never goes back, and counts suspended time where the
    /// system can tell (`CLOCK_BOOTTIME`).
    fn elapsed(&self) -> Duration;
}
