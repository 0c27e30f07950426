//! The Analytics API.

use std::time::Duration;

use ebb_sandbox::{AnalyticsNull, BatchBadItem, SandboxConfig, Switches};
use serde_json::{Value, json};

use crate::client::{Bench, config, external_ids};

fn stamped(mut message: Value, message_id: &str) -> Value {
    message["messageId"] = json!(message_id);
    message["timestamp"] = json!("2026-01-05T10:00:00.000Z");
    message
}

#[tokio::test]
async fn a_valid_message_gets_success_and_takes_effect() {
    let bench = Bench::start().await;
    let send = async |path: &str, message: Value| {
        let reply = bench.post(&format!("/analytics/v1/{path}"), stamped(message, path)).await;
        assert_eq!((reply.status, reply.text.as_str()), (200, r#"{"message":"Success."}"#), "{path}");
    };
    send("organization", json!({ "organizationId": "o", "traits": { "name": "Org", "size": 3 } })).await;
    send("account", json!({ "accountId": "a", "organizationId": "o", "traits": { "name": "Acc", "plan": "x" } })).await;
    let traits = json!({ "name": "U", "email": "u@x.org", "avatar": "i.png", "createdAt": "2020-01-01", "role": "r" });
    send("user", json!({ "userId": "u", "accountId": "a", "organizationId": "o", "traits": traits })).await;
    send("track", json!({ "event": "Opened", "userId": "u", "properties": { "n": 1 } })).await;
    let instance = json!({ "externalId": "t-1", "customObjectId": "ticket", "accountId": "a", "traits": { "p": 1 } });
    send("customobjectinstance", instance).await;

    let organization = bench.get("/resources/organizations/o").await.json();
    assert_eq!((&organization["name"], &organization["traits"]), (&json!("Org"), &json!({ "size": 3 })));
    let account = bench.get("/resources/accounts/a").await.json();
    assert_eq!((&account["name"], &account["organizationId"]), (&json!("Acc"), &organization["id"]));
    let user = bench.get("/resources/users/u").await.json();
    assert_eq!(external_ids(&user["accounts"]), ["a"]);
    assert_eq!(external_ids(&user["organizations"]), ["o"]);
    assert_eq!((&user["email"], &user["joinDate"]), (&json!("u@x.org"), &json!("2020-01-01")));
    assert_eq!(user["traits"], json!({ "role": "r" }));
    let events = bench.state().events();
    assert_eq!(events[0]["event"], "Opened");
    assert_eq!(events[0]["attributedAccountId"], "a", "goes to the account last linked");

    send("unlink", json!({ "userId": "u", "accountId": "a" })).await;
    assert_eq!(bench.get("/resources/users/u").await.json()["accounts"], json!([]));
}

#[tokio::test]
async fn instances_are_searched_by_exactly_one_criterion() {
    let bench = Bench::start().await;
    let account = bench.account("a").await;
    for (external_id, group) in [("t-1", "accountId"), ("t-2", "organizationId")] {
        let message = json!({ "externalId": external_id, "customObjectId": "ticket", group: "a", "traits": {} });
        bench.post("/analytics/v1/customobjectinstance", stamped(message, external_id)).await;
    }
    let path = "/resources/customObjects/ticket/instances";
    let found = bench.get(&format!("{path}/search?externalId=t-1")).await.json();
    assert_eq!(external_ids(&found), ["t-1"], "a bare array");
    let found = bench.get(&format!("{path}/search?customerId={account}")).await.json();
    assert_eq!(external_ids(&found), ["t-1"]);
    for query in ["", "externalId=t-1&customerId=x", "externalId=t-1&limit=1", "name=x"] {
        assert_eq!(bench.get(&format!("{path}/search?{query}")).await.status, 400, "{query}");
    }
    assert_eq!(external_ids(&bench.get(path).await.json()["results"]), ["t-2", "t-1"]);
    assert_eq!(bench.get("/resources/customObjects/none/instances").await.status, 404);
    assert_eq!(bench.get("/resources/customObjects").await.json()["results"][0]["id"], "ticket");
    assert_eq!(bench.state().instances()[0]["customObjectId"], "ticket");
}

#[tokio::test]
async fn an_accepted_message_is_visible_only_after_the_delay() {
    let bench = Bench::with(SandboxConfig { apply_delay: Duration::from_hours(1), ..config() }).await;
    let message = stamped(json!({ "accountId": "a", "traits": {} }), "m");
    assert_eq!(bench.post("/analytics/v1/account", message.clone()).await.status, 200);
    assert_eq!(bench.get("/resources/accounts/a").await.status, 404);
    assert_eq!(bench.state().counts().messages.pending, 1);

    let bench = Bench::with(SandboxConfig { apply_delay: Duration::from_millis(50), ..config() }).await;
    assert_eq!(bench.post("/analytics/v1/account", message).await.status, 200);
    // Ends by itself: the message becomes visible while it is asked for.
    while bench.state().accounts().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(bench.get("/resources/accounts/a").await.status, 200);
}

#[tokio::test]
async fn an_invalid_message_gets_400() {
    let bench = Bench::start().await;
    let check = async |path: &str, message: Value, error: &str| {
        let reply = bench.post(&format!("/analytics/v1/{path}"), message).await;
        assert_eq!((reply.status, reply.error().as_str()), (400, error), "{path}");
    };
    check("account", json!({ "accountId": "a", "traits": {} }), "timestamp or messageId is required").await;
    check("account", json!({ "messageId": "m", "traits": {} }), "accountId is required").await;
    check("account", json!({ "messageId": "m", "accountId": "a", "traits": 7 }), "traits must be an object").await;
    let date = json!({ "messageId": "m", "accountId": "a", "timestamp": "today" });
    check("account", date, "timestamp must be an ISO 8601 date").await;
    check("organization", json!({ "messageId": "m" }), "organizationId is required").await;
    check("user", json!({ "messageId": "m", "userId": "u", "accountId": "a" }), "traits is required").await;
    let groupless = json!({ "messageId": "m", "userId": "u", "traits": {} });
    check("user", groupless, "accountId or organizationId is required").await;
    check("track", json!({ "messageId": "m", "event": "E", "userId": "u" }), "properties is required").await;
    check("track", json!({ "messageId": "m", "userId": "u", "properties": {} }), "event is required").await;
    let nobody = json!({ "messageId": "m", "event": "E", "properties": {} });
    check("track", nobody, "userId, accountId or organizationId is required").await;
    check("unlink", json!({ "messageId": "m", "userId": "u" }), "accountId is required").await;
    let objectless = json!({ "messageId": "m", "externalId": "x", "accountId": "a", "traits": {} });
    check("customobjectinstance", objectless, "customObjectId is required").await;
    check("batch", json!({ "batch": [] }), "A batch must be a JSON array of messages").await;
    assert!(bench.state().accounts().is_empty());
    assert_eq!(bench.post("/analytics/v1/identify", json!({})).await.status, 404);
}

#[tokio::test]
async fn a_batch_holds_up_to_100_messages_applied_in_their_order() {
    let bench = Bench::start().await;
    let batch = |count: usize| {
        let message = |number: usize| {
            let message = json!({ "type": "account", "accountId": "a", "traits": { "n": number } });
            stamped(message, &number.to_string())
        };
        Value::from((0..count).map(message).collect::<Vec<_>>())
    };
    assert_eq!(bench.post("/analytics/v1/batch", batch(101)).await.status, 400);
    assert!(bench.state().accounts().is_empty());
    assert_eq!(bench.post("/analytics/v1/batch", batch(100)).await.status, 200);
    assert_eq!(bench.get("/resources/accounts/a").await.json()["traits"], json!({ "n": 99 }));
    assert_eq!(bench.state().counts().writes.accounts, 100);
}

#[tokio::test]
async fn a_repeated_message_id_has_no_effect() {
    let bench = Bench::start().await;
    let message = |plan: &str| stamped(json!({ "accountId": "a", "traits": { "plan": plan } }), "m-1");
    for plan in ["first", "second"] {
        assert_eq!(bench.post("/analytics/v1/account", message(plan)).await.status, 200);
    }
    assert_eq!(bench.state().accounts()[0]["traits"], json!({ "plan": "first" }));
    assert_eq!(bench.state().counts().messages.duplicates, 1);
    // Without a messageId, the very same message is the duplicate.
    let message = json!({ "event": "E", "accountId": "a", "properties": {}, "timestamp": "2026-01-05T10:00:00Z" });
    for _ in 0..2 {
        assert_eq!(bench.post("/analytics/v1/track", message.clone()).await.status, 200);
    }
    assert_eq!(bench.state().events().len(), 1);
}

#[tokio::test]
async fn a_batch_with_a_bad_message_is_judged_as_switched() {
    for (batch_bad_item, status, expected) in [
        (BatchBadItem::RejectAll, 400, vec![]),
        (BatchBadItem::AcceptAll, 200, vec!["a-1", "a-2", "a-3"]),
        (BatchBadItem::DropBad, 200, vec!["a-1", "a-3"]),
    ] {
        let bench = Bench::switched(Switches { batch_bad_item, ..Switches::default() }).await;
        let account = |id: &str| json!({ "type": "account", "accountId": id, "traits": {} });
        // The second lacks timestamp and messageId, the fourth any id, the fifth a known type.
        let batch = json!([
            stamped(account("a-1"), "m-1"),
            account("a-2"),
            stamped(account("a-3"), "m-3"),
            stamped(json!({ "type": "account" }), "m-4"),
            stamped(json!({ "type": "identify", "userId": "u" }), "m-5"),
        ]);
        assert_eq!(bench.post("/analytics/v1/batch", batch).await.status, status);
        assert_eq!(external_ids(&Value::from(bench.state().accounts())), expected, "{batch_bad_item:?}");
    }
}

#[tokio::test]
async fn a_user_message_creates_an_unknown_account_and_links_add_up() {
    let bench = Bench::start().await;
    for account in ["a-1", "a-2"] {
        let message = stamped(json!({ "userId": "u", "accountId": account, "traits": {} }), account);
        bench.post("/analytics/v1/user", message).await;
    }
    assert_eq!(external_ids(&Value::from(bench.state().accounts())), ["a-1", "a-2"]);
    assert_eq!(external_ids(&bench.get("/resources/users/u").await.json()["accounts"]), ["a-1", "a-2"]);
}

#[tokio::test]
async fn a_null_trait_stays_or_goes_as_switched() {
    for (analytics_null_trait, expected) in
        [(AnalyticsNull::Ignore, json!({ "a": 1, "b": 2 })), (AnalyticsNull::Remove, json!({ "b": 2 }))]
    {
        let bench = Bench::switched(Switches { analytics_null_trait, ..Switches::default() }).await;
        for (number, traits) in [json!({ "a": 1, "b": 2 }), json!({ "a": null })].into_iter().enumerate() {
            let message = stamped(json!({ "accountId": "x", "traits": traits }), &number.to_string());
            bench.post("/analytics/v1/account", message).await;
        }
        assert_eq!(bench.state().accounts()[0]["traits"], expected);
    }
}
