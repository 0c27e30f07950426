//! Rate budgets, and the busiest minute seen.

use std::collections::VecDeque;

use crate::config::Limiter;

/// Milliseconds since the sandbox's start.
pub(crate) type Elapsed = u64;

const MINUTE_MS: u64 = 60_000;

/// One API's budget: so many units in 60 seconds.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: u32,
    counting: Counting,
}

#[derive(Debug)]
enum Counting {
    /// `credit` is in units x 60,000, so that a millisecond refills exactly `limit` of it.
    Bucket {
        credit: u64,
        filled_at: Elapsed,
    },
    Window {
        spent: VecDeque<(Elapsed, u32)>,
        sum: u64,
    },
}

/// Where a budget stands after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Whether the request was within the budget.
    pub(crate) allowed: bool,
    /// Whole units left.
    pub(crate) remaining: u64,
    /// Seconds, rounded up and at least 1, until a unit (or, for a refused request, its cost) comes back.
    pub(crate) reset_seconds: u64,
}

impl Budget {
    pub(crate) fn new(limit: u32, limiter: Limiter) -> Self {
        let counting = match limiter {
            Limiter::TokenBucket => Counting::Bucket { credit: u64::from(limit) * MINUTE_MS, filled_at: 0 },
            Limiter::SlidingWindow => Counting::Window { spent: VecDeque::new(), sum: 0 },
        };
        Self { limit, counting }
    }

    /// Takes `cost` units if they are there. A refused request takes none.
    pub(crate) fn spend(&mut self, cost: u32, now: Elapsed) -> Standing {
        let limit = u64::from(self.limit);
        match &mut self.counting {
            Counting::Bucket { credit, filled_at } => {
                let refill = now.saturating_sub(*filled_at).min(MINUTE_MS) * limit;
                *credit = (*credit + refill).min(limit * MINUTE_MS);
                *filled_at = now;
                let price = u64::from(cost) * MINUTE_MS;
                let allowed = *credit >= price;
                if allowed {
                    *credit -= price;
                }
                let remaining = *credit / MINUTE_MS;
                let lacking = if allowed { MINUTE_MS - *credit % MINUTE_MS } else { price - *credit };
                let wait_ms = lacking.div_ceil(limit.max(1));
                Standing { allowed, remaining, reset_seconds: wait_ms.div_ceil(1000).max(1) }
            }
            Counting::Window { spent, sum } => {
                while let Some((at, units)) = spent.front().copied() {
                    if at + MINUTE_MS > now {
                        break;
                    }
                    *sum -= u64::from(units);
                    spent.pop_front();
                }
                let allowed = *sum + u64::from(cost) <= limit;
                if allowed {
                    *sum += u64::from(cost);
                    spent.push_back((now, cost));
                }
                let earliest = spent.front().map_or(now, |(at, _)| *at);
                let wait_ms = (earliest + MINUTE_MS).saturating_sub(now);
                Standing { allowed, remaining: limit - *sum, reset_seconds: wait_ms.div_ceil(1000).max(1) }
            }
        }
    }

    /// Reads the standing without spending.
    pub(crate) fn look(&mut self, now: Elapsed) -> Standing {
        self.spend(0, now)
    }
}

/// The most that was seen in any trailing 60 seconds, to the millisecond.
#[derive(Debug, Default)]
pub(crate) struct BusiestMinute {
    recent: VecDeque<(Elapsed, u64)>,
    sum: u64,
    most: u64,
}

impl BusiestMinute {
    pub(crate) fn add(&mut self, amount: u32, now: Elapsed) {
        let amount = u64::from(amount);
        while let Some((at, count)) = self.recent.front().copied() {
            if at + MINUTE_MS > now {
                break;
            }
            self.sum -= count;
            self.recent.pop_front();
        }
        self.sum += amount;
        self.most = self.most.max(self.sum);
        match self.recent.back_mut() {
            Some((at, count)) if *at == now => *count += amount,
            Some(_) | None => self.recent.push_back((now, amount)),
        }
    }

    pub(crate) fn most(&self) -> u64 {
        self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(allowed: bool, remaining: u64, reset_seconds: u64) -> Standing {
        Standing { allowed, remaining, reset_seconds }
    }

    #[test]
    fn a_token_bucket_refills_continuously() {
        let mut budget = Budget::new(60, Limiter::TokenBucket);
        for left in (0..60).rev() {
            assert_eq!(budget.spend(1, 0), standing(true, left, 1));
        }
        assert_eq!(budget.spend(1, 0), standing(false, 0, 1));
        assert_eq!(budget.spend(5, 0), standing(false, 0, 5));
        assert_eq!(budget.spend(1, 999), standing(false, 0, 1));
        assert_eq!(budget.spend(1, 1000), standing(true, 0, 1));
        assert_eq!(budget.spend(0, 3_600_000), standing(true, 60, 1));
    }

    #[test]
    fn a_sliding_window_gives_units_back_when_they_are_a_minute_old() {
        let mut budget = Budget::new(2, Limiter::SlidingWindow);
        assert_eq!(budget.spend(1, 0), standing(true, 1, 60));
        assert_eq!(budget.spend(1, 30_000), standing(true, 0, 30));
        assert_eq!(budget.spend(1, 59_999), standing(false, 0, 1));
        assert_eq!(budget.spend(1, 60_000), standing(true, 0, 30));
    }

    #[test]
    fn a_write_may_cost_more_than_one_unit() {
        let mut budget = Budget::new(1000, Limiter::TokenBucket);
        assert_eq!(budget.spend(3, 0).remaining, 997);
        assert_eq!(budget.look(0).remaining, 997);
    }

    #[test]
    fn the_busiest_minute_is_the_most_in_any_trailing_minute() {
        let mut busiest = BusiestMinute::default();
        for at in [0, 0, 10_000, 60_000, 60_001, 69_999] {
            busiest.add(1, at);
        }
        // At 0 ms the window still holds all three; at 60,000 ms the first two have left it.
        assert_eq!(busiest.most(), 4);
    }
}
