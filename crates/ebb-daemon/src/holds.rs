use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a sync is left alone after it could not run once.
const FIRST: Duration = Duration::from_secs(1);

/// The longest that a sync is left alone.
const LONGEST: Duration = Duration::from_mins(5);

/// Syncs that are due and could not run: each is left alone for a while, twice as long each time, since what leaves no run
/// that counts would be due again at once. Times are those of a clock's `elapsed`.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    by_sync: BTreeMap<String, Hold>,
}

#[derive(Debug)]
struct Hold {
    length: Duration,
    until: Duration,
}

impl Holds {
    /// Leaves a sync alone for longer than the last time.
    pub(crate) fn grow(&mut self, sync: &str, now: Duration) {
        let length = self.by_sync.get(sync).map_or(FIRST, |hold| (hold.length * 2).min(LONGEST));
        self.by_sync.insert(sync.to_owned(), Hold { length, until: now + length });
    }

    /// Leaves a sync alone for the shortest time.
    pub(crate) fn briefly(&mut self, sync: &str, now: Duration) {
        self.by_sync.insert(sync.to_owned(), Hold { length: FIRST, until: now + FIRST });
    }

    /// Forgets that a sync could not run.
    pub(crate) fn end(&mut self, sync: &str) {
        self.by_sync.remove(sync);
    }

    /// Forgets all of them.
    pub(crate) fn clear(&mut self) {
        self.by_sync.clear();
    }

    /// Returns the syncs that are left alone now.
    pub(crate) fn held(&self, now: Duration) -> BTreeSet<String> {
        self.by_sync.iter().filter(|(_, hold)| now < hold.until).map(|(sync, _)| sync.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hold_is_twice_as_long_up_to_the_longest() {
        let mut holds = Holds::default();
        let mut now = Duration::ZERO;
        for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            holds.grow("accounts", now);
            assert!(holds.held(now + Duration::from_millis(seconds * 1_000 - 1)).contains("accounts"), "{seconds}");
            now += Duration::from_secs(seconds);
            assert!(holds.held(now).is_empty(), "{seconds}");
        }
        holds.end("accounts");
        holds.grow("accounts", now);
        assert!(holds.held(now + FIRST).is_empty(), "it begins anew");
        holds.briefly("users", now);
        holds.clear();
        assert!(holds.held(now).is_empty());
    }
}
