use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use ebb_destination::{Reply, Request};
use serde_json::Value;

use super::fault::Fault;

/// A record's fields by their paths (`name`, `traits.plan`).
pub type Content = BTreeMap<String, Value>;

/// One record in a request.
#[derive(Clone, Debug, PartialEq)]
pub struct CarriedRecord {
    /// The external id.
    pub key: String,
    /// The message id, where the API has one.
    pub message_id: Option<String>,
    /// The fields as they were sent; nulls stay.
    pub content: Content,
    /// Whether it changed anything; false for what was not applied.
    pub changed: bool,
}

/// One request and what became of it, as the service and the wire saw it.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The process that sent it.
    pub process: u64,
    /// The request.
    pub request: Request,
    /// What the schedule did to it.
    pub fault: Fault,
    /// When it left.
    pub sent_at: DateTime<Utc>,
    /// When the service took it; `None` when it never arrived.
    pub arrived_at: Option<DateTime<Utc>>,
    /// When its sender knew how it ended; `None` when the sender died first.
    pub ended_at: Option<DateTime<Utc>>,
    /// The records that it carried.
    pub items: Vec<CarriedRecord>,
    /// Whether they were applied.
    pub applied: bool,
    /// Whether it was above the limit.
    pub is_over_limit: bool,
    /// The answer that reached the sender.
    pub reply: Option<Reply>,
}

impl Exchange {
    /// Returns whether the sender was told, readably, that the request was applied.
    pub fn is_acknowledged(&self) -> bool {
        self.applied
            && self.reply.as_ref().is_some_and(|reply| {
                reply.status < 300 && reply.complete && serde_json::from_slice::<Value>(&reply.body).is_ok()
            })
    }
}
