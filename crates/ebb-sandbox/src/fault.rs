//! The fault plan: which requests fail, and how. Deterministic: the same requests in the same order fail
//! the same way.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::header::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::Value;

/// Rules, tried in their order at every request to either API; the first that fires acts.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct FaultPlan {
    /// The rules.
    pub rules: Vec<FaultRule>,
}

/// One rule: at which requests it fires, and what happens then.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "RawRule")]
pub struct FaultRule {
    /// Which requests the rule is about.
    pub matches: FaultMatch,
    /// What happens when it fires.
    pub action: FaultAction,
    /// How often it fires at most. `None`: without end.
    pub times: Option<u64>,
}

/// Which requests a rule is about, and at which of those it fires. All conditions must hold; one that is
/// absent holds. Matching requests are counted from 1, whether or not the rule fires.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FaultMatch {
    /// The start of an operation's name, such as `POST /resources/accounts` or `PUT `.
    pub operation: Option<String>,
    /// The record's externalId (for Analytics: any of the ids of any message).
    pub external_id: Option<String>,
    /// Fires at this one.
    pub nth: Option<u64>,
    /// Fires at every so many.
    pub every: Option<u64>,
    /// Fires from this one on.
    pub from: Option<u64>,
    /// Fires up to this one.
    pub to: Option<u64>,
    /// Fires with this probability, drawn from `seed` and the request's number.
    pub probability: Option<f64>,
    /// Seed of `probability`.
    pub seed: u64,
}

/// What a fault does.
#[derive(Debug, Clone, PartialEq)]
pub enum FaultAction {
    /// Answers with a status, and does not apply the request.
    Status {
        /// The status.
        status: u16,
        /// The body. `None`: `{"error": "<reason phrase>"}`.
        body: Option<String>,
        /// Further headers.
        headers: Vec<(HeaderName, HeaderValue)>,
    },
    /// Answers 429, whatever the budget says, and does not apply the request.
    Throttle {
        /// The form of `Retry-After`.
        retry_after: ThrottleRetry,
        /// Seconds in `RateLimit-Reset`, and ahead in a `Retry-After` date.
        reset_seconds: u64,
    },
    /// Waits, then applies and answers as usual. The request is applied even if the client gives up.
    Delay(Duration),
    /// Never answers, and does not apply the request.
    Hang,
    /// Applies the request and never answers.
    HangAfter,
    /// Closes the connection (TCP reset) without applying the request.
    ResetBefore,
    /// Applies the request, then closes the connection (TCP reset) without an answer.
    ResetAfter,
    /// Applies the request, sends the answer up to the middle of its body, and closes the connection.
    Truncate,
    /// Applies the request and answers 200 with a page of HTML.
    Html,
    /// Refuses the request as the API would, without applying it.
    Reject {
        /// The status.
        status: u16,
        /// The error text.
        error: String,
    },
}

impl FaultAction {
    /// The word for it in the journal.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Status { .. } => "status",
            Self::Throttle { .. } => "throttle",
            Self::Delay(_) => "delay",
            Self::Hang => "hang",
            Self::HangAfter => "hang_after",
            Self::ResetBefore => "reset_before",
            Self::ResetAfter => "reset_after",
            Self::Truncate => "truncate",
            Self::Html => "html",
            Self::Reject { .. } => "reject",
        }
    }
}

/// The form of `Retry-After` on an injected 429.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThrottleRetry {
    /// No such header.
    None,
    /// So many seconds.
    Seconds(u64),
    /// An HTTP date, `reset_seconds` ahead.
    Date,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    #[serde(default, rename = "match")]
    matches: FaultMatch,
    #[serde(rename = "do")]
    action: Value,
    times: Option<u64>,
    #[serde(default)]
    forever: bool,
}

impl TryFrom<RawRule> for FaultRule {
    type Error = String;

    fn try_from(raw: RawRule) -> Result<Self, String> {
        let matches = raw.matches;
        if matches.nth == Some(0) || matches.every == Some(0) {
            return Err("`nth` and `every` count from 1".to_owned());
        }
        if matches.probability.is_some_and(|it| !(0.0..=1.0).contains(&it)) {
            return Err("`probability` is between 0 and 1".to_owned());
        }
        if raw.forever && raw.times.is_some() {
            return Err("a rule has `times` or `forever`, not both".to_owned());
        }
        let is_ranged =
            matches.every.is_some() || matches.from.is_some() || matches.to.is_some() || matches.probability.is_some();
        let times = if raw.forever || (raw.times.is_none() && is_ranged) { None } else { Some(raw.times.unwrap_or(1)) };
        Ok(Self { matches, action: read_action(raw.action)?, times })
    }
}

const ACTIONS: &str = "`do` is one of \"hang\", \"hang_after\", \"reset_before\", \"reset_after\", \"truncate\", \
    \"html\", {\"status\": ..}, {\"throttle\": ..}, {\"delay_ms\": ..}, {\"reject\": ..}";

fn read_action(value: Value) -> Result<FaultAction, String> {
    match value {
        Value::String(word) => match word.as_str() {
            "hang" => Ok(FaultAction::Hang),
            "hang_after" => Ok(FaultAction::HangAfter),
            "reset_before" => Ok(FaultAction::ResetBefore),
            "reset_after" => Ok(FaultAction::ResetAfter),
            "truncate" => Ok(FaultAction::Truncate),
            "html" => Ok(FaultAction::Html),
            _ => Err(format!("unknown action `{word}`: {ACTIONS}")),
        },
        Value::Object(fields) if fields.contains_key("status") => read_status(Value::Object(fields)),
        Value::Object(fields) => {
            let raw: RawAction = serde_json::from_value(Value::Object(fields)).map_err(|fault| fault.to_string())?;
            match (raw.throttle, raw.delay_ms, raw.reject) {
                (Some(throttle), None, None) => read_throttle(&throttle),
                (None, Some(delay_ms), None) => Ok(FaultAction::Delay(Duration::from_millis(delay_ms))),
                (None, None, Some(reject)) => {
                    Ok(FaultAction::Reject { status: final_status(reject.status)?, error: reject.error })
                }
                _ => Err(ACTIONS.to_owned()),
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => Err(ACTIONS.to_owned()),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAction {
    throttle: Option<RawThrottle>,
    delay_ms: Option<u64>,
    reject: Option<RawReject>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawThrottle {
    #[serde(default)]
    retry_after: Value,
    reset_seconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReject {
    #[serde(default = "bad_request")]
    status: u16,
    #[serde(default = "rejected")]
    error: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStatus {
    status: u16,
    body: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

fn bad_request() -> u16 {
    400
}

fn rejected() -> String {
    "Rejected by the fault plan".to_owned()
}

fn final_status(status: u16) -> Result<u16, String> {
    if (200..=599).contains(&status) { Ok(status) } else { Err("a status is between 200 and 599".to_owned()) }
}

fn read_status(value: Value) -> Result<FaultAction, String> {
    let raw: RawStatus = serde_json::from_value(value).map_err(|fault| fault.to_string())?;
    let mut headers = Vec::new();
    for (name, value) in raw.headers {
        let read = HeaderName::try_from(&name).ok().zip(HeaderValue::try_from(&value).ok());
        headers.push(read.ok_or_else(|| format!("`{name}` is not a valid header"))?);
    }
    Ok(FaultAction::Status { status: final_status(raw.status)?, body: raw.body, headers })
}

fn read_throttle(raw: &RawThrottle) -> Result<FaultAction, String> {
    let retry_after = match &raw.retry_after {
        Value::Null => ThrottleRetry::None,
        Value::String(word) if word == "date" => ThrottleRetry::Date,
        Value::Number(seconds) if let Some(seconds) = seconds.as_u64() => ThrottleRetry::Seconds(seconds),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            return Err("`retry_after` is a number of seconds, \"date\" or null".to_owned());
        }
    };
    let seconds = match retry_after {
        ThrottleRetry::Seconds(seconds) => seconds,
        ThrottleRetry::None | ThrottleRetry::Date => 1,
    };
    Ok(FaultAction::Throttle { retry_after, reset_seconds: raw.reset_seconds.unwrap_or(seconds) })
}

/// A plan with its counters.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    rules: Vec<(FaultRule, Tally)>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    matched: u64,
    fired: u64,
}

impl Faults {
    pub(crate) fn new(plan: FaultPlan) -> Self {
        Self { rules: plan.rules.into_iter().map(|rule| (rule, Tally::default())).collect() }
    }

    /// Whether some rule asks for externalIds.
    pub(crate) fn asks_for_ids(&self) -> bool {
        self.rules.iter().any(|(rule, _)| rule.matches.external_id.is_some())
    }

    /// Begins the same plan anew.
    pub(crate) fn restart(&mut self) {
        for (_, tally) in &mut self.rules {
            *tally = Tally::default();
        }
    }

    /// How often each rule has fired, in the plan's order.
    pub(crate) fn fired(&self) -> Vec<u64> {
        self.rules.iter().map(|(_, tally)| tally.fired).collect()
    }

    /// Counts a request and says what happens to it, if anything.
    pub(crate) fn strike(&mut self, operation: &str, external_ids: &[String]) -> Option<FaultAction> {
        let mut struck = None;
        for (rule, tally) in &mut self.rules {
            let matches = &rule.matches;
            let is_about = matches.operation.as_ref().is_none_or(|prefix| operation.starts_with(prefix.as_str()))
                && matches.external_id.as_ref().is_none_or(|wanted| external_ids.contains(wanted));
            if !is_about {
                continue;
            }
            tally.matched += 1;
            let fires =
                struck.is_none() && rule.times.is_none_or(|times| tally.fired < times) && matches.picks(tally.matched);
            if fires {
                tally.fired += 1;
                struck = Some(rule.action.clone());
            }
        }
        struck
    }
}

impl FaultMatch {
    fn picks(&self, number: u64) -> bool {
        self.nth.is_none_or(|nth| number == nth)
            && self.every.is_none_or(|every| number.is_multiple_of(every))
            && self.from.is_none_or(|from| number >= from)
            && self.to.is_none_or(|to| number <= to)
            && self.probability.is_none_or(|probability| draw(self.seed, number) < probability)
    }
}

/// A number in [0, 1), the same for the same seed and request.
fn draw(seed: u64, number: u64) -> f64 {
    let mut mixed = seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    let high = u32::try_from(mixed >> 32).unwrap_or(u32::MAX);
    f64::from(high) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fired(plan: &str, requests: usize) -> Vec<usize> {
        let mut faults = Faults::new(serde_json::from_str(plan).unwrap());
        (1..=requests).filter(|_| faults.strike("POST /resources/accounts", &["a-1".to_owned()]).is_some()).collect()
    }

    #[test]
    fn conditions_pick_requests_by_their_number() {
        assert_eq!(fired(r#"[{"do": "hang"}]"#, 5), [1]);
        assert_eq!(fired(r#"[{"match": {"nth": 3}, "do": "hang"}]"#, 9), [3]);
        assert_eq!(fired(r#"[{"match": {"every": 3}, "do": "hang"}]"#, 9), [3, 6, 9]);
        assert_eq!(fired(r#"[{"match": {"every": 3}, "do": "hang", "times": 2}]"#, 9), [3, 6]);
        assert_eq!(fired(r#"[{"match": {"from": 2, "to": 3}, "do": "hang"}]"#, 9), [2, 3]);
        assert_eq!(fired(r#"[{"do": "hang", "forever": true}]"#, 3), [1, 2, 3]);
        assert_eq!(fired(r#"[{"match": {"operation": "POST /resources"}, "do": "hang", "times": 2}]"#, 3), [1, 2]);
        assert_eq!(fired(r#"[{"match": {"operation": "PUT"}, "do": "hang", "forever": true}]"#, 3), [0; 0]);
        assert_eq!(fired(r#"[{"match": {"external_id": "a-2"}, "do": "hang"}]"#, 3), [0; 0]);
    }

    #[test]
    fn probability_is_drawn_the_same_way_every_time() {
        let plan = r#"[{"match": {"probability": 0.25, "seed": 7}, "do": "reset_after"}]"#;
        let first = fired(plan, 4000);
        assert_eq!(first, fired(plan, 4000));
        assert!((800..1200).contains(&first.len()), "{} of 4000", first.len());
    }

    #[test]
    fn a_wrong_plan_says_what_is_wrong() {
        let check = |plan: &str, message: &str| {
            let fault = serde_json::from_str::<FaultPlan>(plan).unwrap_err().to_string();
            assert!(fault.contains(message), "{fault}");
        };
        check(r#"[{"do": "explode"}]"#, "unknown action `explode`");
        check(r#"[{"match": {"nht": 3}, "do": "hang"}]"#, "unknown field `nht`");
        check(r#"[{"match": {"nth": 0}, "do": "hang"}]"#, "count from 1");
        check(r#"[{"do": {"status": 42}}]"#, "between 200 and 599");
        check(r#"[{"do": {"status": 500, "heders": {}}}]"#, "unknown field `heders`");
        check(r#"[{"do": {"throttle": {"retry_after": "soon"}}}]"#, "`retry_after` is a number");
        check(r#"[{"do": "hang", "times": 2, "forever": true}]"#, "not both");
        check(r#"[{"do": {}}]"#, "`do` is one of");
    }
}
