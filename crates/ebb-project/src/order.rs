//! The order in which syncs run: after those that they name, and after those that write what they look up.

use std::collections::{BTreeMap, BTreeSet};

use crate::fault::Fault;
use crate::sync::Sync;

/// Returns the names in an order that respects every edge, by name where none does.
///
/// # Errors
/// One fault for each cycle, at the sync in it that comes first by name.
pub(crate) fn order(syncs: &BTreeMap<String, Sync>) -> Result<Vec<String>, Vec<Fault>> {
    let before: BTreeMap<&str, BTreeSet<&str>> =
        syncs.iter().map(|(name, sync)| (name.as_str(), edges(syncs, sync))).collect();
    let mut waiting = before.clone();
    let mut ordered = Vec::new();
    loop {
        let next = waiting.iter().find(|(_, before)| before.iter().all(|name| !waiting.contains_key(name)));
        let Some(next) = next.map(|(name, _)| *name) else { break };
        waiting.remove(next);
        ordered.push(next.to_owned());
    }
    if waiting.is_empty() {
        return Ok(ordered);
    }
    let mut faults = Vec::new();
    let mut told: BTreeSet<&str> = BTreeSet::new();
    for start in waiting.keys() {
        if told.contains(start) {
            continue;
        }
        if let Some(cycle) = cycle_through(start, &waiting) {
            told.extend(&cycle);
            faults.extend(cycle_fault(syncs, &cycle));
        }
    }
    Err(faults)
}

/// Returns the syncs that run before this one.
fn edges<'a>(syncs: &'a BTreeMap<String, Sync>, sync: &'a Sync) -> BTreeSet<&'a str> {
    let mut before: BTreeSet<&str> =
        sync.after.iter().map(String::as_str).filter(|name| syncs.contains_key(*name)).collect();
    let looked_up = sync.mapping.lookups();
    for other in syncs.values() {
        if other.name != sync.name
            && other.destination == sync.destination
            && looked_up.contains(&other.object)
            && other.object != sync.object
        {
            before.insert(&other.name);
        }
    }
    before
}

/// Returns the shortest way from `start` back to itself.
fn cycle_through<'a>(start: &'a str, before: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> Option<Vec<&'a str>> {
    let mut paths: Vec<Vec<&str>> = vec![vec![start]];
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    while !paths.is_empty() {
        let mut longer = Vec::new();
        for path in paths {
            for next in path.last().and_then(|last| before.get(last)).into_iter().flatten() {
                if *next == start {
                    return Some(path);
                }
                if before.contains_key(next) && seen.insert(next) {
                    longer.push(path.iter().copied().chain([*next]).collect());
                }
            }
        }
        paths = longer;
    }
    None
}

fn cycle_fault(syncs: &BTreeMap<String, Sync>, cycle: &[&str]) -> Option<Fault> {
    let mut steps = Vec::new();
    for (index, name) in cycle.iter().enumerate() {
        let sync = syncs.get(*name)?;
        let next = cycle.get(index + 1).or_else(|| cycle.first())?;
        let why = if sync.after.iter().any(|after| after == next) { "`after`" } else { "a look-up" };
        steps.push(format!("`{name}` runs after `{next}` ({why})"));
    }
    let first = syncs.get(*cycle.first()?)?;
    let message = format!("these syncs wait for each other: {}", steps.join(", "));
    let at = first.file.text.find("\nafter:").map_or(0, |at| at + 1);
    Some(first.file.fault(at, message, None))
}
