use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use ebb_destination::Reply;
use serde_json::json;

use super::reply;
use crate::random::Random;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// Nothing.
    None,
    /// No connection: it is never sent.
    Refused,
    /// The connection breaks before the service applies it.
    ResetBefore,
    /// The connection breaks after the service applied it.
    ResetAfter,
    /// The service takes it, does nothing, and never answers.
    TimeoutBefore,
    /// The service applies it and never answers.
    TimeoutAfter,
    /// 500, not applied.
    ErrorBefore,
    /// 502, applied.
    ErrorAfter,
    /// 503 without a `Retry-After`, not applied.
    Unavailable,
    /// 503 with `Retry-After` in seconds, not applied.
    UnavailableSeconds,
    /// 503 with `Retry-After` as a date, not applied.
    UnavailableDate,
    /// 429 on behalf of another user of the key, with `Retry-After`; not applied.
    Throttled,
    /// 429 without a word of how long; not applied.
    ThrottledBare,
    /// 200 with a page of HTML, not applied.
    HtmlBefore,
    /// 200 with a page of HTML, applied.
    HtmlAfter,
    /// Applied, and the body of the answer breaks off.
    Truncated,
    /// Applied, and the body of the answer is empty.
    Empty,
    /// 401, not applied.
    Unauthorized,
    /// The answer takes seconds.
    Slow,
}

impl FaultKind {
    /// Every kind but [`FaultKind::None`].
    pub const ALL: [Self; 18] = [
        Self::Refused,
        Self::ResetBefore,
        Self::ResetAfter,
        Self::TimeoutBefore,
        Self::TimeoutAfter,
        Self::ErrorBefore,
        Self::ErrorAfter,
        Self::Unavailable,
        Self::UnavailableSeconds,
        Self::UnavailableDate,
        Self::Throttled,
        Self::ThrottledBare,
        Self::HtmlBefore,
        Self::HtmlAfter,
        Self::Truncated,
        Self::Empty,
        Self::Unauthorized,
        Self::Slow,
    ];
}

/// What happens to one request, and how long its ways take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What happens.
    pub kind: FaultKind,
    /// From the sender to the service.
    pub upstream: Duration,
    /// From the service back.
    pub downstream: Duration,
    /// What the service asks to wait, where it does.
    pub wait: Duration,
    /// Whether a request that is under way when its sender dies still arrives.
    pub outlives_sender: bool,
}

impl Fault {
    /// Nothing happens, in no time.
    pub fn none() -> Self {
        Self {
            kind: FaultKind::None,
            upstream: Duration::ZERO,
            downstream: Duration::ZERO,
            wait: Duration::from_secs(1),
            outlives_sender: true,
        }
    }

    /// Returns the answer of a service that does not apply the request; `None` where it applies it.
    pub(super) fn refusal(&self, now: DateTime<Utc>) -> Option<Reply> {
        let with = |mut reply: Reply, text: String| {
            reply.headers.push(("retry-after".to_owned(), text));
            reply
        };
        let seconds = self.wait.as_secs();
        Some(match self.kind {
            FaultKind::ErrorBefore => reply(500, &json!({"error": "Internal Server Error"})),
            FaultKind::Unavailable => reply(503, &json!({"error": "Service Unavailable"})),
            FaultKind::UnavailableSeconds => {
                with(reply(503, &json!({"error": "Service Unavailable"})), seconds.to_string())
            }
            FaultKind::UnavailableDate => {
                let until = now + TimeDelta::from_std(self.wait).unwrap_or_default();
                let date = until.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
                with(reply(503, &json!({"error": "Service Unavailable"})), date)
            }
            FaultKind::Throttled => with(reply(429, &json!({"error": "Too Many Requests"})), seconds.to_string()),
            FaultKind::ThrottledBare => reply(429, &json!({"error": "Too Many Requests"})),
            FaultKind::HtmlBefore => page(),
            FaultKind::Unauthorized => reply(401, &json!({"error": "Unauthorized"})),
            FaultKind::Refused | FaultKind::ResetBefore | FaultKind::TimeoutBefore => reply(500, &json!({})),
            FaultKind::None
            | FaultKind::ResetAfter
            | FaultKind::TimeoutAfter
            | FaultKind::ErrorAfter
            | FaultKind::HtmlAfter
            | FaultKind::Truncated
            | FaultKind::Empty
            | FaultKind::Slow => return None,
        })
    }

    /// Returns what becomes of the answer of a service that judged the request.
    pub(super) fn spoil(&self, mut answer: Reply) -> Reply {
        match self.kind {
            FaultKind::ErrorAfter => return reply(502, &json!({"error": "Bad Gateway"})),
            FaultKind::HtmlAfter => return page(),
            FaultKind::Truncated => {
                answer.body.truncate(answer.body.len() / 2);
                answer.complete = false;
            }
            FaultKind::Empty => answer.body.clear(),
            FaultKind::None
            | FaultKind::Refused
            | FaultKind::ResetBefore
            | FaultKind::ResetAfter
            | FaultKind::TimeoutBefore
            | FaultKind::TimeoutAfter
            | FaultKind::ErrorBefore
            | FaultKind::Unavailable
            | FaultKind::UnavailableSeconds
            | FaultKind::UnavailableDate
            | FaultKind::Throttled
            | FaultKind::ThrottledBare
            | FaultKind::HtmlBefore
            | FaultKind::Unauthorized
            | FaultKind::Slow => {}
        }
        answer
    }
}

fn page() -> Reply {
    Reply {
        status: 200,
        headers: vec![("content-type".to_owned(), "text/html".to_owned())],
        body: b"<html><body>Please sign in</body></html>".to_vec(),
        complete: true,
    }
}

/// The schedule of faults: each request draws its own.
#[derive(Clone, Debug)]
pub struct FaultPlan {
    random: Random,
    /// Kinds and how many of a thousand requests meet them.
    kinds: Vec<(FaultKind, u64)>,
    /// The longest way in milliseconds.
    longest_ms: u64,
}

impl FaultPlan {
    /// No faults, quick ways.
    pub fn calm(random: Random) -> Self {
        Self { random, kinds: Vec::new(), longest_ms: 20 }
    }

    /// The same, with ways of up to so many milliseconds.
    #[must_use]
    pub fn with_ways(mut self, longest_ms: u64) -> Self {
        self.longest_ms = longest_ms;
        self
    }

    /// Some kinds of faults, as the seed has it: none at all, or up to five kinds, rare or frequent.
    pub fn drawn(mut random: Random) -> Self {
        let mut kinds: Vec<(FaultKind, u64)> = Vec::new();
        for _ in 0..random.below(6) {
            let kind = random.position(FaultKind::ALL.len()).and_then(|at| FaultKind::ALL.get(at));
            let most = if kind == Some(&FaultKind::Unauthorized) { 20 } else { 250 };
            if let Some(kind) = kind {
                kinds.push((*kind, random.between(5, most)));
            }
        }
        let longest_ms = if random.chance(20) { 600 } else { 200 };
        Self { random, kinds, longest_ms }
    }

    /// One kind of fault for so many of a thousand requests.
    pub fn only(random: Random, kind: FaultKind, per_mille: u64) -> Self {
        Self { random, kinds: vec![(kind, per_mille)], longest_ms: 20 }
    }

    /// Returns what happens to the next request.
    pub fn draw(&mut self) -> Fault {
        let mut at = self.random.below(1000);
        let mut kind = FaultKind::None;
        for (candidate, share) in &self.kinds {
            if at < *share {
                kind = *candidate;
                break;
            }
            at -= share;
        }
        let upstream = self.random.millis(1, self.longest_ms);
        let slow = self.random.millis(2000, 8000);
        let downstream = self.random.millis(1, self.longest_ms);
        let downstream = if kind == FaultKind::Slow { slow } else { downstream };
        let wait = Duration::from_secs(self.random.between(1, 40));
        Fault { kind, upstream, downstream, wait, outlives_sender: self.random.chance(50) }
    }

    /// Returns the kinds and their shares of a thousand.
    pub fn kinds(&self) -> &[(FaultKind, u64)] {
        &self.kinds
    }
}
