//! One rate budget: even pacing, a gate that `Retry-After` closes, a cost of writes learned from headers, shared by all
//! runs of the process and, by the store, with other processes.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ebb_destination::{Budget, Reply};
use ebb_row::Clock;
use ebb_state::{StateError, Store};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

/// How often the store is asked who else uses the budget.
const SHARE_EVERY: Duration = Duration::from_secs(2);
/// A process that does not ask again for so long is counted no more.
const SHARE_TTL: Duration = Duration::from_secs(10);
/// After so many transient failures in a row the gate opens for one probe at a time.
const BREAKER: u32 = 10;
/// Episodes whose median cost of a write is believed.
const EPISODES: usize = 9;
/// The highest cost of a write that is believed.
const MOST_UNITS: u32 = 10;
/// The longest pause between two probes.
const LONGEST_PROBE: Duration = Duration::from_mins(1);

/// Governor's clock, driven by ours.
#[derive(Clone, Debug)]
struct PaceClock(Arc<dyn Clock>);

impl governor::clock::Clock for PaceClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::from(self.0.elapsed())
    }
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, PaceClock, NoOpMiddleware<Nanos>>;

struct Pace {
    limiter: Limiter,
    users: u32,
    per_minute: u32,
    next_share: Duration,
    joined: bool,
}

#[derive(Debug)]
struct Learned {
    /// Until when (elapsed) nothing is sent.
    closed_until: Duration,
    /// Units of a write.
    write_cost: u32,
    /// The limit that headers state, when it is lower than ours.
    stated_limit: Option<u32>,
    /// The headers count a window, not a bucket that refills evenly.
    is_window: bool,
    /// Requests that are under way.
    in_flight: u32,
    /// What is known since the budget was last at rest.
    episode: Option<Episode>,
    /// What a write cost in each of the last episodes, in thousandths of a unit.
    costs: VecDeque<i64>,
    failures: u32,
    failing_since: Option<Duration>,
}

/// From a reply after which no request was under way, to the next such reply.
#[derive(Clone, Copy, Debug)]
struct Episode {
    remaining: u64,
    since: Duration,
    reads: u32,
    writes: u32,
}

/// The gate that every request of one budget passes.
pub(crate) struct BudgetGate {
    key: String,
    limit: u32,
    clock: Arc<dyn Clock>,
    store: Arc<dyn Store>,
    /// Held by the one request that waits for its turn; the others queue for it, first come first served.
    turn: tokio::sync::Mutex<()>,
    pace: Mutex<Pace>,
    learned: Mutex<Learned>,
}

impl std::fmt::Debug for BudgetGate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BudgetGate").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl BudgetGate {
    pub(crate) fn new(budget: &Budget, clock: Arc<dyn Clock>, store: Arc<dyn Store>) -> Self {
        let limiter = limiter(budget.per_minute, 1, &clock);
        let pace = Pace { limiter, users: 1, per_minute: budget.per_minute, next_share: Duration::ZERO, joined: false };
        let learned = Learned {
            closed_until: Duration::ZERO,
            write_cost: 1,
            stated_limit: None,
            is_window: false,
            in_flight: 0,
            episode: None,
            costs: VecDeque::with_capacity(EPISODES),
            failures: 0,
            failing_since: None,
        };
        Self {
            key: budget.key.clone(),
            limit: budget.per_minute,
            clock,
            store,
            turn: tokio::sync::Mutex::new(()),
            pace: Mutex::new(pace),
            learned: Mutex::new(learned),
        }
    }

    fn pace(&self) -> std::sync::MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn learned(&self) -> std::sync::MutexGuard<'_, Learned> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the turn of one request, first come first served. Returns when it may be sent at once.
    pub(crate) async fn pass(self: &Arc<Self>, writes: bool) -> Result<Flight, StateError> {
        let cost = if writes { self.learned().write_cost } else { 1 };
        // Nobody queues where there is nothing to wait for.
        if cost == 1 && self.is_open_now() {
            return Ok(self.depart(writes));
        }
        let _turn = self.turn.lock().await;
        self.share().await?;
        for _ in 0..cost {
            loop {
                let now = Nanos::from(self.clock.elapsed());
                let Err(wait) = self.pace().limiter.check().map_err(|wait| wait.wait_time_from(now)) else { break };
                tokio::time::sleep(wait).await;
            }
        }
        loop {
            let closed = self.learned().closed_until.saturating_sub(self.clock.elapsed());
            if closed.is_zero() {
                return Ok(self.depart(writes));
            }
            tokio::time::sleep(closed).await;
        }
    }

    /// Takes a unit if one is there, nobody queues, the gate is open and the share is fresh.
    fn is_open_now(&self) -> bool {
        let now = self.clock.elapsed();
        if self.learned().closed_until > now {
            return false;
        }
        let Ok(_turn) = self.turn.try_lock() else { return false };
        let pace = self.pace();
        pace.joined && now < pace.next_share && pace.limiter.check().is_ok()
    }

    fn depart(self: &Arc<Self>, writes: bool) -> Flight {
        let mut learned = self.learned();
        learned.in_flight += 1;
        if let Some(episode) = &mut learned.episode {
            *(if writes { &mut episode.writes } else { &mut episode.reads }) += 1;
        }
        Flight { gate: Arc::clone(self), landed: false }
    }

    /// Takes note of the end of a request that has no reply: what it cost will not be known.
    fn lost(&self) {
        let mut learned = self.learned();
        learned.in_flight = learned.in_flight.saturating_sub(1);
        learned.episode = None;
    }

    /// Asks the store who else uses the budget, and paces by an equal part. A process that joins others waits until they
    /// have heard of it.
    async fn share(&self) -> Result<(), StateError> {
        let joined = self.pace().joined;
        if joined && self.clock.elapsed() < self.pace().next_share {
            return Ok(());
        }
        let share = self.store.share_budget(&self.key, SHARE_TTL).await?;
        if !joined && share.users > 1 {
            tokio::time::sleep(SHARE_EVERY).await;
        }
        let mut pace = self.pace();
        pace.joined = true;
        pace.next_share = self.clock.elapsed() + SHARE_EVERY;
        let per_minute = self.learned().stated_limit.unwrap_or(self.limit).min(self.limit);
        if share.users != pace.users || per_minute != pace.per_minute {
            pace.users = share.users;
            pace.per_minute = per_minute;
            pace.limiter = limiter(per_minute, share.users, &self.clock);
        }
        Ok(())
    }

    /// Counts this process among the users no more; the next request joins again.
    pub(crate) async fn leave(&self) -> Result<(), StateError> {
        {
            // An outage of this run is none of the next one's.
            let mut learned = self.learned();
            if learned.in_flight == 0 {
                learned.failures = 0;
                learned.failing_since = None;
            }
        }
        let joined = std::mem::replace(&mut self.pace().joined, false);
        if joined {
            self.store.share_budget(&self.key, Duration::ZERO).await?;
        }
        Ok(())
    }

    /// Closes the gate for so long.
    pub(crate) fn close_for(&self, wait: Duration) {
        let until = self.clock.elapsed() + wait;
        let mut learned = self.learned();
        learned.closed_until = learned.closed_until.max(until);
    }

    /// Takes note of a transient failure; returns how long the destination has been failing.
    pub(crate) fn failed(&self) -> Duration {
        let now = self.clock.elapsed();
        let mut learned = self.learned();
        learned.failures = learned.failures.saturating_add(1);
        let since = *learned.failing_since.get_or_insert(now);
        if learned.failures >= BREAKER {
            let doublings = (learned.failures - BREAKER).min(6);
            let pause = (Duration::from_secs(1) * 2_u32.pow(doublings)).min(LONGEST_PROBE);
            learned.closed_until = learned.closed_until.max(now + pause);
        }
        now.saturating_sub(since)
    }

    /// Reads the rate headers of a reply.
    fn observe(&self, reply: &Reply) {
        let now = self.clock.elapsed();
        let first_number = |name: &str| -> Option<u64> {
            let digits: String = reply.header(name)?.trim().chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok()
        };
        let mut learned = self.learned();
        learned.in_flight = learned.in_flight.saturating_sub(1);
        if reply.status < 500 && reply.status != 429 {
            learned.failures = 0;
            learned.failing_since = None;
        }
        if let Some(limit) = first_number("ratelimit-limit").and_then(|limit| u32::try_from(limit).ok())
            && limit > 0
        {
            learned.stated_limit = Some(limit);
        }
        let (Some(remaining), Some(reset)) = (first_number("ratelimit-remaining"), first_number("ratelimit-reset"))
        else {
            learned.episode = None;
            return;
        };
        // What is under way will need its units too.
        if remaining < u64::from(learned.write_cost) * u64::from(learned.in_flight + 1) {
            learned.closed_until = learned.closed_until.max(now + Duration::from_secs(reset.clamp(1, 60)));
        }
        // A bucket's reset is its next unit, a window's the end of its earliest request.
        learned.is_window |= reset > 2;
        if learned.in_flight == 0 {
            self.learn_cost(&mut learned, remaining, now);
        }
    }

    /// Learns a write's cost from how far the remaining units fell while only our own requests were under way. It only ever
    /// rises, and only when most episodes agree: a mistake, or another user of the key, costs speed and no 429.
    fn learn_cost(&self, learned: &mut Learned, remaining: u64, now: Duration) {
        let next = Episode { remaining, since: now, reads: 0, writes: 0 };
        let Some(episode) = learned.episode.replace(next).filter(|episode| episode.writes > 0) else { return };
        let limit = i64::from(learned.stated_limit.unwrap_or(self.limit));
        let thousandths = |units: u64| i64::try_from(units).unwrap_or(0).saturating_mul(1000);
        let room = (limit * 1000 - thousandths(episode.remaining)).max(0);
        let refill = if learned.is_window {
            0
        } else {
            // A full bucket refills no further.
            let millis = i64::try_from(now.saturating_sub(episode.since).as_millis()).unwrap_or(i64::MAX);
            (limit.saturating_mul(millis) / 60).min(room)
        };
        let fall = thousandths(episode.remaining) - thousandths(remaining);
        let cost = (fall + refill - i64::from(episode.reads) * 1000) / i64::from(episode.writes);
        if learned.costs.len() == EPISODES {
            learned.costs.pop_front();
        }
        learned.costs.push_back(cost);
        if learned.costs.len() < EPISODES {
            return;
        }
        let mut sorted: Vec<i64> = learned.costs.iter().copied().collect();
        sorted.sort_unstable();
        let median = sorted.get(EPISODES / 2).copied().unwrap_or(0);
        let units = u32::try_from((median + 500) / 1000).unwrap_or(1).clamp(1, MOST_UNITS);
        if units > learned.write_cost {
            tracing::warn!(units, "a write costs more than one unit of the rate budget; slowing down");
            learned.write_cost = units;
        }
    }
}

/// A request that passed the gate; dropped without a reply, it counts as lost.
#[derive(Debug)]
pub(crate) struct Flight {
    gate: Arc<BudgetGate>,
    landed: bool,
}

impl Flight {
    /// Ends it with its reply.
    pub(crate) fn land(mut self, reply: &Reply) {
        self.landed = true;
        self.gate.observe(reply);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.landed {
            self.gate.lost();
        }
    }
}

/// Paces `per_minute` evenly for one of `users`, with a small burst that the rate makes up for, so that no trailing 60 s
/// exceed it. It starts empty, since another process may have used the budget a moment ago.
///
/// A hundredth is left, since the limit holds where requests arrive, not where they leave: when one takes 600 ms longer on
/// its way than those after it, a minute there is still within the limit.
fn limiter(per_minute: u32, users: u32, clock: &Arc<dyn Clock>) -> Limiter {
    let mine = (per_minute / users.max(1)).max(1);
    let burst = (mine / 6000).max(2).min(mine.div_ceil(2));
    let sustained = mine.saturating_sub(burst + mine.div_ceil(100)).max(1);
    let period = Duration::from_mins(1) / sustained;
    let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
    let quota = Quota::with_period(period.max(Duration::from_nanos(1)))
        .map_or_else(|| Quota::per_minute(burst), |quota| quota.allow_burst(burst));
    let limiter = RateLimiter::direct_with_clock(quota, PaceClock(Arc::clone(clock)));
    drop(limiter.check_n(burst));
    limiter
}
