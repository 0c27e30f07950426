//! Faults, as a client sees them.

use std::time::Duration;

use ebb_sandbox::RequestFilter;
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Bench, Reply, read};

fn account(external_id: &str) -> Value {
    json!({ "externalId": external_id, "name": "N" })
}

async fn post(bench: &Bench) -> reqwest::Result<Reply> {
    read(bench.request(Method::POST, "/resources/accounts", Some(&account("a")))).await
}

/// Whether the fault struck after the request was applied.
async fn check_broken(action: &str, is_applied: bool) -> reqwest::Error {
    let bench = Bench::faulty(json!([{ "do": action }])).await;
    let fault = post(&bench).await.unwrap_err();
    assert_eq!(bench.state().accounts().len(), usize::from(is_applied), "{action}");
    let request = &bench.state().requests(&RequestFilter::default())[0];
    assert_eq!((request.status, request.fault), (None, Some(action)));
    assert_eq!(bench.state().counts().operations["POST /resources/accounts"].unanswered, 1);
    assert_eq!(post(&bench).await.unwrap().status, 200, "the next request is served");
    fault
}

#[tokio::test]
async fn a_reset_before_the_write_leaves_no_trace() {
    let fault = check_broken("reset_before", false).await;
    assert!(fault.is_request() && fault.status().is_none(), "{fault:?}");
}

#[tokio::test]
async fn a_reset_after_the_write_hides_that_it_was_applied() {
    let fault = check_broken("reset_after", true).await;
    assert!(fault.is_request() && fault.status().is_none(), "{fault:?}");
}

#[tokio::test]
async fn a_truncated_answer_breaks_in_its_body() {
    let fault = check_broken("truncate", true).await;
    assert!(fault.is_body() || fault.is_decode(), "{fault:?}");
}

#[tokio::test]
async fn a_truncated_answer_has_its_status_and_headers() {
    let bench = Bench::faulty(json!([{ "do": "truncate" }])).await;
    let response = bench.request(Method::POST, "/resources/accounts", Some(&account("a"))).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["RateLimit-Limit"], "1000, 1000;window=60");
    assert!(response.content_length().unwrap() > 100);
    assert!(response.bytes().await.is_err());
}

#[tokio::test]
async fn a_hanging_request_is_never_answered() {
    for (action, accounts) in [("hang", 0), ("hang_after", 1)] {
        let bench = Bench::faulty(json!([{ "do": action }])).await;
        let request = bench.request(Method::POST, "/resources/accounts", Some(&account("a")));
        let fault = read(request.timeout(Duration::from_millis(100))).await.unwrap_err();
        assert!(fault.is_timeout(), "{fault:?}");
        assert_eq!(bench.state().accounts().len(), accounts, "{action}");
        bench.sandbox.stop().await;
    }
}

#[tokio::test]
async fn a_status_comes_with_its_body_and_headers() {
    let bench = Bench::faulty(json!([
        { "do": { "status": 500 } },
        { "do": { "status": 503, "body": "<oops>", "headers": { "Retry-After": "7", "RateLimit-Reset": "9" } } },
        { "do": { "reject": { "status": 422, "error": "Bad email" } } },
        { "do": "html" },
    ]))
    .await;
    let reply = post(&bench).await.unwrap();
    assert_eq!((reply.status, reply.error().as_str()), (500, "Internal Server Error"));
    let reply = post(&bench).await.unwrap();
    assert_eq!((reply.status, reply.text.as_str()), (503, "<oops>"));
    assert_eq!((reply.header("Retry-After"), reply.header("RateLimit-Reset")), (Some("7"), Some("9")));
    let reply = post(&bench).await.unwrap();
    assert_eq!((reply.status, reply.error().as_str()), (422, "Bad email"));
    assert!(bench.state().accounts().is_empty(), "none of these was applied");
    let reply = post(&bench).await.unwrap();
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert_eq!(bench.state().accounts().len(), 1);
    assert_eq!(bench.state().counts().faults_fired, [1, 1, 1, 1]);
}

#[tokio::test]
async fn a_throttle_answers_429_with_budget_left() {
    let bench = Bench::faulty(json!([
        { "do": { "throttle": { "retry_after": 2 } } },
        { "do": { "throttle": { "retry_after": "date", "reset_seconds": 30 } } },
        { "do": { "throttle": {} } },
    ]))
    .await;
    let reply = post(&bench).await.unwrap();
    assert_eq!(
        (reply.status, reply.header("Retry-After"), reply.header("RateLimit-Reset")),
        (429, Some("2"), Some("2"))
    );
    assert_eq!(reply.header("RateLimit-Remaining"), Some("0"));
    let reply = post(&bench).await.unwrap();
    let date = chrono::DateTime::parse_from_rfc2822(reply.header("Retry-After").unwrap()).unwrap();
    assert!((29..=31).contains(&(date.to_utc() - chrono::Utc::now()).num_seconds()));
    let reply = post(&bench).await.unwrap();
    assert_eq!((reply.status, reply.header("Retry-After")), (429, None));
    assert_eq!(bench.state().counts().rest.throttled, 3);
}

#[tokio::test]
async fn a_delayed_request_is_applied_even_if_the_client_gives_up() {
    let bench = Bench::faulty(json!([{ "do": { "delay_ms": 60 }, "times": 2 }])).await;
    let request = bench.request(Method::POST, "/resources/accounts", Some(&account("a")));
    let fault = read(request.timeout(Duration::from_millis(20))).await.unwrap_err();
    assert!(fault.is_timeout(), "{fault:?}");
    // Ends by itself: the write goes on without its client.
    while bench.state().accounts().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(post(&bench).await.unwrap().status, 200);
    let requests = bench.state().requests(&RequestFilter { status: Some(200), ..RequestFilter::default() });
    assert_eq!(requests.iter().map(|request| request.fault).collect::<Vec<_>>(), [Some("delay"), Some("delay")]);
}

#[tokio::test]
async fn a_fault_finds_its_record_by_external_id_however_it_is_named() {
    let plan = json!([{ "match": { "external_id": "a-2" }, "do": { "reject": {} }, "forever": true }]);
    let bench = Bench::faulty(plan.clone()).await;
    bench.account("a-1").await;
    assert_eq!(bench.post("/resources/accounts", account("a-2")).await.status, 400);
    bench.state().set_faults(serde_json::from_value(json!([])).unwrap());
    let id = bench.account("a-2").await;
    bench.state().set_faults(serde_json::from_value(plan).unwrap());
    assert_eq!(bench.put(&format!("/resources/accounts/{id}"), json!({})).await.status, 400);
    assert_eq!(bench.put("/resources/accounts/a-2", json!({})).await.status, 400);
    assert_eq!(bench.put("/resources/accounts/a-1", json!({})).await.status, 200);
    let message = |id: &str| json!({ "type": "account", "accountId": id, "messageId": id, "traits": {} });
    assert_eq!(bench.post("/analytics/v1/batch", json!([message("a-1"), message("a-2")])).await.status, 400);
    assert_eq!(bench.post("/analytics/v1/batch", json!([message("a-1"), message("a-3")])).await.status, 200);
}
