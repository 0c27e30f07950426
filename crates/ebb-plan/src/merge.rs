use ebb_row::Hash128;

use crate::buckets::{Buckets, Entry, SpillError};

/// An entry of the prior snapshot, as the sorted index yields it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prior {
    /// Hash of the row key.
    pub key: Hash128,
    /// The fingerprint last found equal.
    pub seen: Hash128,
    /// The entry's number in the store; not 0.
    pub id: u64,
    /// Whether the row was in the model then.
    pub live: bool,
}

/// How a row differs from the snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// In the model, never accepted.
    Added(Entry),
    /// In the model and in the snapshot, with another fingerprint or after an absence.
    Changed(Entry, Prior),
    /// In the snapshot as live, not in the model.
    Removed(Prior),
    /// One of several rows of one key; the prior entry, if any, stays as it is.
    Repeated(Entry, Option<Prior>),
}

/// What a merge counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MergeCounts {
    /// Rows whose key and fingerprint are those of a live entry.
    pub unchanged: u64,
    /// See [`Difference::Added`].
    pub added: u64,
    /// See [`Difference::Changed`].
    pub changed: u64,
    /// See [`Difference::Removed`].
    pub removed: u64,
    /// See [`Difference::Repeated`].
    pub repeated: u64,
}

/// Merges the model's entries (in [`Parts::ByKey`](crate::Parts::ByKey)) with the prior snapshot (ascending by key, each
/// key once), and reports each difference.
///
/// # Errors
/// Whatever `prior` or `report` return, and [`SpillError`] as `E`.
pub fn merge<E: From<SpillError>>(
    current: &mut Buckets,
    mut prior: impl FnMut() -> Result<Option<Prior>, E>,
    mut report: impl FnMut(Difference) -> Result<(), E>,
) -> Result<MergeCounts, E> {
    let mut counts = MergeCounts::default();
    let mut entries = Vec::new();
    let mut next_prior = prior()?;
    for part in 0..=255_u8 {
        current.take(part, &mut entries)?;
        entries.sort_unstable_by_key(|entry| (entry.key, entry.ordinal));
        let mut rest = entries.as_slice();
        while let Some(first) = rest.first() {
            let same = rest.iter().take_while(|entry| entry.key == first.key).count();
            let (group, tail) = rest.split_at(same);
            rest = tail;
            while let Some(entry) = next_prior.filter(|entry| entry.key < first.key) {
                removed(entry, &mut counts, &mut report)?;
                next_prior = prior()?;
            }
            let matching = next_prior.filter(|entry| entry.key == first.key);
            if matching.is_some() {
                next_prior = prior()?;
            }
            if let [entry] = group {
                single(*entry, matching, &mut counts, &mut report)?;
            } else {
                for entry in group {
                    counts.repeated += 1;
                    report(Difference::Repeated(*entry, matching))?;
                }
            }
        }
    }
    while let Some(entry) = next_prior {
        removed(entry, &mut counts, &mut report)?;
        next_prior = prior()?;
    }
    Ok(counts)
}

fn removed<E>(
    entry: Prior,
    counts: &mut MergeCounts,
    report: &mut impl FnMut(Difference) -> Result<(), E>,
) -> Result<(), E> {
    if !entry.live {
        return Ok(());
    }
    counts.removed += 1;
    report(Difference::Removed(entry))
}

fn single<E>(
    entry: Entry,
    matching: Option<Prior>,
    counts: &mut MergeCounts,
    report: &mut impl FnMut(Difference) -> Result<(), E>,
) -> Result<(), E> {
    match matching {
        Some(prior) if prior.live && prior.seen == entry.row => {
            counts.unchanged += 1;
            Ok(())
        }
        Some(prior) => {
            counts.changed += 1;
            report(Difference::Changed(entry, prior))
        }
        None => {
            counts.added += 1;
            report(Difference::Added(entry))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::buckets::{Parts, Spill};

    #[derive(Default)]
    struct MemorySpill(BTreeMap<u8, Vec<u8>>);

    impl Spill for MemorySpill {
        fn append(&mut self, part: u8, bytes: &[u8]) -> Result<(), SpillError> {
            self.0.entry(part).or_default().extend_from_slice(bytes);
            Ok(())
        }

        fn read(&mut self, part: u8, out: &mut Vec<u8>) -> Result<(), SpillError> {
            if let Some(bytes) = self.0.get(&part) {
                out.extend_from_slice(bytes);
            }
            Ok(())
        }
    }

    /// Spreads small numbers over the parts.
    fn key(n: u8) -> Hash128 {
        Hash128::of(&[n])
    }

    fn run(model: &[(u8, u8)], snapshot: &[(u8, u8, bool)], budget: usize) -> (MergeCounts, Vec<Difference>) {
        let mut buckets = Buckets::new(Parts::ByKey, budget, Box::new(MemorySpill::default()));
        for (ordinal, (name, row)) in (0_u64..).zip(model) {
            let key = key(*name);
            buckets.push(Entry { key, row: Hash128((*row).into()), ordinal, tag: 0 }).expect("in memory");
        }
        let mut prior: Vec<Prior> = snapshot
            .iter()
            .map(|(name, seen, live)| Prior {
                key: key(*name),
                seen: Hash128((*seen).into()),
                id: u64::from(*name) + 1,
                live: *live,
            })
            .collect();
        prior.sort_by_key(|entry| entry.key);
        prior.dedup_by_key(|entry| entry.key);
        let mut prior = prior.into_iter();
        let mut differences = Vec::new();
        let counts = merge::<SpillError>(
            &mut buckets,
            || Ok(prior.next()),
            |difference| {
                differences.push(difference);
                Ok(())
            },
        )
        .expect("no disk");
        (counts, differences)
    }

    proptest! {
        /// The merge says what a map says, spilled or not.
        #[test]
        fn the_merge_agrees_with_a_map(
            model in prop::collection::vec((0_u8..40, 0_u8..3), 0..60),
            snapshot in prop::collection::btree_map(0_u8..40, (0_u8..3, any::<bool>()), 0..40),
            budget in prop::sample::select(vec![48_usize, 480, 48_000]),
        ) {
            let list: Vec<_> = snapshot.iter().map(|(name, (seen, live))| (*name, *seen, *live)).collect();
            let (counts, differences) = run(&model, &list, budget);
            let mut expected = MergeCounts::default();
            let mut by_key: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
            for (name, row) in &model {
                by_key.entry(*name).or_default().push(*row);
            }
            for (name, rows) in &by_key {
                match (rows.as_slice(), snapshot.get(name)) {
                    ([row], Some((seen, true))) if row == seen => expected.unchanged += 1,
                    ([_], Some(_)) => expected.changed += 1,
                    ([_], None) => expected.added += 1,
                    (several, _) => expected.repeated += u64::try_from(several.len()).expect("few"),
                }
            }
            for (name, (_, live)) in &snapshot {
                if *live && !by_key.contains_key(name) {
                    expected.removed += 1;
                }
            }
            prop_assert_eq!(counts, expected);
            let reported = counts.added + counts.changed + counts.removed + counts.repeated;
            prop_assert_eq!(u64::try_from(differences.len()).expect("few"), reported);
        }
    }
}
