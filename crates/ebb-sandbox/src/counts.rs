//! Counts of what arrived and what became of it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::limit::{BusiestMinute, Elapsed};
use crate::route::Api;

/// Counts since the start or the last reset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// By operation, such as `POST /resources/accounts`.
    pub operations: BTreeMap<&'static str, OperationCount>,
    /// The REST API's traffic.
    pub rest: TrafficCounts,
    /// The Analytics API's traffic.
    pub analytics: TrafficCounts,
    /// Analytics messages.
    pub messages: MessageCounts,
    /// Records there are.
    pub records: RecordCounts,
    /// Records written more than once since they were created.
    pub rewritten: RecordCounts,
    /// Writes to the records there are, their creation included.
    pub writes: RecordCounts,
    /// How often each rule of the fault plan has fired, in its order.
    pub faults_fired: Vec<u64>,
}

/// Requests of one operation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct OperationCount {
    /// Requests received.
    pub requests: u64,
    /// Requests by the status answered.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests that a fault left without an answer, or with half of one.
    pub unanswered: u64,
}

/// One API's traffic.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TrafficCounts {
    /// Requests received.
    pub requests: u64,
    /// Answers of 429, from the budget or the fault plan.
    pub throttled: u64,
    /// The most requests received in any trailing 60 seconds.
    pub most_requests_in_a_minute: u64,
    /// The most units spent in any trailing 60 seconds.
    pub most_units_in_a_minute: u64,
}

/// Analytics messages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct MessageCounts {
    /// Messages accepted, duplicates not counted.
    pub accepted: u64,
    /// Messages accepted without effect, their messageId being known.
    pub duplicates: u64,
    /// Invalid messages of a batch that was accepted without them.
    pub dropped: u64,
    /// Messages accepted and not yet visible.
    pub pending: u64,
}

/// A number for each kind of record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RecordCounts {
    /// Accounts.
    pub accounts: u64,
    /// Organizations.
    pub organizations: u64,
    /// Users.
    pub users: u64,
    /// Instances of custom objects.
    pub instances: u64,
    /// Events.
    pub events: u64,
}

/// The counting side.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    operations: BTreeMap<&'static str, OperationCount>,
    rest: Traffic,
    analytics: Traffic,
}

#[derive(Debug, Default)]
struct Traffic {
    requests: u64,
    throttled: u64,
    busiest_requests: BusiestMinute,
    busiest_units: BusiestMinute,
}

impl Tally {
    fn traffic(&mut self, api: Api) -> &mut Traffic {
        match api {
            Api::Rest | Api::Own => &mut self.rest,
            Api::Analytics => &mut self.analytics,
        }
    }

    pub(crate) fn received(&mut self, api: Api, operation: &'static str, now: Elapsed) {
        self.operations.entry(operation).or_default().requests += 1;
        let traffic = self.traffic(api);
        traffic.requests += 1;
        traffic.busiest_requests.add(1, now);
    }

    pub(crate) fn spent(&mut self, api: Api, units: u32, now: Elapsed) {
        self.traffic(api).busiest_units.add(units, now);
    }

    pub(crate) fn answered(&mut self, api: Api, operation: &'static str, status: Option<u16>) {
        let count = self.operations.entry(operation).or_default();
        match status {
            Some(status) => *count.statuses.entry(status).or_default() += 1,
            None => count.unanswered += 1,
        }
        if status == Some(429) {
            self.traffic(api).throttled += 1;
        }
    }

    /// The counts so far; what only the store and the inbox know is left at 0.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            operations: self.operations.clone(),
            rest: self.rest.counts(),
            analytics: self.analytics.counts(),
            ..Counts::default()
        }
    }
}

impl Traffic {
    fn counts(&self) -> TrafficCounts {
        TrafficCounts {
            requests: self.requests,
            throttled: self.throttled,
            most_requests_in_a_minute: self.busiest_requests.most(),
            most_units_in_a_minute: self.busiest_units.most(),
        }
    }
}
