//! The store in one `SQLite` file, with the journal, the logs and the index as files beside it.
//!
//! One thread writes: it groups what waits into one transaction, so that a disk flush is shared. Reads have their own
//! connections and do not wait for it.

mod document;
mod entry;
mod fold;
mod interface;
mod lease;
mod readers;
mod rejection;
mod run;
mod schema;
mod settle;
mod sync;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use ebb_row::Clock;
use tokio::sync::oneshot;

use crate::disk::{make_private_directory, refuse_network_filesystem};
use crate::journal::Journals;
use crate::sqlite::lease::Holder;
use crate::sqlite::readers::Readers;
use crate::sqlite::writer::{Command, Writer};
use crate::store::StateError;

/// The store of a project in its state folder (`.ebb`); see the crate's documentation.
#[derive(Debug)]
pub struct SqliteStore {
    inner: Arc<Inner>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What a store and its readers share.
#[derive(Debug)]
struct Inner {
    directory: PathBuf,
    clock: Arc<dyn Clock>,
    holder: Arc<Holder>,
    journals: Arc<Journals>,
    readers: Readers,
    /// `None` once the store is being dropped.
    commands: Mutex<Option<std::sync::mpsc::Sender<Command>>>,
    /// Users of a budget at the last call, by budget.
    shares: Mutex<std::collections::HashMap<String, u32>>,
}

impl From<rusqlite::Error> for StateError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt) => Self::Unusable(format!(
                "the state file is damaged ({error}); restore `.ebb/state.db` from a backup, or remove `.ebb` and run \
                 `ebb adopt`"
            )),
            Some(_) | None => Self::Storage(error.to_string()),
        }
    }
}

impl SqliteStore {
    /// Opens the store in a state folder, making both where they are missing, and brings an older schema up to date.
    ///
    /// The folder is private to the user (0700, files 0600).
    ///
    /// # Errors
    /// [`StateError::Unusable`] where others may write to the folder, where it is on a network filesystem, or where
    /// its state is of a newer ebb or no state at all; [`StateError::Storage`] where the disk failed.
    pub fn open(directory: &Path, clock: Arc<dyn Clock>) -> Result<Arc<Self>, StateError> {
        make_private_directory(directory)?;
        refuse_network_filesystem(directory)?;
        for folder in ["locks", "index", "journal", "runs"] {
            make_private_directory(&directory.join(folder))?;
        }
        let connection = schema::open(&directory.join("state.db"))?;
        let holder = Arc::new(Holder::new(&directory.join("locks"), &connection)?);
        fold::remove_leftovers(&directory.join("index"), clock.now());
        let journals = Arc::new(Journals::new(directory.join("journal")));
        let (sender, receiver) = std::sync::mpsc::channel();
        let writer = Writer::new(connection, directory, Arc::clone(&journals));
        let thread = std::thread::Builder::new()
            .name("ebb-state".to_owned())
            .spawn(move || writer.run(&receiver))
            .map_err(|error| StateError::Storage(format!("the writer could not start: {error}")))?;
        let inner = Inner {
            directory: directory.to_owned(),
            clock,
            holder,
            journals,
            readers: Readers::new(directory.join("state.db")),
            commands: Mutex::new(Some(sender)),
            shares: Mutex::default(),
        };
        Ok(Arc::new(Self { inner: Arc::new(inner), thread: Mutex::new(Some(thread)) }))
    }

    /// Returns the state folder.
    pub fn directory(&self) -> &Path {
        &self.inner.directory
    }
}

/// Lets the writer finish what waits, then closes the file and gives up the process's lock.
impl Drop for SqliteStore {
    fn drop(&mut self) {
        if let Ok(mut commands) = self.inner.commands.lock() {
            commands.take();
        }
        let thread = self.thread.lock().ok().and_then(|mut thread| thread.take());
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the writer of the state ended in a panic");
        }
        self.inner.holder.give_up();
    }
}

impl Inner {
    fn send(&self, command: Command) -> Result<(), StateError> {
        let stopped = || StateError::Storage("the writer has stopped".to_owned());
        let commands = self.commands.lock().map_err(|_| stopped())?;
        commands.as_ref().and_then(|commands| commands.send(command).ok()).ok_or_else(stopped)
    }

    /// Runs a change on the writer's thread, in a transaction of its own if it opens one.
    async fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Writer) -> Result<T, StateError> + Send + 'static,
    ) -> Result<T, StateError> {
        let (answer, answered) = oneshot::channel();
        self.send(Command::Write(Box::new(move |writer| drop(answer.send(change(writer))))))?;
        answered.await.map_err(|_| StateError::Storage("the writer has stopped".to_owned()))?
    }
}
