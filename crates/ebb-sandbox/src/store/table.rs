//! A table of records of one kind: found by id, by externalId, and newest first.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

/// A trait object: flat, from key to value.
pub(crate) type Traits = Map<String, Value>;

/// A record's place in its table; grows in the order of creation and is never used again.
pub(crate) type Slot = usize;

/// A moment in milliseconds since 1970, written as Vitally writes it (`2020-12-11T20:16:27.370Z`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp(pub(crate) i64);

impl Stamp {
    pub(crate) fn now() -> Self {
        Self(chrono::Utc::now().timestamp_millis())
    }

    pub(crate) fn text(self) -> String {
        DateTime::from_timestamp_millis(self.0).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Millis, true)
    }
}

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

/// One record: what every kind has, and `more` for its kind.
#[derive(Debug)]
pub(crate) struct Entry<T> {
    pub(crate) id: Arc<str>,
    pub(crate) external_id: Arc<str>,
    pub(crate) created_at: Stamp,
    pub(crate) updated_at: Stamp,
    pub(crate) name: Option<String>,
    pub(crate) traits: Traits,
    /// How many writes this record has had, its creation included.
    pub(crate) writes: u64,
    /// Position in the order of change.
    changed: u64,
    pub(crate) more: T,
}

/// The order of a list; always the newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    UpdatedAt,
    CreatedAt,
}

/// Records of one kind.
#[derive(Debug)]
pub(crate) struct Table<T> {
    entries: Vec<Option<Entry<T>>>,
    by_id: HashMap<Arc<str>, Slot>,
    by_external_id: HashMap<Arc<str>, Slot>,
    by_change: BTreeMap<u64, Slot>,
    changes: u64,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            by_id: HashMap::new(),
            by_external_id: HashMap::new(),
            by_change: BTreeMap::new(),
            changes: 0,
        }
    }
}

impl<T> Table<T> {
    pub(crate) fn insert(&mut self, id: Arc<str>, external_id: &str, now: Stamp, more: T) -> Slot {
        let slot = self.entries.len();
        let external_id: Arc<str> = Arc::from(external_id);
        self.changes += 1;
        self.by_id.insert(Arc::clone(&id), slot);
        self.by_external_id.insert(Arc::clone(&external_id), slot);
        self.by_change.insert(self.changes, slot);
        self.entries.push(Some(Entry {
            id,
            external_id,
            created_at: now,
            updated_at: now,
            name: None,
            traits: Traits::new(),
            writes: 1,
            changed: self.changes,
            more,
        }));
        slot
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&Entry<T>> {
        self.entries.get(slot)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut Entry<T>> {
        self.entries.get_mut(slot)?.as_mut()
    }

    /// The record to change: it counts a write and becomes the newest by `updatedAt`.
    pub(crate) fn change(&mut self, slot: Slot, now: Stamp) -> Option<&mut Entry<T>> {
        let entry = self.entries.get_mut(slot)?.as_mut()?;
        self.changes += 1;
        self.by_change.remove(&entry.changed);
        self.by_change.insert(self.changes, slot);
        entry.changed = self.changes;
        entry.updated_at = now;
        entry.writes += 1;
        Some(entry)
    }

    pub(crate) fn find_id(&self, id: &str) -> Option<Slot> {
        self.by_id.get(id).copied()
    }

    pub(crate) fn find_external_id(&self, external_id: &str) -> Option<Slot> {
        self.by_external_id.get(external_id).copied()
    }

    pub(crate) fn remove(&mut self, slot: Slot) -> Option<Entry<T>> {
        let entry = self.entries.get_mut(slot)?.take()?;
        self.by_id.remove(&entry.id);
        self.by_external_id.remove(&entry.external_id);
        self.by_change.remove(&entry.changed);
        Some(entry)
    }

    /// All records, oldest first.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (Slot, &Entry<T>)> {
        self.entries.iter().enumerate().filter_map(|(slot, entry)| Some((slot, entry.as_ref()?)))
    }

    /// Up to `limit` records below the position `before` in `order`, newest first, and the position to
    /// go on from when there are more.
    pub(crate) fn page(
        &self,
        order: Order,
        before: Option<u64>,
        limit: usize,
        wanted: impl Fn(&Entry<T>) -> bool,
    ) -> (Vec<Slot>, Option<u64>) {
        let end = before.unwrap_or(u64::MAX);
        let mut page = Page::new(limit);
        match order {
            Order::UpdatedAt => {
                for (position, slot) in self.by_change.range(..end).rev() {
                    if self.get(*slot).is_some_and(&wanted) && page.push(*position, *slot) {
                        break;
                    }
                }
            }
            Order::CreatedAt => {
                let end = usize::try_from(end).unwrap_or(usize::MAX).min(self.entries.len());
                for slot in (0..end).rev() {
                    if self.get(slot).is_some_and(&wanted) && page.push(position_of(slot), slot) {
                        break;
                    }
                }
            }
        }
        page.finish()
    }

    /// As [`Table::page`], over the given records only.
    pub(crate) fn page_of(
        &self,
        slots: impl Iterator<Item = Slot>,
        order: Order,
        before: Option<u64>,
        limit: usize,
    ) -> (Vec<Slot>, Option<u64>) {
        let mut placed: Vec<(u64, Slot)> = slots
            .filter_map(|slot| {
                let entry = self.get(slot)?;
                let position = match order {
                    Order::UpdatedAt => entry.changed,
                    Order::CreatedAt => position_of(slot),
                };
                before.is_none_or(|end| position < end).then_some((position, slot))
            })
            .collect();
        placed.sort_unstable_by(|one, other| other.cmp(one));
        let mut page = Page::new(limit);
        for (position, slot) in placed {
            if page.push(position, slot) {
                break;
            }
        }
        page.finish()
    }
}

fn position_of(slot: Slot) -> u64 {
    u64::try_from(slot).unwrap_or(u64::MAX)
}

struct Page {
    limit: usize,
    slots: Vec<Slot>,
    last: u64,
    more: bool,
}

impl Page {
    fn new(limit: usize) -> Self {
        Self { limit, slots: Vec::new(), last: 0, more: false }
    }

    /// Takes a record; true when the page is full and one more was seen.
    fn push(&mut self, position: u64, slot: Slot) -> bool {
        if self.slots.len() == self.limit {
            self.more = true;
            return true;
        }
        self.slots.push(slot);
        self.last = position;
        false
    }

    fn finish(self) -> (Vec<Slot>, Option<u64>) {
        (self.slots, self.more.then_some(self.last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table_of(count: u32) -> Table<()> {
        let mut table = Table::default();
        for number in 0..count {
            table.insert(Arc::from(format!("id-{number}")), &format!("e-{number}"), Stamp(0), ());
        }
        table
    }

    #[test]
    fn pages_cover_every_record_once_newest_first() {
        let table = table_of(5);
        let (first, next) = table.page(Order::CreatedAt, None, 2, |_| true);
        assert_eq!(first, [4, 3]);
        let (second, next) = table.page(Order::CreatedAt, next, 2, |_| true);
        assert_eq!(second, [2, 1]);
        let (third, next) = table.page(Order::CreatedAt, next, 2, |_| true);
        assert_eq!((third, next), (vec![0], None));
    }

    #[test]
    fn a_changed_record_moves_to_the_front_by_update() {
        let mut table = table_of(3);
        table.change(0, Stamp(1)).unwrap();
        assert_eq!(table.page(Order::UpdatedAt, None, 10, |_| true).0, [0, 2, 1]);
        assert_eq!(table.page_of([0, 1].into_iter(), Order::UpdatedAt, None, 10).0, [0, 1]);
        assert_eq!(table.page(Order::CreatedAt, None, 10, |_| true).0, [2, 1, 0]);
    }

    #[test]
    fn a_removed_record_is_found_nowhere() {
        let mut table = table_of(2);
        table.remove(0).unwrap();
        assert_eq!(table.find_id("id-0"), None);
        assert_eq!(table.find_external_id("e-0"), None);
        assert_eq!(table.page(Order::UpdatedAt, None, 10, |_| true), (vec![1], None));
        assert_eq!(table.iter().count(), 1);
    }
}
