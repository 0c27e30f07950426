//! Leases of a run: taken before anything is read, renewed while it goes on, and a local deadline that every request
//! respects (reliability rules 4a to 4g).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ebb_row::Clock;
use ebb_state::{Acquire, Lease, LeaseTerm, StateError, Store};

use crate::error::EngineError;
use crate::report::{Phase, Progress, Snapshot};

pub(crate) const TERM: LeaseTerm = LeaseTerm { ttl: Duration::from_secs(30) };
const RENEW_EVERY: Duration = Duration::from_secs(10);
/// Kept between a request's latest end and the lease's end.
const MARGIN: Duration = Duration::from_secs(2);

/// Leases that are held and renewed until they are dropped or released.
#[derive(Debug)]
pub(crate) struct LeaseKeeper {
    leases: Vec<Lease>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    deadline_ms: Arc<AtomicU64>,
    lost: Arc<AtomicBool>,
    renewal: tokio::task::JoinHandle<()>,
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl LeaseKeeper {
    /// Takes the leases in order, waiting for each holder for as long as its lease can last.
    pub(crate) async fn take(
        store: &Arc<dyn Store>,
        clock: &Arc<dyn Clock>,
        sync: &str,
        scopes: &[String],
        waiting: Waiting<'_>,
    ) -> Result<Self, EngineError> {
        let mut leases: Vec<Lease> = Vec::new();
        let mut cool_down = false;
        for scope in scopes {
            match acquire(store, clock, sync, scope, &waiting).await {
                Ok((lease, after_expiry)) => {
                    leases.push(lease);
                    cool_down |= after_expiry;
                }
                Err(error) => {
                    for lease in &leases {
                        store.release(lease).await?;
                    }
                    return Err(error);
                }
            }
        }
        let renewed_at = clock.elapsed();
        for lease in &leases {
            store.renew(lease, TERM).await?;
        }
        let deadline_ms = Arc::new(AtomicU64::new(millis(renewed_at + TERM.ttl.saturating_sub(MARGIN))));
        let lost = Arc::new(AtomicBool::new(false));
        let renewal = tokio::spawn(renew(
            Arc::clone(store),
            Arc::clone(clock),
            leases.clone(),
            Arc::clone(&deadline_ms),
            Arc::clone(&lost),
        ));
        let keeper = Self { leases, store: Arc::clone(store), clock: Arc::clone(clock), deadline_ms, lost, renewal };
        if cool_down {
            // The former holder may still be sending: its last request ends within its timeout.
            waiting.note("the last run did not end; waiting for its last request to time out");
            tokio::time::sleep(waiting.request_timeout + MARGIN).await;
        }
        Ok(keeper)
    }

    /// Returns the lease that fences the sync's state.
    pub(crate) fn lease(&self) -> Result<&Lease, StateError> {
        self.leases.first().ok_or_else(|| StateError::Unusable("a run holds no lease".to_owned()))
    }

    /// Returns whether a request of this length may begin.
    pub(crate) fn allows(&self, request_timeout: Duration) -> bool {
        !self.lost.load(Ordering::Acquire)
            && millis(self.clock.elapsed() + request_timeout) < self.deadline_ms.load(Ordering::Acquire)
    }

    /// Gives the leases back.
    pub(crate) async fn release(&self) -> Result<(), StateError> {
        self.renewal.abort();
        for lease in &self.leases {
            self.store.release(lease).await?;
        }
        Ok(())
    }
}

impl Drop for LeaseKeeper {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

/// How to wait for a lease.
pub(crate) struct Waiting<'a> {
    pub(crate) no_wait: bool,
    pub(crate) request_timeout: Duration,
    pub(crate) progress: &'a dyn Progress,
}

impl Waiting<'_> {
    fn note(&self, text: &str) {
        let snapshot = Snapshot {
            phase: Phase::Waiting,
            read: 0,
            operations: 0,
            settled: 0,
            calls: 0,
            note: Some(text.to_owned()),
        };
        self.progress.update(&snapshot);
    }
}

/// A holder that renews goes on working: past this, waiting is given up.
const LONGEST_WAIT: Duration = Duration::from_secs(45);

async fn acquire(
    store: &Arc<dyn Store>,
    clock: &Arc<dyn Clock>,
    sync: &str,
    scope: &str,
    waiting: &Waiting<'_>,
) -> Result<(Lease, bool), EngineError> {
    let until = clock.elapsed() + LONGEST_WAIT;
    loop {
        match store.acquire(scope, TERM).await? {
            Acquire::Held { lease, after_expiry } => return Ok((lease, after_expiry)),
            Acquire::Busy { holder, expires_in } => {
                if waiting.no_wait || clock.elapsed() >= until {
                    return Err(EngineError::Busy { sync: sync.to_owned(), holder });
                }
                waiting.note(&format!("waiting for {holder}, which is running this sync"));
                let pause = expires_in.clamp(Duration::from_millis(50), Duration::from_millis(500));
                tokio::time::sleep(pause).await;
            }
        }
    }
}

async fn renew(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    leases: Vec<Lease>,
    deadline_ms: Arc<AtomicU64>,
    lost: Arc<AtomicBool>,
) {
    loop {
        tokio::time::sleep(RENEW_EVERY).await;
        let start = clock.elapsed();
        let mut renewed = true;
        for lease in &leases {
            match store.renew(lease, TERM).await {
                Ok(()) => {}
                Err(StateError::LeaseLost { .. }) => {
                    lost.store(true, Ordering::Release);
                    return;
                }
                Err(StateError::Unusable(_) | StateError::Storage(_)) => renewed = false,
            }
        }
        if renewed {
            deadline_ms.store(millis(start + TERM.ttl.saturating_sub(MARGIN)), Ordering::Release);
        }
    }
}
