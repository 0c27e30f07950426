//! One rate budget: even pacing, a gate that `Retry-After` closes, a cost of writes learned from headers, shared by all
//! runs of the process and, by the store, with other processes.

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
    last_remaining: Option<(u64, Duration)>,
    /// The limit counts a window, since a reset was ever further off than a bucket's next unit.
    is_window: bool,
    drops: f64,
    writes: u32,
    failures: u32,
    failing_since: Option<Duration>,
}

/// The gate that every request of one budget passes.
pub(crate) struct BudgetGate {
    key: String,
    limit: u32,
    clock: Arc<dyn Clock>,
    store: Arc<dyn Store>,
    turn: tokio::sync::Mutex<Pace>,
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
            last_remaining: None,
            is_window: false,
            drops: 0.0,
            writes: 0,
            failures: 0,
            failing_since: None,
        };
        Self {
            key: budget.key.clone(),
            limit: budget.per_minute,
            clock,
            store,
            turn: tokio::sync::Mutex::new(pace),
            learned: Mutex::new(learned),
        }
    }

    fn learned(&self) -> std::sync::MutexGuard<'_, Learned> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the turn of one request, first come first served. Returns when it may be sent at once.
    pub(crate) async fn pass(&self, writes: bool) -> Result<(), StateError> {
        let mut pace = self.turn.lock().await;
        self.share(&mut pace).await?;
        let cost = if writes { self.learned().write_cost } else { 1 };
        for _ in 0..cost {
            while let Err(wait) = pace.limiter.check() {
                tokio::time::sleep(wait.wait_time_from(Nanos::from(self.clock.elapsed()))).await;
            }
        }
        loop {
            let closed = self.learned().closed_until.saturating_sub(self.clock.elapsed());
            if closed.is_zero() {
                return Ok(());
            }
            tokio::time::sleep(closed).await;
        }
    }

    /// Asks the store who else uses the budget, and paces by an equal part. A process that joins others waits until they
    /// have heard of it.
    async fn share(&self, pace: &mut Pace) -> Result<(), StateError> {
        let now = self.clock.elapsed();
        if now < pace.next_share && pace.joined {
            return Ok(());
        }
        let share = self.store.share_budget(&self.key, SHARE_TTL).await?;
        if !pace.joined && share.users > 1 {
            tokio::time::sleep(SHARE_EVERY).await;
        }
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
        let mut pace = self.turn.lock().await;
        if pace.joined {
            pace.joined = false;
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
    pub(crate) fn observe(&self, reply: &Reply, writes: bool) {
        let now = self.clock.elapsed();
        let first_number = |name: &str| -> Option<u64> {
            let digits: String = reply.header(name)?.trim().chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok()
        };
        let mut learned = self.learned();
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
            return;
        };
        if remaining < u64::from(learned.write_cost) {
            learned.closed_until = learned.closed_until.max(now + Duration::from_secs(reset.clamp(1, 60)));
        }
        self.learn_cost(&mut learned, (remaining, reset), now, writes);
    }

    /// Learns a write's cost from how fast the remaining units fall; it only ever rises, so a mistake costs speed, not a
    /// 429. Resets of a second or two tell of a bucket that refills evenly, a longer one of a window; since a window ends
    /// with such resets too, what was learned from them before is forgotten then.
    fn learn_cost(&self, learned: &mut Learned, (remaining, reset): (u64, u64), now: Duration, writes: bool) {
        if reset > 2 && !learned.is_window {
            learned.is_window = true;
            learned.write_cost = 1;
            learned.drops = 0.0;
            learned.writes = 0;
        } else if let Some((before, then)) = learned.last_remaining
            && writes
        {
            let fall = i64::try_from(before).unwrap_or(0) - i64::try_from(remaining).unwrap_or(0);
            let refill = if learned.is_window {
                0.0
            } else {
                f64::from(self.limit) / 60.0 * now.saturating_sub(then).as_secs_f64()
            };
            learned.drops += f64::from(i32::try_from(fall).unwrap_or(0)) + refill;
            learned.writes += 1;
        }
        learned.last_remaining = Some((remaining, now));
        if learned.writes < 20 {
            return;
        }
        let cost = learned.drops / f64::from(learned.writes);
        learned.drops = 0.0;
        learned.writes = 0;
        let rounded = (1..=10).take_while(|cost_so_far| f64::from(*cost_so_far) - 0.5 <= cost).last().unwrap_or(1);
        if rounded > learned.write_cost {
            tracing::warn!(units = rounded, "a write costs more than one unit of the rate budget; slowing down");
            learned.write_cost = rounded;
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
