//! Symbolic references become the destination's ids: from what is remembered, or by asking, each id once a run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ebb_row::{Lookup, Object, RowKey, Value};
use ebb_state::StateError;
use futures::StreamExt as _;

use crate::execute::Run;
use crate::write::{Driven, Halt, Made};

/// How many rows a look-up's log line names.
const KEYS_NAMED: usize = 20;

/// What became of the references of some records.
#[derive(Debug, Default)]
pub(crate) struct Resolved {
    /// Ids that were found.
    pub(crate) ids: BTreeMap<Lookup, String>,
    /// References to objects that the destination does not have.
    pub(crate) missing: BTreeSet<Lookup>,
}

/// Collects the references of a record.
pub(crate) fn references(value: &Value, found: &mut BTreeSet<Lookup>) {
    match value {
        Value::Lookup(lookup) => {
            found.insert(lookup.clone());
        }
        Value::List(items) => items.iter().for_each(|item| references(item, found)),
        Value::Object(object) => object.values().for_each(|field| references(field, found)),
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Decimal(_)
        | Value::Text(_)
        | Value::Bytes(_)
        | Value::Instant(_)
        | Value::LocalTime(_)
        | Value::Date(_) => {}
    }
}

/// Returns the record with ids in place of references; the first reference without an id otherwise.
pub(crate) fn substitute_object(object: &Object, ids: &BTreeMap<Lookup, String>) -> Result<Object, Lookup> {
    object.iter().map(|(name, field)| Ok((Arc::clone(name), substitute(field, ids)?))).collect()
}

fn substitute(value: &Value, ids: &BTreeMap<Lookup, String>) -> Result<Value, Lookup> {
    Ok(match value {
        Value::Lookup(lookup) => Value::from(ids.get(lookup).ok_or_else(|| lookup.clone())?.clone()),
        Value::List(items) => Value::List(items.iter().map(|item| substitute(item, ids)).collect::<Result<_, _>>()?),
        Value::Object(object) => Value::Object(substitute_object(object, ids)?),
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Decimal(_)
        | Value::Text(_)
        | Value::Bytes(_)
        | Value::Instant(_)
        | Value::LocalTime(_)
        | Value::Date(_) => value.clone(),
    })
}

impl Run {
    /// Resolves references; `wanted` names the rows that need each. Those neither found nor missing were not reached.
    pub(crate) async fn resolve(
        &self,
        wanted: &BTreeMap<Lookup, Vec<RowKey>>,
        resolved: &mut Resolved,
    ) -> Result<(), StateError> {
        let mut by_object: BTreeMap<&Arc<str>, Vec<Arc<str>>> = BTreeMap::new();
        for lookup in wanted.keys() {
            if !resolved.ids.contains_key(lookup) && !resolved.missing.contains(lookup) {
                by_object.entry(&lookup.object).or_default().push(Arc::clone(&lookup.external_id));
            }
        }
        let destination = self.sync.destination.identity().to_string();
        for (object, external_ids) in by_object {
            let known = self.caller.store.known_ids(&destination, object, &external_ids).await?;
            let mut unknown = Vec::new();
            for (external_id, id) in external_ids.into_iter().zip(known) {
                match id {
                    Some(id) => {
                        resolved.ids.insert(Lookup { object: Arc::clone(object), external_id }, id);
                    }
                    None => unknown.push(external_id),
                }
            }
            self.ask(object, &unknown, wanted, resolved).await?;
        }
        Ok(())
    }

    async fn ask(
        &self,
        object: &Arc<str>,
        external_ids: &[Arc<str>],
        wanted: &BTreeMap<Lookup, Vec<RowKey>>,
        resolved: &mut Resolved,
    ) -> Result<(), StateError> {
        let size = self.sync.destination.look_up_size(object).max(1);
        let questions: Vec<Vec<Arc<str>>> = external_ids.chunks(size).map(<[_]>::to_vec).collect();
        let mut answers = futures::stream::iter(questions)
            .map(|ids| self.ask_once(object, ids, wanted))
            .buffered(self.sync.concurrency.max(1));
        while let Some(answer) = answers.next().await {
            for (lookup, id) in answer? {
                match id {
                    Some(id) => resolved.ids.insert(lookup, id).map_or((), drop),
                    None => drop(resolved.missing.insert(lookup)),
                }
            }
        }
        Ok(())
    }

    async fn ask_once(
        &self,
        object: &Arc<str>,
        external_ids: Vec<Arc<str>>,
        wanted: &BTreeMap<Lookup, Vec<RowKey>>,
    ) -> Result<Vec<(Lookup, Option<String>)>, StateError> {
        let lookups: Vec<Lookup> = external_ids
            .iter()
            .map(|external_id| Lookup { object: Arc::clone(object), external_id: Arc::clone(external_id) })
            .collect();
        let keys: Vec<RowKey> =
            lookups.iter().filter_map(|lookup| wanted.get(lookup)).flatten().take(KEYS_NAMED).cloned().collect();
        let mut steps = self.sync.destination.look_up(object, external_ids);
        let mut made = Made::default();
        let driven = self.caller.drive(steps.as_mut(), &keys, &mut made, &|_| ("answered", None)).await;
        // Without a line, marks would close the intents of these numbers of every run: an intent that was never sent stays.
        if !made.calls.is_empty() {
            self.caller.store.log_calls(self.caller.sync, made.calls, made.intents).await?;
        }
        let Driven::Done(ids) = driven else { return Ok(Vec::new()) };
        let destination = self.sync.destination.identity().to_string();
        for (lookup, id) in lookups.iter().zip(&ids) {
            if let Some(id) = id {
                self.caller.store.learn_id(&destination, object, &lookup.external_id, Some(id)).await?;
            }
        }
        Ok(lookups.into_iter().zip(ids).collect())
    }

    /// Halts the run for a fault of the state.
    pub(crate) fn state_failed(&self, error: &StateError) {
        match error {
            StateError::LeaseLost { .. } => self.caller.halt(Halt::LeaseLost),
            StateError::Unusable(_) | StateError::Storage(_) => self.caller.halt(Halt::State(error.to_string())),
        }
    }
}
