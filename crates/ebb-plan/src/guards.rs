use std::fmt;

/// A limit on a count: a share of the live snapshot, or a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Percent of the live entries before the run, 0 to 100.
    Percent(u32),
    /// Rows.
    Count(u64),
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Count(count) => write!(f, "{count}"),
        }
    }
}

/// The limits that refuse a plan. A percentage counts only once the snapshot has 10 live rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guards {
    /// Rows that left the model.
    pub removed: Option<Limit>,
    /// Rows to add.
    pub added: Option<Limit>,
    /// Rows to change.
    pub changed: Option<Limit>,
    /// Rows rejected before sending.
    pub rejected: Option<Limit>,
    /// Refuse a model that had rows and returns none.
    pub empty: bool,
}

impl Default for Guards {
    fn default() -> Self {
        Self { removed: Some(Limit::Percent(30)), added: None, changed: None, rejected: None, empty: true }
    }
}

/// The counts that guards judge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuardCounts {
    /// Live entries before the run.
    pub live: u64,
    /// Rows read.
    pub read: u64,
    /// See [`Guards::added`].
    pub added: u64,
    /// See [`Guards::changed`].
    pub changed: u64,
    /// See [`Guards::removed`].
    pub removed: u64,
    /// See [`Guards::rejected`].
    pub rejected: u64,
}

/// A guard that refuses a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The name, for `--override-guard`.
    pub guard: &'static str,
    /// What passed which limit.
    pub message: String,
}

/// The smallest snapshot for which a percentage means something.
const SMALLEST_SHARE: u64 = 10;

impl Guards {
    /// Returns the guards that refuse these counts, save those named in `overridden`.
    pub fn judge(&self, counts: &GuardCounts, overridden: &[String]) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        if self.empty && counts.live > 0 && counts.read == 0 {
            let message = format!("the model returned no rows, and {} were synced before", counts.live);
            refusals.push(Refusal { guard: "empty", message });
        }
        let limits = [
            ("removed", self.removed, counts.removed, "left the model"),
            ("added", self.added, counts.added, "would be added"),
            ("changed", self.changed, counts.changed, "would be changed"),
            ("rejected", self.rejected, counts.rejected, "are rejected by the mapping"),
        ];
        for (guard, limit, count, what) in limits {
            let base = if guard == "rejected" { counts.read } else { counts.live };
            if let Some(limit) = limit
                && passes(limit, count, base)
            {
                let message = format!("{count} rows {what}, of {base}; the limit is {limit}");
                refusals.push(Refusal { guard, message });
            }
        }
        refusals.retain(|refusal| !overridden.iter().any(|name| name == refusal.guard));
        refusals
    }
}

fn passes(limit: Limit, count: u64, base: u64) -> bool {
    match limit {
        Limit::Count(most) => count > most,
        Limit::Percent(percent) => {
            base >= SMALLEST_SHARE && u128::from(count) * 100 > u128::from(base) * u128::from(percent)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(guards: &Guards, counts: GuardCounts, expected: &[&str]) {
        let names: Vec<&str> = guards.judge(&counts, &[]).iter().map(|refusal| refusal.guard).collect();
        assert_eq!(names, expected, "{counts:?}");
    }

    #[test]
    fn removals_over_thirty_percent_are_refused_once_the_snapshot_has_ten_rows() {
        let guards = Guards::default();
        check(&guards, GuardCounts { live: 10, read: 7, removed: 3, ..GuardCounts::default() }, &[]);
        check(&guards, GuardCounts { live: 10, read: 6, removed: 4, ..GuardCounts::default() }, &["removed"]);
        check(&guards, GuardCounts { live: 9, read: 5, removed: 4, ..GuardCounts::default() }, &[]);
        check(&guards, GuardCounts { live: 9, read: 0, removed: 9, ..GuardCounts::default() }, &["empty"]);
        check(&guards, GuardCounts { live: 0, read: 0, ..GuardCounts::default() }, &[]);
    }

    #[test]
    fn an_override_silences_its_guard_only() {
        let counts = GuardCounts { live: 20, read: 0, removed: 20, ..GuardCounts::default() };
        let names: Vec<&str> =
            Guards::default().judge(&counts, &["empty".to_owned()]).iter().map(|refusal| refusal.guard).collect();
        assert_eq!(names, ["removed"]);
    }

    #[test]
    fn counts_and_shares_limit_every_kind() {
        let guards = Guards {
            added: Some(Limit::Count(5)),
            changed: Some(Limit::Percent(50)),
            rejected: Some(Limit::Percent(1)),
            ..Guards::default()
        };
        let counts = GuardCounts { live: 100, read: 100, added: 6, changed: 51, rejected: 2, removed: 0 };
        check(&guards, counts, &["added", "changed", "rejected"]);
        let counts = GuardCounts { live: 100, read: 100, added: 5, changed: 50, rejected: 1, removed: 30 };
        check(&guards, counts, &[]);
    }
}
