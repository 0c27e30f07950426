//! A local stand-in for Vitally's two HTTP APIs, REST and Analytics.
//!
//! It answers as Vitally's documentation and public clients say Vitally answers: authorization in the
//! documented form, rate limit headers, pagination, upserts, merged traits, deduplicated messages. Where
//! nothing public says what Vitally does, a switch chooses ([`Switches`]). A fault plan ([`FaultPlan`])
//! makes it fail on purpose, at chosen requests, the same way every time.
//!
//! It keeps everything in memory, listens on loopback addresses only, and says on every answer that it is
//! a stand-in (`x-ebb-sandbox`). It knows nothing of ebb: no type of ebb's stages appears here.
//!
//! Start reading at [`Sandbox::start`], then `exchange.rs` (the way of one request), then `rest/` and
//! `analytics.rs` (what the two APIs do), over `store/` (what they keep).

mod analytics;
mod answer;
mod config;
mod connection;
mod control;
mod counts;
mod exchange;
mod fault;
mod inspect;
mod journal;
mod limit;
mod page;
mod rest;
mod route;
mod server;
mod store;
mod world;

pub use config::{
    AccountNameOnPut, AnalyticsNull, BatchBadItem, CustomField, EmailSearch, Limiter, PlainNull, PostUserExisting,
    PutLinks, RetryAfter, SandboxConfig, SelectOption, Switches, UndefinedTrait, UuidInPath,
};
pub use counts::{Counts, MessageCounts, OperationCount, RecordCounts, TrafficCounts};
pub use fault::{FaultAction, FaultMatch, FaultPlan, FaultRule, ThrottleRetry};
pub use inspect::SandboxState;
pub use journal::{RecordedRequest, RequestFilter};
pub use server::Sandbox;
