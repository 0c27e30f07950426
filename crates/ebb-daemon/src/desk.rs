use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use ebb_row::Clock;
use ebb_state::{Expect, StateError, Store};
use serde::{Deserialize, Serialize};

/// The kind of the documents that pause syncs; their keys are the syncs' names.
const PAUSE: &str = "pause";

/// A sync that does not run by itself until someone resumes it. Kept in the state as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Who paused it.
    pub by: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Why, in their words; may be empty.
    #[serde(default)]
    pub note: String,
}

/// Why something could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// The state failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// A document of the state cannot be read.
    #[error("the {kind} `{key}` in the state cannot be read; it was written by another version of ebb")]
    Document {
        /// Its kind.
        kind: &'static str,
        /// Its key.
        key: String,
    },
}

/// Where people and the processes that share a state meet: what is asked of them.
#[derive(Clone, Debug)]
pub struct Desk {
    /// The state.
    pub store: Arc<dyn Store>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl Desk {
    /// Pauses a sync: it does not run by itself, in any process. Returns whether it ran by itself before; a sync that is
    /// paused already stays as it is.
    ///
    /// # Errors
    /// The state failed.
    pub async fn pause(&self, sync: &str, by: &str, note: &str) -> Result<bool, DeskError> {
        let pause = Pause { by: by.to_owned(), at: self.clock.now(), note: note.to_owned() };
        let body = serde_json::to_string(&pause).expect("a pause is text and a time");
        Ok(self.store.put_document(PAUSE, sync, Expect::Absent, &body).await?.is_some())
    }

    /// Resumes a sync. Returns whether it was paused.
    ///
    /// # Errors
    /// The state failed.
    pub async fn resume(&self, sync: &str) -> Result<bool, DeskError> {
        Ok(self.store.remove_document(PAUSE, sync, Expect::Anything).await?)
    }

    /// Returns the paused syncs, by name.
    ///
    /// # Errors
    /// The state failed, or a document cannot be read.
    pub async fn pauses(&self) -> Result<BTreeMap<String, Pause>, DeskError> {
        let documents = self.store.documents(PAUSE, "", 0).await?;
        let read = documents.into_iter().map(|document| match serde_json::from_str(&document.body) {
            Ok(pause) => Ok((document.key, pause)),
            Err(_) => Err(DeskError::Document { kind: PAUSE, key: document.key }),
        });
        read.collect()
    }
}

#[cfg(test)]
mod tests {
    use ebb_state::MemoryStore;
    use ebb_testkit::VirtualClock;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_pause_is_seen_by_every_process_until_it_is_taken_back() {
        let clock: Arc<dyn Clock> = Arc::new(VirtualClock::starting_at(DateTime::UNIX_EPOCH));
        let store = MemoryStore::new(Arc::clone(&clock));
        let other = Desk { store: store.new_process(), clock: Arc::clone(&clock) };
        let desk = Desk { store, clock };
        assert!(desk.pause("accounts", "ann", "moving house").await.expect("kept"));
        assert!(!other.pause("accounts", "bob", "").await.expect("read"), "it is paused already");
        let pause = Pause { by: "ann".to_owned(), at: DateTime::UNIX_EPOCH, note: "moving house".to_owned() };
        assert_eq!(other.pauses().await.expect("read"), BTreeMap::from([("accounts".to_owned(), pause)]));
        assert!(other.resume("accounts").await.expect("kept"));
        assert!(!desk.resume("accounts").await.expect("kept"), "it is not paused any more");
        assert!(desk.pauses().await.expect("read").is_empty());
        desk.store.put_document(PAUSE, "users", Expect::Absent, "7").await.expect("kept");
        assert!(matches!(desk.pauses().await, Err(DeskError::Document { .. })));
    }
}
