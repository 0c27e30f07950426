//! Filters that ask an expression of each item: `{{ users | where_exp: "u", "u.age > 18" }}`. Only in Liquid.

use std::borrow::Cow;
use std::sync::Arc;

use ebb_row::Value;

use crate::compare::{equals, is_true};
use crate::error::Fault;
use crate::filters::lists::{items, list};
use crate::filters::made::copy;
use crate::filters::{Arguments, Asks, Call, Filter, ITEM, cost, weight};

const PEOPLE: &str = r#"{"a":[{"id":1,"age":17},{"id":2,"age":30}]}"#;
const PARAMETERS: &str = "name, expression";

pub(super) const FILTERS: &[Filter] = &[
    Filter::new(
        "where_exp",
        "Keeps the items for which the condition holds; the name stands for the item.",
        filter_where,
    )
    .takes(PARAMETERS, 2, 0)
    .asks(Asks::Condition)
    .shows("{{ a | where_exp: 'p', 'p.age > 18' | map: 'id' }}", PEOPLE, "[2]"),
    Filter::new("reject_exp", "Drops the items for which the condition holds.", reject)
        .takes(PARAMETERS, 2, 0)
        .asks(Asks::Condition)
        .shows("{{ a | reject_exp: 'p', 'p.age > 18' | map: 'id' }}", PEOPLE, "[1]"),
    Filter::new("find_exp", "Returns the first item for which the condition holds.", find)
        .takes(PARAMETERS, 2, 0)
        .asks(Asks::Condition)
        .shows("{{ a | find_exp: 'p', 'p.age > 18' | json }}", PEOPLE, r#""{\"id\":2,\"age\":30}""#),
    Filter::new("find_index_exp", "Returns the position of that item, from 0.", find_index)
        .takes(PARAMETERS, 2, 0)
        .asks(Asks::Condition)
        .shows("{{ a | find_index_exp: 'p', 'p.age > 18' }}", PEOPLE, "1"),
    Filter::new("has_exp", "Returns whether there is such an item.", has)
        .takes(PARAMETERS, 2, 0)
        .asks(Asks::Condition)
        .shows("{{ a | has_exp: 'p', 'p.age > 40' }}", PEOPLE, "false"),
    Filter::new("group_by_exp", "Groups the items by a value, as `group_by` does by a property.", group_by)
        .takes(PARAMETERS, 2, 0)
        .asks(Asks::Value)
        .shows("{{ a | group_by_exp: 'p', 'p.id | modulo: 2' | map: 'name' }}", PEOPLE, "[1,0]"),
];

/// The bytes that a group takes besides its name and its items.
const GROUP: usize = 3 * ITEM + "name".len() + "items".len();

type Output<'v> = Result<Cow<'v, Value>, Fault>;

/// Asks of each item whether the condition holds.
fn judged<'a>(call: &Call<'_>, input: &'a Value) -> Result<Vec<(&'a Value, bool)>, Fault> {
    items(input).into_iter().map(|item| Ok((item, is_true(&(call.ask)(item)?)))).collect()
}

fn filter_where<'v>(call: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    let kept = judged(call, &input)?.into_iter().filter(|(_, holds)| *holds).map(|(item, _)| item).collect();
    list(call, kept)
}

fn reject<'v>(call: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    let kept = judged(call, &input)?.into_iter().filter(|(_, holds)| !*holds).map(|(item, _)| item).collect();
    list(call, kept)
}

fn find<'v>(call: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    let found = judged(call, &input)?.into_iter().find(|(_, holds)| *holds).map(|(item, _)| item);
    copy(call, found.unwrap_or(&Value::Null)).map(Cow::Owned)
}

fn find_index<'v>(call: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    let found = judged(call, &input)?.into_iter().position(|(_, holds)| holds);
    let index = found.and_then(|index| i128::try_from(index).ok());
    Ok(Cow::Owned(index.map_or(Value::Null, Value::Int)))
}

fn has<'v>(call: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    Ok(Cow::Owned(Value::Bool(judged(call, &input)?.into_iter().any(|(_, holds)| holds))))
}

fn group_by<'v>(call: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    let mut groups = Groups::default();
    for item in items(&input) {
        let key = (call.ask)(item)?;
        call.budget.produce(weight(&key))?;
        groups.add(call, Cow::Owned(key), item)?;
    }
    groups.into_list(call)
}

/// Items by their keys, in the order in which the keys first come.
#[derive(Default)]
pub(super) struct Groups<'i> {
    groups: Vec<(Cow<'i, Value>, Vec<&'i Value>)>,
}

impl<'i> Groups<'i> {
    /// Puts an item into the group of its key, which is compared with all keys before it.
    pub(super) fn add(&mut self, call: &Call<'_>, key: Cow<'i, Value>, item: &'i Value) -> Result<(), Fault> {
        let known = self.groups.len();
        call.budget.step(1 + known / 16 + known.saturating_mul(cost(&key)))?;
        match self.groups.iter_mut().find(|(known, _)| equals(known, &key)) {
            Some((_, members)) => members.push(item),
            None => self.groups.push((key, vec![item])),
        }
        Ok(())
    }

    /// Makes a list of `{ name, items }`, if it may still be produced.
    pub(super) fn into_list<'v>(self, call: &Call<'_>) -> Output<'v> {
        let mut bytes: usize = 0;
        for (name, members) in &self.groups {
            let copied = members.iter().map(|member| ITEM + weight(member)).sum::<usize>();
            bytes = bytes.saturating_add(GROUP + weight(name)).saturating_add(copied);
            call.budget.afford(bytes)?;
        }
        let group = |(name, members): (Cow<'_, Value>, Vec<&Value>)| {
            let members = Value::List(members.into_iter().cloned().collect());
            Value::Object([(Arc::from("name"), name.into_owned()), (Arc::from("items"), members)].into_iter().collect())
        };
        Ok(Cow::Owned(Value::List(self.groups.into_iter().map(group).collect())))
    }
}
