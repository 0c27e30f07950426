//! The thread that writes: it takes what waits as a group, and answers when the group is on disk.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

use crate::calls::CallWriters;
use crate::journal::{Closing, Journals};
use crate::sqlite::settle::{SettledSync, settle_group};
use crate::store::{Lease, RunId, Settlement, StateError, SyncId};

/// A group is closed at so many rows and calls.
const GROUP_SIZE: usize = 8192;

/// How long the rest of a group is waited for: those who were answered together come back together, and a second flush
/// of the disk would cost more than this.
const PATIENCE: Duration = Duration::from_micros(100);

/// What the writer is asked to do.
pub(super) enum Command {
    /// A settlement; those that wait together become one transaction.
    Settle(Settling),
    /// Anything else, one after the other.
    Write(Box<dyn FnOnce(&mut Writer) + Send>),
}

/// A settlement that waits for its turn.
pub(super) struct Settling {
    /// The lease and the run; `None` for calls that settle nothing.
    pub(super) owner: Option<(Lease, RunId)>,
    pub(super) sync: SyncId,
    pub(super) settlement: Settlement,
    pub(super) time: i64,
    pub(super) answer: oneshot::Sender<Result<(), StateError>>,
}

/// Returns what waits; where more is expected, what comes soon.
fn next_command(commands: &Receiver<Command>, is_expected: bool) -> Option<Command> {
    match commands.try_recv() {
        Ok(command) => Some(command),
        Err(_) if is_expected => commands.recv_timeout(PATIENCE).ok(),
        Err(_) => None,
    }
}

impl Settling {
    fn size(&self) -> usize {
        self.settlement.rows.len() + self.settlement.calls.len()
    }
}

/// What the writing thread owns.
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) directory: PathBuf,
    pub(super) calls: CallWriters,
    pub(super) journals: Arc<Journals>,
    pub(super) known: Known,
}

/// What the writer remembers of the state; none of it is needed, and all of it is dropped when in doubt.
#[derive(Default)]
pub(super) struct Known {
    pub(super) syncs: HashMap<SyncId, SettledSync>,
    pub(super) runs: HashMap<RunId, i64>,
    /// Runs that raised their sync's counter.
    pub(super) changed: HashSet<i64>,
}

impl Writer {
    pub(super) fn new(connection: Connection, directory: &Path, journals: Arc<Journals>) -> Self {
        Self {
            connection,
            directory: directory.to_owned(),
            calls: CallWriters::new(directory.join("runs")),
            journals,
            known: Known::default(),
        }
    }

    /// Works until the store is dropped.
    pub(super) fn run(mut self, commands: &Receiver<Command>) {
        let mut group = Vec::new();
        let mut expected = 1;
        while let Ok(command) = commands.recv() {
            let mut next = Some(command);
            let mut size = 0;
            while let Some(command) = next.take() {
                match command {
                    Command::Settle(settling) => {
                        size += settling.size();
                        group.push(settling);
                        if size < GROUP_SIZE {
                            next = next_command(commands, group.len() < expected);
                        }
                    }
                    Command::Write(change) => {
                        expected = group.len().max(1);
                        self.settle(&mut group);
                        change(&mut self);
                    }
                }
            }
            if !group.is_empty() {
                expected = group.len();
                self.settle(&mut group);
            }
        }
    }

    /// Makes a change in a transaction of its own.
    pub(super) fn transaction<T>(
        &mut self,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let result = change(&transaction)?;
        transaction.commit()?;
        Ok(result)
    }

    /// Makes a change in a transaction in which the lease is still held.
    pub(super) fn fenced<T>(
        &mut self,
        lease: &Lease,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        self.transaction(|transaction| {
            if is_held(transaction, lease)? {
                change(transaction)
            } else {
                Err(StateError::LeaseLost { scope: lease.scope.clone() })
            }
        })
    }

    /// Log lines, then rows in one transaction, then closing marks, then the answers.
    fn settle(&mut self, group: &mut Vec<Settling>) {
        if group.is_empty() {
            return;
        }
        let mut results: Vec<Result<(), StateError>> = Vec::with_capacity(group.len());
        if let Err(error) = self.settle_all(group, &mut results) {
            // Nothing of the transaction is kept; what was remembered of the state may be of it.
            self.known = Known::default();
            results.clear();
            results.resize_with(group.len(), || Err(StateError::Storage(bare(&error))));
        }
        for (settling, result) in group.drain(..).zip(results) {
            // A caller that went away needs no answer.
            drop(settling.answer.send(result));
        }
    }

    fn settle_all(&mut self, group: &[Settling], results: &mut Vec<Result<(), StateError>>) -> Result<(), StateError> {
        self.calls.append(group.iter().flat_map(|settling| &settling.settlement.calls))?;
        if group.iter().any(|settling| settling.owner.is_some()) {
            settle_group(&mut self.connection, &mut self.known, group, results)?;
        } else {
            results.resize_with(group.len(), || Ok(()));
        }
        let mut closings: Vec<Closing<'_>> = Vec::with_capacity(group.len());
        for (settling, result) in group.iter().zip(&*results) {
            let intents = settling.settlement.intents.as_slice();
            if result.is_err() || intents.is_empty() {
                continue;
            }
            let sync = settling.sync;
            match &settling.owner {
                Some((_, run)) => closings.push(Closing { sync, run: Some(run), intents }),
                None if settling.settlement.calls.is_empty() => closings.push(Closing { sync, run: None, intents }),
                None => {
                    let mut runs: Vec<&RunId> = settling.settlement.calls.iter().map(|call| &call.run).collect();
                    runs.dedup();
                    closings.extend(runs.into_iter().map(|run| Closing { sync, run: Some(run), intents }));
                }
            }
        }
        self.journals.close(&closings)
    }
}

/// Returns an error's text without the words that its kind adds.
fn bare(error: &StateError) -> String {
    match error {
        StateError::Storage(text) | StateError::Unusable(text) => text.clone(),
        StateError::LeaseLost { .. } => error.to_string(),
    }
}

/// Returns whether a lease is still the one that the store knows.
pub(super) fn is_held(connection: &Connection, lease: &Lease) -> Result<bool, StateError> {
    let epoch: Option<i64> = connection
        .prepare_cached("SELECT epoch FROM lease WHERE scope = ?1 AND held = 1")?
        .query_row([&lease.scope], |row| row.get(0))
        .optional()?;
    Ok(epoch == Some(lease.epoch.cast_signed()))
}
