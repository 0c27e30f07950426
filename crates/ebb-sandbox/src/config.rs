//! What a sandbox is told at its start.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::fault::FaultPlan;

/// How a sandbox behaves; [`SandboxConfig::default`] is Vitally's documented behaviour on a free port.
#[derive(Clone)]
pub struct SandboxConfig {
    /// Where to listen. Must be a loopback address; port 0 takes a free port.
    pub listen: SocketAddr,
    /// The REST API's secret token. Requests carry `Basic base64("<token>:")`.
    pub rest_token: String,
    /// The Analytics API's token. Requests carry `Basic <token>`, without any encoding.
    pub analytics_token: String,
    /// Units a minute of the REST API. `None`: no limit, and no `RateLimit-*` headers.
    pub rest_per_minute: Option<u32>,
    /// Requests a minute of the Analytics API, whose limit Vitally does not document. `None`: no limit.
    pub analytics_per_minute: Option<u32>,
    /// Units that a REST write (POST, PUT, DELETE) costs. Vitally says only that it may be more than one.
    pub write_cost: u32,
    /// The choices where Vitally's behaviour is not established.
    pub switches: Switches,
    /// How long an accepted Analytics message stays invisible. Vitally: seconds to minutes.
    pub apply_delay: Duration,
    /// The faults to inject.
    pub faults: FaultPlan,
    /// How many of the latest requests are kept for inspection. 0 keeps none.
    pub journal_cap: usize,
    /// How many events are kept for inspection; later ones are only counted.
    pub event_cap: usize,
    /// Seed of the ids that the sandbox gives out. `None` takes a fresh one, so that ids of an earlier
    /// sandbox never name a record of this one.
    pub id_seed: Option<u64>,
    /// The custom traits that `GET /resources/customFields` lists.
    pub custom_fields: Vec<CustomField>,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            rest_token: "sk_live_sandbox".to_owned(),
            analytics_token: "sandbox-analytics-token".to_owned(),
            rest_per_minute: Some(1000),
            analytics_per_minute: Some(1000),
            write_cost: 1,
            switches: Switches::default(),
            apply_delay: Duration::ZERO,
            faults: FaultPlan::default(),
            journal_cap: 10_000,
            event_cap: 1_000_000,
            id_seed: None,
            custom_fields: Vec::new(),
        }
    }
}

impl std::fmt::Debug for SandboxConfig {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("SandboxConfig")
            .field("listen", &self.listen)
            .field("rest_per_minute", &self.rest_per_minute)
            .field("analytics_per_minute", &self.analytics_per_minute)
            .field("write_cost", &self.write_cost)
            .field("switches", &self.switches)
            .field("apply_delay", &self.apply_delay)
            .finish_non_exhaustive()
    }
}

/// The choices where nothing public says what Vitally does. The default is the likelier behaviour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Switches {
    /// The form of `Retry-After` on a 429.
    pub retry_after: RetryAfter,
    /// Whether a 429 has a JSON body (`{"error": ..}`) or plain text.
    pub json_429_body: bool,
    /// Status for a record that does not exist: 404 or 400.
    pub missing_status: u16,
    /// Error text for a record that does not exist.
    pub missing_text: String,
    /// What a PUT of a user's `accountIds` or `organizationIds` does.
    pub put_links: PutLinks,
    /// What an Analytics batch with an invalid message gets.
    pub batch_bad_item: BatchBadItem,
    /// Status of a POST that created a record: 200 or 201.
    pub create_status: u16,
    /// How the REST budget is counted.
    pub limiter: Limiter,
    /// Whether the workspace has the organization level.
    pub organizations_enabled: bool,
    /// Which reading of a UUID in a path wins.
    pub uuid_in_path: UuidInPath,
    /// What a POST of a user with a known `externalId` does.
    pub post_user_existing: PostUserExisting,
    /// Whether `users/search?email=` looks at letter case.
    pub email_search: EmailSearch,
    /// What `null` in a plain field (`name`, `email`, `avatar`, `joinDate`) does.
    pub plain_null: PlainNull,
    /// What a PUT of an account's `name` does.
    pub account_name_on_put: AccountNameOnPut,
    /// What a `vitally.custom.*` trait does that the catalogue does not hold.
    pub undefined_custom_trait: UndefinedTrait,
    /// What a `null` trait in an Analytics message does.
    pub analytics_null_trait: AnalyticsNull,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            retry_after: RetryAfter::None,
            json_429_body: true,
            missing_status: 404,
            missing_text: "Not found".to_owned(),
            put_links: PutLinks::Replace,
            batch_bad_item: BatchBadItem::RejectAll,
            create_status: 200,
            limiter: Limiter::TokenBucket,
            organizations_enabled: true,
            uuid_in_path: UuidInPath::VitallyId,
            post_user_existing: PostUserExisting::Update,
            email_search: EmailSearch::Exact,
            plain_null: PlainNull::Reject,
            account_name_on_put: AccountNameOnPut::Apply,
            undefined_custom_trait: UndefinedTrait::Store,
            analytics_null_trait: AnalyticsNull::Ignore,
        }
    }
}

/// The form of `Retry-After` on a 429.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryAfter {
    /// No such header.
    None,
    /// Whole seconds.
    Seconds,
    /// An HTTP date.
    Date,
}

/// What a PUT of a user's links does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PutLinks {
    /// The given links become the user's links.
    Replace,
    /// The given links join those the user has.
    Add,
}

/// What an Analytics batch with an invalid message gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchBadItem {
    /// 400, and no message takes effect.
    RejectAll,
    /// 200; an invalid message takes effect as far as its ids allow.
    AcceptAll,
    /// 200; invalid messages are dropped silently.
    DropBad,
}

/// How the REST budget is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limiter {
    /// Units refill continuously (Vitally's documentation of 2026).
    TokenBucket,
    /// Units come back when the request that took them is 60 s old (older documentation).
    SlidingWindow,
}

/// Which reading of a UUID in a path wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UuidInPath {
    /// The record with that Vitally id; failing that, the one with that externalId.
    VitallyId,
    /// The record with that externalId; failing that, the one with that Vitally id.
    ExternalId,
}

/// What a POST of a user with a known `externalId` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PostUserExisting {
    /// It updates that user, as it does for accounts and organizations.
    Update,
    /// 400, with a text that says the user exists.
    Conflict400,
}

/// Whether `users/search?email=` looks at letter case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmailSearch {
    /// Only the very same address is found.
    Exact,
    /// Letter case does not matter.
    IgnoreCase,
}

/// What `null` in a plain field does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlainNull {
    /// 400.
    Reject,
    /// The field is emptied.
    Clear,
}

/// What a PUT of an account's `name` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountNameOnPut {
    /// The name changes.
    Apply,
    /// The name stays; the answer shows the old one.
    Ignore,
}

/// What a `vitally.custom.*` trait does that the catalogue does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UndefinedTrait {
    /// It is stored like any other.
    Store,
    /// It is left out silently.
    Ignore,
    /// 400 (REST only; the Analytics API leaves it out).
    Reject,
}

/// What a `null` trait in an Analytics message does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnalyticsNull {
    /// Nothing: the trait keeps its value.
    Ignore,
    /// The trait goes.
    Remove,
}

/// A custom trait of the catalogue, with the model it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomField {
    /// `accounts`, `organizations`, `users`, `customObjects` or another model of Vitally's.
    pub model: String,
    /// The custom object that has the trait, when the model is `customObjects`.
    #[serde(default, rename = "customObjectId", skip_serializing_if = "Option::is_none")]
    pub custom_object_id: Option<String>,
    /// The name shown to people; lists are sorted by it.
    pub label: String,
    /// `string`, `textarea`, `datetime`, ..
    #[serde(rename = "type")]
    pub kind: String,
    /// The trait's key, for instance `vitally.custom.renewalRisk`.
    pub path: String,
    /// The options of a select trait.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<SelectOption>,
}

/// One option of a select trait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelectOption {
    /// The name shown to people.
    pub label: String,
    /// The value stored.
    pub value: String,
}
