use std::fmt;
use std::time::Duration;

/// What an attempt said of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The destination took it.
    Accepted {
        /// The destination's own id of the object, where the reply told it.
        id: Option<String>,
        /// Whether this write created the object.
        created: Created,
    },
    /// The mode decided that nothing is to be written (update and no such record, insert and it exists).
    Skipped {
        /// Why, in the user's words.
        reason: String,
    },
    /// The destination refused this record.
    Rejected {
        /// Why, in the user's words; carries no cell value.
        reason: String,
    },
    /// Not now: the same record may be sent again.
    Retry {
        /// Why.
        reason: String,
        /// How long the destination asked to wait.
        after: Option<Duration>,
    },
    /// Sent, no usable answer: it may have been applied.
    Unknown {
        /// Why.
        reason: String,
    },
}

/// Whether an accepted write created the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// It did.
    Yes,
    /// The object was there.
    No,
    /// The reply does not tell.
    Unknown,
}

/// What became of one row in one run; every row has exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// Its record equals what the destination accepted.
    Unchanged,
    /// The destination accepted it in this run.
    Accepted,
    /// The mapping or the destination refused it.
    Rejected,
    /// The mode left it alone.
    Skipped,
    /// Not reached, or sent and unknown.
    Pending,
}

impl Fate {
    /// All fates in the order in which they are printed.
    pub const ALL: [Self; 5] = [Self::Unchanged, Self::Accepted, Self::Rejected, Self::Skipped, Self::Pending];

    /// Returns the word used in output and state.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Skipped => "skipped",
            Self::Pending => "pending",
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
