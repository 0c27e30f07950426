//! Status and `Retry-After` to a default verdict; shared by all destinations and the engine.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::http::Reply;

/// What a status says before a destination reads the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// 2xx.
    Success,
    /// 429: not applied; wait and send again.
    Throttled,
    /// 401: the credentials are refused; stop the run. (403 as a run's first answer counts as this.)
    Refused,
    /// 500, 502, 504, 408: may have been applied.
    Ambiguous,
    /// 503: not applied; send again later.
    Unavailable,
    /// Any other: about this request; the destination judges.
    Other,
}

/// Judges a status code.
pub fn judge_status(status: u16) -> Verdict {
    match status {
        200..=299 => Verdict::Success,
        429 => Verdict::Throttled,
        401 => Verdict::Refused,
        503 => Verdict::Unavailable,
        408 | 500..=599 => Verdict::Ambiguous,
        _ => Verdict::Other,
    }
}

/// Returns how long the reply asks to wait by `Retry-After`: seconds, or an HTTP date against the reply's own `Date`
/// (`now` where it has none; RFC 9110 §10.2.3). `None` without a usable header.
pub fn retry_after(reply: &Reply, now: DateTime<Utc>) -> Option<Duration> {
    let text = reply.header("retry-after")?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    let from =
        reply.header("date").and_then(|date| httpdate::parse_http_date(date.trim()).ok()).unwrap_or_else(|| now.into());
    Some(until.duration_since(from).unwrap_or_default())
}
