//! Reading as a future that hands out batches, for drivers whose rows borrow their connection.
//!
//! The future runs only while [`Reader::next`] is awaited, so nothing is spawned, and dropping the reader drops the
//! connection and with it the transaction.

use std::pin::Pin;

use async_trait::async_trait;
use ebb_row::{Batch, Column};
use tokio::sync::mpsc;
use tokio::time::{Duration, Instant};

use crate::{ReadOptions, Reader, SourceError};

/// How much longer than the server ebb waits for the server's own end of a statement that passed its timeout.
const GRACE: Duration = Duration::from_secs(5);

/// Where the reading future puts its batches.
pub(crate) type Batches = mpsc::Sender<Batch>;

/// The reading future; it ends after the server's own end of the result.
pub(crate) type Work = Pin<Box<dyn Future<Output = Result<(), SourceError>> + Send>>;

/// A reader that runs such a future.
pub(crate) struct Pump {
    columns: Vec<Column>,
    work: Option<Work>,
    batches: mpsc::Receiver<Batch>,
    deadline: Instant,
    seconds: u64,
    has_failed: bool,
}

impl Pump {
    /// Makes the reader of the future that `work` returns for its end of the channel.
    pub(crate) fn new(columns: Vec<Column>, options: &ReadOptions, work: impl FnOnce(Batches) -> Work) -> Self {
        let (sender, batches) = mpsc::channel(1);
        Self {
            columns,
            work: Some(work(sender)),
            batches,
            deadline: Instant::now() + options.timeout() + GRACE,
            seconds: options.statement_timeout.as_secs(),
            has_failed: false,
        }
    }

    async fn advance(&mut self) -> Result<Option<Batch>, SourceError> {
        if let Some(work) = &mut self.work {
            tokio::select! {
                biased;
                Some(batch) = self.batches.recv() => return Ok(Some(batch)),
                outcome = work => {
                    self.work = None;
                    outcome?;
                }
            }
        }
        Ok(self.batches.try_recv().ok())
    }
}

#[async_trait]
impl Reader for Pump {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    async fn next(&mut self) -> Result<Option<Batch>, SourceError> {
        if self.has_failed {
            return Err(SourceError::Broken("the read has already failed".to_owned()));
        }
        let seconds = self.seconds;
        let outcome = tokio::time::timeout_at(self.deadline, self.advance()).await;
        let outcome = outcome.unwrap_or(Err(SourceError::Timeout { seconds }));
        if outcome.is_err() {
            self.work = None;
            self.has_failed = true;
        }
        outcome
    }
}

/// Bounds what comes before the rows: beginning and preparing.
pub(crate) async fn bounded<T>(
    options: &ReadOptions,
    work: impl Future<Output = Result<T, SourceError>>,
) -> Result<T, SourceError> {
    let seconds = options.statement_timeout.as_secs();
    let outcome = tokio::time::timeout(options.timeout() + GRACE, work).await;
    outcome.unwrap_or(Err(SourceError::Timeout { seconds }))
}

/// Hands over a batch; `false` when nobody reads any more.
pub(crate) async fn hand_over(batches: &Batches, batch: Batch) -> bool {
    batches.send(batch).await.is_ok()
}
