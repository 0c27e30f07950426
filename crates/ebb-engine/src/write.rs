//! One write or look-up, driven step by step: pass the budget, append the intent, send, judge, log.
//!
//! The order binds everything else: the intent is in the journal before the request leaves; the log line, the rows and
//! the intent's closing mark are one settlement (`execute.rs`); only then is the slot free.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use ebb_destination::{Answer, Api, LostCall, Repeat, Reply, Request, Step, Steps, Verdict, judge_status, retry_after};
use ebb_row::{Clock, RowKey};
use ebb_state::{CallEntry, Intent, RunId, StateError, Store, SyncId};
use tokio::sync::watch;
use tracing::Instrument as _;
use tracing::field::Empty;

use crate::TRACE;
use crate::budget::{BudgetGate, Flight};
use crate::call_log::{CallRecord, LineStyle};
use crate::lease::LeaseKeeper;
use crate::transport::{Transport, TransportError};

/// Attempts of one request, throttled ones apart.
const MOST_ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long a destination is tried that has not answered once in the run.
const UNHEARD_OF: Duration = Duration::from_mins(1);

/// Why a run sends nothing more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Halt {
    /// A signal.
    Stopped,
    /// The lease is lost or about to run out.
    LeaseLost,
    /// The token is refused.
    Credentials(Api, u16),
    /// The destination fails in one way for row after row.
    Systemic(String),
    /// The destination was away, or asked to wait, for longer than a run waits.
    Patience(String),
    /// State or log could not be written.
    State(String),
}

/// What all calls of a run share.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) budgets: Vec<Arc<BudgetGate>>,
    pub(crate) apis: Vec<Api>,
    pub(crate) keeper: LeaseKeeper,
    pub(crate) run: RunId,
    pub(crate) sync_name: String,
    pub(crate) sync: SyncId,
    pub(crate) request_timeout: Duration,
    pub(crate) patience: Duration,
    pub(crate) style: LineStyle,
    pub(crate) stop: watch::Receiver<bool>,
    pub(crate) halt: watch::Sender<Option<Halt>>,
    pub(crate) next_intent: AtomicU64,
    pub(crate) calls: AtomicU64,
    pub(crate) answers: AtomicU64,
    pub(crate) note: Mutex<Option<String>>,
    /// Why a call was not answered, or not with an outcome.
    pub(crate) last_failure: Mutex<Option<String>>,
}

/// What a driven machine came to.
#[derive(Debug)]
pub(crate) enum Driven<T> {
    /// It finished.
    Done(T),
    /// The batch is to be written in halves.
    Split(String),
    /// Given up for this run. `applied` says whether the destination may hold it.
    GaveUp { reason: String, applied: bool },
    /// Sent without an answer, and the operation can be neither repeated nor checked.
    Unrepeatable(String),
    /// The run halted before the machine finished; nothing of it is known to be applied unless `applied`.
    Halted { applied: bool },
}

/// The calls of one machine, to be settled with its rows.
#[derive(Debug, Default)]
pub(crate) struct Made {
    pub(crate) calls: Vec<CallEntry>,
    pub(crate) intents: Vec<u64>,
    /// Whether any request left.
    pub(crate) sent: bool,
    /// Whether a write was applied, or got no answer and may have been: unless the row ends as accepted, what the destination
    /// holds of it is uncertain.
    pub(crate) touched: bool,
    /// The last request that was answered, so that an unknown outcome is judged by its kind.
    pub(crate) last_repeat: Option<Repeat>,
}

/// One attempt that was sent.
struct Attempt {
    number: u32,
    time: DateTime<Utc>,
    wait: Duration,
    took: Duration,
    result: Result<Reply, TransportError>,
}

enum Next<'a> {
    /// Give the reply to the machine.
    Judge(&'a Reply),
    /// Send again.
    Again,
    /// Tell the machine that the call is lost.
    Lost(LostCall),
    GiveUp {
        reason: String,
        applied: bool,
    },
    Unrepeatable(String),
    Halt {
        applied: bool,
    },
}

impl Caller {
    /// Stops the run; the first reason counts.
    pub(crate) fn halt(&self, reason: Halt) {
        self.halt.send_if_modified(|current| {
            let first = current.is_none();
            if first {
                *current = Some(reason);
            }
            first
        });
    }

    /// Returns why the run sends nothing more, if so.
    pub(crate) fn halted(&self) -> Option<Halt> {
        if *self.stop.borrow() {
            self.halt(Halt::Stopped);
        }
        self.halt.borrow().clone()
    }

    fn say(&self, note: String) {
        *self.note.lock().unwrap_or_else(PoisonError::into_inner) = Some(note);
    }

    /// Waits, unless the run halts first.
    async fn pause(&self, wait: Duration) -> bool {
        let mut stop = self.stop.clone();
        let mut halt = self.halt.subscribe();
        if self.halted().is_some() {
            return false;
        }
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => false,
            _ = halt.wait_for(Option::is_some) => false,
            () = tokio::time::sleep(wait) => true,
        }
    }

    /// Waits for the budget, unless the run halts first.
    async fn pass(&self, request: &Request) -> Result<Option<Flight>, StateError> {
        let Some(gate) = self.budgets.get(request.budget) else {
            return Err(StateError::Unusable("a request names no rate budget".to_owned()));
        };
        let mut stop = self.stop.clone();
        let mut halt = self.halt.subscribe();
        if self.halted().is_some() {
            return Ok(None);
        }
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => Ok(None),
            _ = halt.wait_for(Option::is_some) => Ok(None),
            passed = gate.pass(request.writes) => passed.map(Some),
        }
    }

    /// Drives a machine to its end; `word` names the outcome of a finished one for the log line of its last call.
    pub(crate) async fn drive<T>(
        &self,
        steps: &mut dyn Steps<T>,
        keys: &[RowKey],
        made: &mut Made,
        word: &(dyn Fn(&T) -> (&'static str, Option<String>) + Sync),
    ) -> Driven<T> {
        let mut step = steps.step(Answer::Start, self.clock.now());
        let mut applied = false;
        loop {
            let mut request = match step {
                Step::Done(result) => return Driven::Done(result),
                Step::Split { reason } => return Driven::Split(reason),
                Step::Send(request) => request,
            };
            let mut tries = Tries::default();
            step = loop {
                let Some(attempt) = self.attempt(&request, keys, &mut tries, made).await else {
                    return Driven::Halted { applied: applied || tries.maybe_applied };
                };
                let line = Line { caller: self, request: &request, attempt: &attempt, keys };
                match self.judge(&line, &mut tries, made).await {
                    Next::Judge(reply) => {
                        made.last_repeat = Some(request.repeat);
                        let is_applied = request.writes && reply.status < 300;
                        applied |= is_applied;
                        made.touched |= is_applied;
                        let judged = steps.step(Answer::Reply(reply), self.clock.now());
                        let (outcome, reason) = match &judged {
                            Step::Done(result) => word(result),
                            Step::Split { reason } => ("split", Some(reason.clone())),
                            Step::Send(_) => ("answered", None),
                        };
                        line.log(outcome, reason.as_deref(), made);
                        break judged;
                    }
                    Next::Again => {
                        if let Step::Send(again) = steps.step(Answer::Again, self.clock.now()) {
                            request = again;
                        }
                    }
                    Next::Lost(lost) => {
                        made.last_repeat = Some(request.repeat);
                        applied |= request.writes;
                        break steps.step(Answer::Lost(&lost), self.clock.now());
                    }
                    Next::GiveUp { reason, applied: maybe } => {
                        return Driven::GaveUp { reason, applied: applied || maybe };
                    }
                    Next::Unrepeatable(reason) => return Driven::Unrepeatable(reason),
                    Next::Halt { applied: maybe } => {
                        return Driven::Halted { applied: applied || maybe || tries.maybe_applied };
                    }
                }
            };
        }
    }

    /// Sends a request once: budget, lease, intent, request. `None` when the run halts before it is sent.
    async fn attempt(&self, request: &Request, keys: &[RowKey], tries: &mut Tries, made: &mut Made) -> Option<Attempt> {
        let asked = self.clock.elapsed();
        let flight = match self.pass(request).await {
            Ok(flight) => flight?,
            Err(error) => {
                self.halt(Halt::State(error.to_string()));
                return None;
            }
        };
        if !self.keeper.allows(self.request_timeout) {
            self.halt(Halt::LeaseLost);
            return None;
        }
        tries.number += 1;
        let intent = Intent {
            id: self.next_intent.fetch_add(1, Ordering::Relaxed),
            run: self.run.clone(),
            epoch: self.keeper.lease().map(|lease| lease.epoch).unwrap_or_default(),
            time: self.clock.now(),
            operation: request.operation.to_owned(),
            writes: request.writes,
            keys: keys.to_vec(),
            attempt: tries.number,
            method: request.method.word().to_owned(),
            url: request.url.clone(),
        };
        let (id, time) = (intent.id, intent.time);
        // A plain append survives a killed process. Only what can be neither repeated nor checked must also survive power
        // loss: anything else is sent again, or looked for before it is created.
        let durable = request.writes && request.repeat == Repeat::Neither;
        if let Err(error) = self.store.intend(self.sync, &[intent], durable).await {
            self.halt(Halt::State(error.to_string()));
            return None;
        }
        made.intents.push(id);
        // Writing the intent may have taken long, or the process stood still.
        if !self.keeper.allows(self.request_timeout) {
            self.halt(Halt::LeaseLost);
            return None;
        }
        made.sent = true;
        let sent = self.clock.elapsed();
        let result = self.send(request, tries.number).await;
        self.calls.fetch_add(1, Ordering::Relaxed);
        let took = self.clock.elapsed().saturating_sub(sent);
        if let Ok(reply) = &result {
            flight.land(reply);
        }
        Some(Attempt { number: tries.number, time, wait: sent.saturating_sub(asked), took, result })
    }

    /// Sends a request within a span of its own.
    async fn send(&self, request: &Request, attempt: u32) -> Result<Reply, TransportError> {
        let span = tracing::info_span!(
            target: TRACE, "call", operation = request.operation, attempt, "http.response.status_code" = Empty
        );
        let result = self.transport.send(request, self.request_timeout).instrument(span.clone()).await;
        if let Ok(reply) = &result {
            span.record("http.response.status_code", reply.status);
        }
        result
    }

    /// Judges an attempt by its status alone; the destination's machine judges what is left.
    async fn judge<'a>(&self, line: &Line<'a>, tries: &mut Tries, made: &mut Made) -> Next<'a> {
        let reply = match &line.attempt.result {
            Ok(reply) => reply,
            Err(error) => {
                let reason = error.reason.clone();
                return if error.sent {
                    self.ambiguous(line, &reason, tries, made).await
                } else {
                    self.unavailable(line, (&reason, None), tries, made).await
                };
            }
        };
        let first_answer = self.answers.fetch_add(1, Ordering::Relaxed) == 0;
        let asked = retry_after(reply, line.attempt.time);
        match judge_status(reply.status) {
            Verdict::Refused => self.refused(line, made),
            Verdict::Other if reply.status == 403 && first_answer => self.refused(line, made),
            Verdict::Success | Verdict::Other => Next::Judge(reply),
            Verdict::Throttled => {
                let wait = asked.or_else(|| reset_header(reply)).unwrap_or_default().max(Duration::from_secs(1));
                self.throttled(line, wait, tries, made).await
            }
            Verdict::Unavailable => {
                let reason = format!("HTTP {}", reply.status);
                self.unavailable(line, (&reason, asked), tries, made).await
            }
            Verdict::Ambiguous => {
                let reason = format!("HTTP {}", reply.status);
                self.ambiguous(line, &reason, tries, made).await
            }
        }
    }

    fn refused(&self, line: &Line<'_>, made: &mut Made) -> Next<'static> {
        line.log("refused", Some("the credentials were refused"), made);
        let api = self.apis.get(line.request.budget).copied().unwrap_or(Api::Rest);
        let status = line.attempt.result.as_ref().map_or(0, |reply| reply.status);
        self.halt(Halt::Credentials(api, status));
        Next::Halt { applied: false }
    }

    /// 429: not applied. The whole budget waits, and the request is sent again however often, within the patience.
    async fn throttled(&self, line: &Line<'_>, wait: Duration, tries: &mut Tries, made: &mut Made) -> Next<'static> {
        line.log("retry", Some("throttled"), made);
        tries.number_of_failures = 0;
        let started = *tries.throttled_since.get_or_insert_with(|| self.clock.elapsed());
        let would_end = self.clock.elapsed().saturating_sub(started) + wait;
        if would_end > self.patience {
            let reason = format!("the destination asked to wait {} s, longer than a run waits", wait.as_secs());
            self.halt(Halt::Patience(reason));
            return Next::Halt { applied: false };
        }
        self.say(format!("throttled for {} s", wait.as_secs()));
        if let Some(gate) = self.budgets.get(line.request.budget) {
            gate.close_for(wait);
        }
        if self.pause(wait).await { Next::Again } else { Next::Halt { applied: false } }
    }

    /// Not applied, for a reason that passes: sent again after a pause, up to a bound.
    async fn unavailable(
        &self,
        line: &Line<'_>,
        (reason, asked): (&str, Option<Duration>),
        tries: &mut Tries,
        made: &mut Made,
    ) -> Next<'static> {
        line.log("retry", Some(reason), made);
        self.note_failure(line.request, reason);
        if !self.still_patient(line.request) {
            return Next::Halt { applied: tries.maybe_applied };
        }
        tries.number_of_failures += 1;
        if tries.number_of_failures >= MOST_ATTEMPTS {
            return Next::GiveUp { reason: reason.to_owned(), applied: tries.maybe_applied };
        }
        let wait = asked.unwrap_or_else(|| self.backoff(tries));
        if wait > self.patience {
            let reason = format!("the destination asked to wait {} s, longer than a run waits", wait.as_secs());
            self.halt(Halt::Patience(reason));
            return Next::Halt { applied: tries.maybe_applied };
        }
        if asked.is_some()
            && let Some(gate) = self.budgets.get(line.request.budget)
        {
            gate.close_for(wait);
        }
        if self.pause(wait).await { Next::Again } else { Next::Halt { applied: tries.maybe_applied } }
    }

    /// May have been applied: what follows is what the operation declares.
    async fn ambiguous(&self, line: &Line<'_>, reason: &str, tries: &mut Tries, made: &mut Made) -> Next<'static> {
        let writes = line.request.writes;
        made.touched |= writes;
        self.note_failure(line.request, reason);
        match line.request.repeat {
            Repeat::Repeatable => {
                line.log(if writes { "unknown" } else { "retry" }, Some(reason), made);
                tries.maybe_applied |= writes;
                if !self.still_patient(line.request) {
                    return Next::Halt { applied: tries.maybe_applied };
                }
                tries.number_of_failures += 1;
                if tries.number_of_failures >= MOST_ATTEMPTS {
                    return Next::GiveUp { reason: reason.to_owned(), applied: tries.maybe_applied };
                }
                let wait = self.backoff(tries);
                if self.pause(wait).await { Next::Again } else { Next::Halt { applied: tries.maybe_applied } }
            }
            Repeat::Checkable => {
                line.log("unknown", Some(reason), made);
                if !self.still_patient(line.request) {
                    return Next::Halt { applied: true };
                }
                let wait = self.backoff(tries);
                if self.pause(wait).await {
                    Next::Lost(LostCall { reason: reason.to_owned() })
                } else {
                    Next::Halt { applied: true }
                }
            }
            Repeat::Neither => {
                line.log("unknown", Some(reason), made);
                Next::Unrepeatable(reason.to_owned())
            }
        }
    }

    /// Keeps why a call failed, for the report; the first of a run is also told at once.
    fn note_failure(&self, request: &Request, reason: &str) {
        let text = format!("{}: {reason}", request.operation);
        let before = self.last_failure.lock().unwrap_or_else(PoisonError::into_inner).replace(text.clone());
        if before.is_none() {
            tracing::warn!("sync `{}`: {text}; trying again", self.sync_name);
        }
    }

    /// Counts a transient failure; past the patience the run halts.
    fn still_patient(&self, request: &Request) -> bool {
        let Some(gate) = self.budgets.get(request.budget) else { return true };
        let failing = gate.failed();
        // What never answered in this run is more likely to be a wrong address than an outage.
        let is_unheard_of = self.answers.load(Ordering::Relaxed) == 0;
        let patience = if is_unheard_of { self.patience.min(UNHEARD_OF) } else { self.patience };
        if failing <= patience {
            self.say(format!("the destination has been failing for {} s; trying again", failing.as_secs()));
            return true;
        }
        let text = if is_unheard_of {
            format!("the destination did not answer once in {} s; is its address right?", failing.as_secs())
        } else {
            format!("the destination has been failing for {} s", failing.as_secs())
        };
        self.halt(Halt::Patience(text));
        false
    }

    /// Exponential, with full jitter that a run's seed repeats.
    fn backoff(&self, tries: &Tries) -> Duration {
        let doublings = tries.number_of_failures.min(6);
        let most = (FIRST_PAUSE * 2_u32.pow(doublings)).min(LONGEST_PAUSE);
        let seed = format!("{}/{}/{}", self.run, self.next_intent.load(Ordering::Relaxed), tries.number);
        let [.., low] = ebb_row::Hash128::of(seed.as_bytes()).to_bytes();
        most / 16 + most * u32::from(low) / 256
    }
}

/// The attempts of one request.
#[derive(Debug, Default)]
struct Tries {
    number: u32,
    number_of_failures: u32,
    maybe_applied: bool,
    throttled_since: Option<Duration>,
}

/// An attempt whose log line is due.
struct Line<'a> {
    caller: &'a Caller,
    request: &'a Request,
    attempt: &'a Attempt,
    keys: &'a [RowKey],
}

impl Line<'_> {
    fn log(&self, outcome: &str, reason: Option<&str>, made: &mut Made) {
        let milliseconds = |duration: Duration| duration.as_secs_f64() * 1000.0;
        let record = CallRecord {
            time: self.attempt.time,
            run: &self.caller.run.0,
            sync: &self.caller.sync_name,
            keys: self.keys,
            attempt: self.attempt.number,
            request: self.request,
            reply: self.attempt.result.as_ref().ok(),
            duration_ms: milliseconds(self.attempt.took),
            wait_ms: milliseconds(self.attempt.wait),
            outcome,
            reason,
        };
        made.calls.push(CallEntry {
            run: self.caller.run.clone(),
            line: self.caller.style.line(&record),
            keys: self.keys.iter().map(RowKey::hash).collect(),
        });
    }
}

/// `RateLimit-Reset` in seconds, at most a minute (Vitally documents no `Retry-After`).
fn reset_header(reply: &Reply) -> Option<Duration> {
    let seconds: u64 = reply.header("ratelimit-reset")?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(60)))
}
