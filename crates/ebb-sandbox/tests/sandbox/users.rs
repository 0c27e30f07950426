//! Users: links, searches, deletion.

use ebb_sandbox::{EmailSearch, PostUserExisting, PutLinks, Switches};
use serde_json::{Value, json};

use crate::client::{Bench, external_ids};

fn linked(user: &Value) -> Vec<&str> {
    external_ids(&user["accounts"])
}

#[tokio::test]
async fn a_user_needs_a_link_to_a_record_by_its_vitally_id() {
    let bench = Bench::start().await;
    let account = bench.account("a-1").await;
    let organization = bench.organization("o-1").await;
    let check = async |body: Value, status: u16| {
        let reply = bench.post("/resources/users", body).await;
        assert_eq!(reply.status, status, "{}", reply.text);
        reply
    };
    let none = check(json!({ "externalId": "u" }), 400).await;
    assert_eq!(none.error(), "accountIds or organizationIds is required");
    check(json!({ "externalId": "u", "accountIds": [] }), 400).await;
    check(json!({ "externalId": "u", "accountIds": "a-1" }), 400).await;
    check(json!({ "externalId": "u", "accountIds": ["a-1"] }), 400).await;
    check(json!({ "externalId": "u", "accountIds": [account], "email": 7 }), 400).await;
    check(json!({ "externalId": "u", "accountIds": [account], "joinDate": "soon" }), 400).await;
    assert!(bench.state().users().is_empty());
    check(json!({ "externalId": "o-user", "organizationIds": [organization] }), 200).await;
    let body = json!({
        "externalId": "u", "accountIds": [account], "organizationIds": [organization], "name": "U",
        "email": "u@example.com", "avatar": "https://example.com/u.png", "joinDate": "2020-12-11T20:16:27.370Z",
        "unsubscribedFromConversations": true, "traits": { "role": "admin" },
    });
    let user = check(body, 200).await.json();
    assert_eq!(user["accounts"][0]["id"], json!(account));
    assert_eq!(user["accounts"][0]["name"], "N");
    assert_eq!(user["organizations"][0]["id"], json!(organization));
    assert_eq!(user["email"], "u@example.com");
    assert_eq!(user["joinDate"], "2020-12-11T20:16:27.370Z");
    assert_eq!(user["unsubscribedFromConversations"], true);
    assert_eq!(user["traits"], json!({ "role": "admin" }));
}

#[tokio::test]
async fn putting_account_ids_replaces_or_adds_as_switched() {
    for (put_links, expected) in [(PutLinks::Replace, vec!["a-2"]), (PutLinks::Add, vec!["a-1", "a-2"])] {
        let bench = Bench::switched(Switches { put_links, ..Switches::default() }).await;
        let (first, second) = (bench.account("a-1").await, bench.account("a-2").await);
        bench.post("/resources/users", json!({ "externalId": "u", "accountIds": [first] })).await;
        let user = bench.put("/resources/users/u", json!({ "accountIds": [second] })).await.json();
        assert_eq!(linked(&user), expected);
        let kept = bench.put("/resources/users/u", json!({ "name": "U" })).await.json();
        assert_eq!(linked(&kept), expected);
        let empty = bench.put("/resources/users/u", json!({ "accountIds": [] })).await.json();
        assert_eq!(linked(&empty).is_empty(), put_links == PutLinks::Replace);
    }
}

#[tokio::test]
async fn posting_a_known_user_updates_it_or_is_refused_as_switched() {
    let bench = Bench::start().await;
    let account = bench.account("a").await;
    let body = json!({ "externalId": "u", "accountIds": [account], "traits": { "a": 1 } });
    let first = bench.post("/resources/users", body).await;
    let body = json!({ "externalId": "u", "accountIds": [account], "traits": { "b": 2 } });
    let second = bench.post("/resources/users", body.clone()).await;
    assert_eq!(first.id(), second.id());
    assert_eq!(second.json()["traits"], json!({ "a": 1, "b": 2 }));
    let switches = Switches { post_user_existing: PostUserExisting::Conflict400, ..Switches::default() };
    bench.state().set_switches(switches);
    assert_eq!(bench.post("/resources/users", body).await.status, 400);
}

#[tokio::test]
async fn a_deleted_user_is_only_marked() {
    let bench = Bench::start().await;
    let account = bench.account("a").await;
    bench.post("/resources/users", json!({ "externalId": "u", "accountIds": [account] })).await;
    bench.post("/resources/users", json!({ "externalId": "v", "accountIds": [account] })).await;
    assert_eq!(bench.delete("/resources/users/u").await.status, 204);
    assert_eq!(bench.delete("/resources/users/v?deleteOn=2030-01-02").await.status, 204);
    let user = bench.get("/resources/users/u").await;
    assert_eq!(user.status, 200);
    assert!(!user.text.contains("delet"), "no field shows the mark");
    let marks: Vec<_> =
        bench.state().users().iter().map(|user| user["_sandbox"]["deletionRequested"].clone()).collect();
    assert_eq!(marks, ["now", "2030-01-02"]);
}

#[tokio::test]
async fn a_search_takes_exactly_one_criterion() {
    let bench = Bench::start().await;
    let account = bench.account("a").await;
    for (external_id, email) in [("u-1", "Ana+x@example.com"), ("u-2", "Ana+x@example.com"), ("u-3", "b@other.org")] {
        let body = json!({ "externalId": external_id, "accountIds": [account], "email": email });
        assert_eq!(bench.post("/resources/users", body).await.status, 200);
    }
    let check = async |query: &str, expected: &[&str]| {
        let reply = bench.get(&format!("/resources/users/search?{query}")).await.json();
        assert_eq!(external_ids(&reply["results"]), expected, "{query}");
    };
    check("externalId=u-2", &["u-2"]).await;
    check("externalId=none", &[]).await;
    check("email=Ana%2Bx%40example.com", &["u-1", "u-2"]).await;
    check("email=ana%2Bx%40example.com", &[]).await;
    check("emailSubdomain=example.com", &["u-1", "u-2"]).await;
    for query in ["", "query=x", "email=b%40other.org&externalId=u-3"] {
        assert_eq!(bench.get(&format!("/resources/users/search?{query}")).await.status, 400, "{query}");
    }
    bench.state().set_switches(Switches { email_search: EmailSearch::IgnoreCase, ..Switches::default() });
    check("email=ana%2Bx%40example.com", &["u-1", "u-2"]).await;
    bench.put("/resources/users/u-1", json!({ "email": "new@example.com" })).await;
    check("email=ana%2Bx%40example.com", &["u-2"]).await;
}
