use ebb_row::Hash128;

use crate::merge::Prior;

/// The largest prior snapshot for which a [`SeenSet`] is worth its memory (32 MiB).
const MOST_ENTRIES: u64 = 3_000_000;

/// Which rows are certainly unchanged: a set of 64-bit digests of (key, fingerprint), about 11 bytes an entry.
///
/// It lets the first pass stage only the rows that may be candidates. Two different rows meet in one digest with a
/// chance of 2^-64 a pair, under a salt that differs from run to run; such a row is then not staged and stays pending.
#[derive(Debug)]
pub struct SeenSet {
    slots: Vec<u64>,
    mask: usize,
    salt: u64,
}

impl SeenSet {
    /// Makes a set for `count` entries; `None` when they are too many to hold, so that every row is to be staged.
    pub fn for_entries(count: u64, salt: u64) -> Option<Self> {
        if count > MOST_ENTRIES {
            return None;
        }
        let wanted = usize::try_from(count).ok()?.max(16) * 10 / 7;
        let size = wanted.next_power_of_two();
        Some(Self { slots: vec![0; size], mask: size - 1, salt })
    }

    /// Adds a live entry.
    pub fn insert(&mut self, prior: &Prior) {
        let digest = self.digest(prior.key, prior.seen);
        let mut at = self.start(digest);
        while let Some(slot) = self.slots.get_mut(at) {
            if *slot == 0 || *slot == digest {
                *slot = digest;
                return;
            }
            at = (at + 1) & self.mask;
        }
    }

    /// Returns whether an entry with this key and fingerprint was added.
    pub fn contains(&self, key: Hash128, seen: Hash128) -> bool {
        let digest = self.digest(key, seen);
        let mut at = self.start(digest);
        while let Some(slot) = self.slots.get(at) {
            if *slot == digest {
                return true;
            }
            if *slot == 0 {
                return false;
            }
            at = (at + 1) & self.mask;
        }
        false
    }

    fn digest(&self, key: Hash128, seen: Hash128) -> u64 {
        let mixed = key.0.wrapping_mul(3) ^ seen.0;
        let [low, high] = [mixed & u128::from(u64::MAX), mixed >> 64].map(|half| u64::try_from(half).unwrap_or(0));
        let mut digest = (low ^ self.salt).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ high.rotate_left(29);
        digest ^= digest >> 32;
        digest = digest.wrapping_mul(0xd6e8_feb8_6659_fd93);
        digest.max(1)
    }

    fn start(&self, digest: u64) -> usize {
        usize::try_from(digest >> 16).unwrap_or(0) & self.mask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_was_added_and_nothing_else() {
        let mut set = SeenSet::for_entries(1000, 7).expect("small");
        let prior = |n: u128| Prior { key: Hash128(n * 17), seen: Hash128(n * 31), id: 1, live: true };
        for n in 0..1000 {
            set.insert(&prior(n));
        }
        for n in 0..1000 {
            assert!(set.contains(Hash128(n * 17), Hash128(n * 31)));
            assert!(!set.contains(Hash128(n * 17), Hash128(n * 31 + 1)));
        }
        assert!(SeenSet::for_entries(10_000_000, 0).is_none());
    }
}
