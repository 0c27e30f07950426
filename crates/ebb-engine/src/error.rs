use ebb_destination::Api;
use ebb_source::SourceError;
use ebb_state::{PlanFileError, StateError};

/// Why a plan or run could not be done. A run that began is closed with its reason all the same.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The project does not fit the model: a vanished column, a key column that is missing.
    #[error("sync `{sync}`: {message}")]
    Project {
        /// The sync.
        sync: String,
        /// What is wrong, and what there is.
        message: String,
    },
    /// The source could not be read; nothing was sent.
    #[error("sync `{sync}`: the model could not be read")]
    Source {
        /// The sync.
        sync: String,
        /// Why.
        #[source]
        cause: SourceError,
    },
    /// State could not be read or written.
    #[error("the state could not be used")]
    State(#[from] StateError),
    /// The plan file could not be written or read.
    #[error("the plan could not be used")]
    PlanFile(#[from] PlanFileError),
    /// The working files of a run could not be written or read.
    #[error("{0}")]
    Storage(String),
    /// Someone else runs the sync, and waiting was not wanted or did not help.
    #[error("sync `{sync}` is being run by {holder}")]
    Busy {
        /// The sync.
        sync: String,
        /// Who, in words.
        holder: String,
    },
    /// Another run began since the caller looked ([`crate::RunRequest::follows`]); nothing was done.
    #[error("sync `{sync}` was run by someone else meanwhile")]
    Overtaken {
        /// The sync.
        sync: String,
    },
    /// The run must not start: identity changed, first run of events not decided, a plan that moved or was used. Exit 4
    /// (2 for an identity).
    #[error("sync `{sync}`: {message}")]
    Refused {
        /// The sync.
        sync: String,
        /// Why, and the ways on.
        message: String,
    },
    /// A signal came while the model was read; nothing was sent.
    #[error("sync `{sync}`: stopped before anything was sent")]
    Stopped {
        /// The sync.
        sync: String,
    },
    /// The destination refused the credentials.
    #[error("the destination refused the {api} token (HTTP {status})", api = .api.word())]
    Credentials {
        /// Which API's token.
        api: Api,
        /// The status.
        status: u16,
    },
    /// The sum of the fates does not hold: a bug of ebb, and it says so.
    #[error("bug: sync `{sync}` read {read} rows but knows the fate of {known}; please report this")]
    Sum {
        /// The sync.
        sync: String,
        /// Rows read.
        read: u64,
        /// Rows with a fate.
        known: u64,
    },
}

/// Returns an error with its causes, joined by colons.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let more = next.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = next.source();
    }
    text
}
