//! The rate budget.

use ebb_sandbox::{Limiter, RetryAfter, SandboxConfig, Switches};
use serde_json::json;

use crate::client::{Bench, Reply, config};

async fn throttled(switches: Switches) -> Reply {
    let bench = Bench::with(SandboxConfig { rest_per_minute: Some(2), switches, ..config() }).await;
    for _ in 0..2 {
        assert_eq!(bench.get("/resources/accounts").await.status, 200);
    }
    let reply = bench.get("/resources/accounts").await;
    assert_eq!(reply.status, 429);
    assert_eq!(reply.header("RateLimit-Limit"), Some("2, 2;window=60"));
    assert_eq!(reply.header("RateLimit-Remaining"), Some("0"));
    let counts = bench.state().counts();
    assert_eq!((counts.rest.requests, counts.rest.throttled), (3, 1));
    assert_eq!((counts.rest.most_requests_in_a_minute, counts.rest.most_units_in_a_minute), (3, 2));
    reply
}

fn reset(reply: &Reply) -> u64 {
    reply.header("RateLimit-Reset").unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_spent_budget_answers_429_in_the_form_switched() {
    let usual = Switches::default();
    let reply = throttled(usual.clone()).await;
    assert_eq!(reply.header("Retry-After"), None);
    assert_eq!(reply.error(), "Too many requests");
    assert!((25..=30).contains(&reset(&reply)), "a token of 2 a minute takes 30 s");

    let reply = throttled(Switches { json_429_body: false, ..usual.clone() }).await;
    assert_eq!(reply.text, "Too Many Requests");

    let reply = throttled(Switches { retry_after: RetryAfter::Seconds, ..usual.clone() }).await;
    assert_eq!(reply.header("Retry-After"), reply.header("RateLimit-Reset"));

    let reply = throttled(Switches { retry_after: RetryAfter::Date, ..usual.clone() }).await;
    let date = chrono::DateTime::parse_from_rfc2822(reply.header("Retry-After").unwrap()).unwrap();
    let ahead = (date.to_utc() - chrono::Utc::now()).num_seconds();
    assert!((24..=31).contains(&ahead), "{ahead} s");

    let reply = throttled(Switches { limiter: Limiter::SlidingWindow, ..usual }).await;
    assert!((55..=60).contains(&reset(&reply)), "the earliest request leaves the window after 60 s");
}

#[tokio::test]
async fn a_write_costs_what_the_sandbox_was_told() {
    let bench = Bench::with(SandboxConfig { write_cost: 5, ..config() }).await;
    assert_eq!(bench.get("/resources/accounts").await.header("RateLimit-Remaining"), Some("999"));
    let body = json!({ "externalId": "a", "name": "A" });
    assert_eq!(bench.post("/resources/accounts", body).await.header("RateLimit-Remaining"), Some("994"));
}

#[tokio::test]
async fn the_apis_have_budgets_of_their_own() {
    let bench = Bench::with(SandboxConfig { analytics_per_minute: Some(1), ..config() }).await;
    let message = json!({ "accountId": "a", "messageId": "m" });
    let first = bench.post("/analytics/v1/account", message.clone()).await;
    assert_eq!((first.status, first.header("RateLimit-Limit")), (200, None));
    assert_eq!(bench.post("/analytics/v1/account", message).await.status, 429);
    assert_eq!(bench.get("/resources/accounts").await.status, 200);
    assert_eq!(bench.state().counts().analytics.throttled, 1);
}

#[tokio::test]
async fn without_a_limit_nothing_is_said_of_one() {
    let bench = Bench::with(SandboxConfig { rest_per_minute: None, ..config() }).await;
    for _ in 0..1100 {
        let reply = bench.get("/resources/accounts?limit=1").await;
        assert_eq!((reply.status, reply.header("RateLimit-Limit")), (200, None));
    }
}
