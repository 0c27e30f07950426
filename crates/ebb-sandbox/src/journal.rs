//! The latest requests, kept for inspection.

use std::collections::VecDeque;

use serde::Serialize;

/// Text kept of all bodies together; older requests go first.
const BODY_BYTES: usize = 256 * 1024 * 1024;

/// A request that the sandbox received. The authorization is never kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordedRequest {
    /// Its number, counted from 1 over both APIs since the start or the last reset.
    pub number: u64,
    /// When it was received, ISO 8601.
    pub time: String,
    /// Milliseconds between the sandbox's start and its receipt.
    pub elapsed_ms: u64,
    /// Method and path with `:id` for an id, for instance `PUT /resources/users/:id`.
    pub operation: &'static str,
    /// The method.
    pub method: String,
    /// The path with the query, as received.
    pub path: String,
    /// The body, as received; empty when there was none.
    pub body: String,
    /// The externalIds it names (for Analytics: all ids of all messages).
    pub external_ids: Vec<String>,
    /// The status answered. `None` while it is under way, or when a fault left it without an answer.
    pub status: Option<u16>,
    /// The fault injected, by its word in the fault plan.
    pub fault: Option<&'static str>,
}

/// Which recorded requests are asked for. All conditions must hold; `None` holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestFilter {
    /// The start of the operation's name.
    pub operation: Option<String>,
    /// One of the externalIds named.
    pub external_id: Option<String>,
    /// The status answered.
    pub status: Option<u16>,
}

impl RequestFilter {
    fn picks(&self, request: &RecordedRequest) -> bool {
        self.operation.as_ref().is_none_or(|prefix| request.operation.starts_with(prefix.as_str()))
            && self.external_id.as_ref().is_none_or(|id| request.external_ids.contains(id))
            && self.status.is_none_or(|status| request.status == Some(status))
    }
}

/// A bounded queue of requests.
#[derive(Debug)]
pub(crate) struct Journal {
    cap: usize,
    requests: VecDeque<RecordedRequest>,
    body_bytes: usize,
    next: u64,
}

impl Journal {
    pub(crate) fn new(cap: usize) -> Self {
        Self { cap, requests: VecDeque::new(), body_bytes: 0, next: 1 }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.cap > 0
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.cap);
    }

    /// Keeps a request and returns its number. Its `number` is filled in.
    pub(crate) fn open(&mut self, mut request: RecordedRequest) -> u64 {
        let number = self.next;
        self.next += 1;
        request.number = number;
        self.body_bytes += request.body.len();
        self.requests.push_back(request);
        while self.requests.len() > self.cap || self.body_bytes > BODY_BYTES {
            let Some(oldest) = self.requests.pop_front() else { break };
            self.body_bytes -= oldest.body.len();
        }
        number
    }

    /// Notes how a request ended, if it is still kept.
    pub(crate) fn close(&mut self, number: u64, status: Option<u16>, fault: Option<&'static str>) {
        let Some(first) = self.requests.front().map(|request| request.number) else { return };
        let position = number.checked_sub(first).and_then(|offset| usize::try_from(offset).ok());
        if let Some(request) = position.and_then(|position| self.requests.get_mut(position)) {
            request.status = status;
            request.fault = fault;
        }
    }

    /// The kept requests that `filter` picks, oldest first.
    pub(crate) fn find(&self, filter: &RequestFilter) -> Vec<RecordedRequest> {
        self.requests.iter().filter(|request| filter.picks(request)).cloned().collect()
    }

    /// The latest requests, newest first.
    pub(crate) fn latest(&self, count: usize) -> impl Iterator<Item = &RecordedRequest> {
        self.requests.iter().rev().take(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(operation: &'static str) -> RecordedRequest {
        RecordedRequest {
            number: 0,
            time: String::new(),
            elapsed_ms: 0,
            operation,
            method: "GET".to_owned(),
            path: "/".to_owned(),
            body: String::new(),
            external_ids: vec!["a".to_owned()],
            status: None,
            fault: None,
        }
    }

    #[test]
    fn the_oldest_request_goes_when_the_journal_is_full() {
        let mut journal = Journal::new(2);
        let numbers = ["GET a", "GET b", "PUT c"].map(|operation| journal.open(request(operation)));
        assert_eq!(numbers, [1, 2, 3]);
        journal.close(1, Some(500), None);
        journal.close(3, Some(200), Some("delay"));
        let kept = journal.find(&RequestFilter::default());
        assert_eq!(kept.iter().map(|it| (it.number, it.status)).collect::<Vec<_>>(), [(2, None), (3, Some(200))]);
        let puts = RequestFilter { operation: Some("PUT".to_owned()), ..RequestFilter::default() };
        assert_eq!(journal.find(&puts).len(), 1);
    }
}
