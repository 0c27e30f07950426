//! Authorization, accounts, organizations.

use ebb_sandbox::{AccountNameOnPut, PlainNull, Switches, UndefinedTrait, UuidInPath};
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::json;

use crate::client::{ANALYTICS_KEY, Bench, REST_KEY, read};

#[tokio::test]
async fn a_request_without_authorization_gets_401() {
    let bench = Bench::start().await;
    let reply = read(bench.client.get(bench.url("/resources/accounts"))).await.unwrap();
    assert_eq!((reply.status, reply.text.as_str()), (401, r#"{"error":"Authorization header not present."}"#));
    assert_eq!(reply.header("x-ebb-sandbox"), Some("stand-in for Vitally"));
}

#[tokio::test]
async fn each_api_takes_its_own_token_in_its_own_form_only() {
    let bench = Bench::start().await;
    let check = async |path: &str, key: &str, status: u16| {
        let request = bench.client.request(Method::POST, bench.url(path)).header(AUTHORIZATION, key);
        let reply = read(request.header(CONTENT_TYPE, "application/json").body("{}")).await.unwrap();
        assert_eq!(reply.status, status, "{path} {key}");
    };
    check("/resources/accounts", REST_KEY, 400).await;
    check("/resources/accounts", "Basic sk_live_test", 401).await;
    check("/resources/accounts", "Basic c2tfbGl2ZV90ZXN0", 401).await;
    check("/resources/accounts", "Bearer sk_live_test", 401).await;
    check("/resources/accounts", ANALYTICS_KEY, 401).await;
    check("/analytics/v1/account", ANALYTICS_KEY, 400).await;
    check("/analytics/v1/account", REST_KEY, 401).await;
    check("/analytics/v1/account", "Basic YW4tYW5hbHl0aWNzLXRva2VuOg==", 401).await;
}

#[tokio::test]
async fn every_rest_answer_carries_the_rate_limit() {
    let bench = Bench::start().await;
    for (path, status) in [("/resources/accounts", 200), ("/resources/accounts/none", 404), ("/resources/x", 404)] {
        let reply = bench.get(path).await;
        assert_eq!(reply.status, status);
        assert_eq!(reply.header("RateLimit-Limit"), Some("1000, 1000;window=60"));
        assert!((990..1000).contains(&reply.header("RateLimit-Remaining").unwrap().parse::<u32>().unwrap()));
        assert_eq!(reply.header("RateLimit-Reset"), Some("1"));
        assert_eq!(reply.header("x-ebb-sandbox"), Some("stand-in for Vitally"));
    }
}

#[tokio::test]
async fn an_unknown_record_is_missing_in_the_form_switched() {
    let bench = Bench::start().await;
    for kind in ["accounts", "organizations", "users"] {
        let path = format!("/resources/{kind}/none");
        for reply in [bench.get(&path).await, bench.put(&path, json!({})).await, bench.delete(&path).await] {
            assert_eq!((reply.status, reply.error().as_str()), (404, "Not found"));
        }
    }
    let switches = Switches { missing_status: 400, missing_text: "No such thing".to_owned(), ..Switches::default() };
    bench.state().set_switches(switches);
    let reply = bench.put("/resources/users/none", json!({})).await;
    assert_eq!((reply.status, reply.error().as_str()), (400, "No such thing"));
}

#[tokio::test]
async fn posting_a_known_account_or_organization_updates_it_and_merges_traits() {
    let bench = Bench::switched(Switches { create_status: 201, ..Switches::default() }).await;
    for path in ["/resources/accounts", "/resources/organizations"] {
        let body = json!({ "externalId": "a-1", "name": "One", "traits": { "plan": "pro", "seats": 3 }, "odd": 1 });
        let created = bench.post(path, body).await;
        assert_eq!(created.status, 201);
        let body = json!({ "externalId": "a-1", "name": "Two", "traits": { "seats": null, "tags": ["x"] } });
        let updated = bench.post(path, body).await;
        assert_eq!(updated.status, 200);
        let (created, updated) = (created.json(), updated.json());
        assert_eq!(created["id"], updated["id"]);
        assert_eq!(created["createdAt"], updated["createdAt"]);
        assert_eq!(updated["name"], "Two");
        assert_eq!(updated["traits"], json!({ "plan": "pro", "tags": ["x"] }));
        assert_eq!(bench.get(&format!("{path}/a-1")).await.json(), updated);
    }
}

#[tokio::test]
async fn putting_null_removes_a_trait_and_leaves_the_others() {
    let bench = Bench::start().await;
    let body = json!({ "externalId": "a", "name": "A", "traits": { "a": 1, "b": 2, "mrr": 9.5 } });
    let id = bench.post("/resources/accounts", body).await.id();
    let reply = bench.put(&format!("/resources/accounts/{id}"), json!({ "traits": { "a": null } })).await;
    assert_eq!(reply.json()["traits"], json!({ "b": 2, "mrr": 9.5 }));
    assert_eq!(reply.json()["mrr"], 9.5);
    assert_eq!(reply.json()["name"], "A");
}

#[tokio::test]
async fn an_account_moves_between_organizations() {
    let bench = Bench::start().await;
    let organization = bench.organization("o-1").await;
    bench.organization("o-2").await;
    let body = json!({ "externalId": "a", "name": "A", "organizationId": organization });
    assert_eq!(bench.post("/resources/accounts", body).await.json()["organizationId"], json!(organization));
    let by_external_id = json!({ "externalId": "b", "name": "B", "organizationId": "o-1" });
    assert_eq!(bench.post("/resources/accounts", by_external_id).await.status, 400);
    let moved = bench.put("/resources/accounts/a", json!({ "organizationId": "o-2" })).await.json();
    assert_ne!(moved["organizationId"], json!(organization));
    assert_eq!(bench.get("/resources/organizations/o-1").await.json()["accountsCount"], 0);
    assert_eq!(bench.get("/resources/organizations/o-2").await.json()["accountsCount"], 1);
    let detached = bench.put("/resources/accounts/a", json!({ "organizationId": null })).await.json();
    assert_eq!(detached["organizationId"], json!(null));
}

#[tokio::test]
async fn bodies_of_the_wrong_form_get_400_and_change_nothing() {
    let bench = Bench::start().await;
    bench.account("a").await;
    let check = async |method: Method, path: &str, body: &str, error: &str| {
        let request = bench.request(method, path, None).header(CONTENT_TYPE, "application/json");
        let reply = read(request.body(body.to_owned())).await.unwrap();
        assert_eq!((reply.status, reply.error().as_str()), (400, error), "{body}");
    };
    let post = async |body: &str, error: &str| check(Method::POST, "/resources/accounts", body, error).await;
    post("{", "The request body is not valid JSON").await;
    post("[]", "The request body must be a JSON object").await;
    post(r#"{"name": "N"}"#, "externalId is required").await;
    post(r#"{"externalId": "", "name": "N"}"#, "externalId is required").await;
    post(r#"{"externalId": 7, "name": "N"}"#, "externalId must be a string").await;
    post(r#"{"externalId": "x"}"#, "name is required").await;
    post(r#"{"externalId": "x", "name": "N", "traits": []}"#, "traits must be an object").await;
    let put = async |body: &str, error: &str| check(Method::PUT, "/resources/accounts/a", body, error).await;
    put(r#"{"name": null}"#, "name must be a string").await;
    put(r#"{"name": "changed", "traits": 7}"#, "traits must be an object").await;
    put(r#"{"accountOwnerId": "x"}"#, "accountOwnerId can only be set to null").await;
    put(r#"{"organizationId": "x"}"#, "organizationId: no organization x").await;
    assert_eq!(bench.state().accounts().len(), 1);
    assert_eq!(bench.state().accounts()[0]["name"], "N");
}

#[tokio::test]
async fn a_body_that_is_too_large_or_not_declared_as_json_is_refused() {
    let bench = Bench::start().await;
    let large = format!(r#"{{"externalId": "a", "name": "{}"}}"#, "x".repeat(4 * 1024 * 1024));
    let request = bench.request(Method::POST, "/resources/accounts", None).header(CONTENT_TYPE, "application/json");
    assert_eq!(read(request.body(large)).await.unwrap().status, 413);
    let request = bench.request(Method::POST, "/resources/accounts", None);
    let reply = read(request.body(r#"{"externalId": "a", "name": "N"}"#)).await.unwrap();
    assert_eq!((reply.status, reply.error().as_str()), (400, "Content-Type must be application/json"));
    assert!(bench.state().accounts().is_empty());
}

#[tokio::test]
async fn a_deleted_account_is_gone_with_the_users_that_are_only_its_own() {
    let bench = Bench::start().await;
    let (first, second) = (bench.account("a-1").await, bench.account("a-2").await);
    let user = async |external_id: &str, accounts: &[&String]| {
        let body = json!({ "externalId": external_id, "accountIds": accounts, "email": "u@example.com" });
        assert_eq!(bench.post("/resources/users", body).await.status, 200);
    };
    user("only", &[&first]).await;
    user("both", &[&first, &second]).await;
    let reply = bench.delete("/resources/accounts/a-1").await;
    assert_eq!((reply.status, reply.text.as_str()), (204, ""));
    assert_eq!(bench.get(&format!("/resources/accounts/{first}")).await.status, 404);
    assert_eq!(bench.get("/resources/users/only").await.status, 404);
    assert_eq!(bench.get("/resources/users/both").await.json()["accounts"].as_array().unwrap().len(), 1);
    let found = bench.get("/resources/users/search?email=u%40example.com").await.json();
    assert_eq!(found["results"].as_array().unwrap().len(), 1);
    assert_ne!(bench.account("a-1").await, first, "a record sent again is a new one");
}

#[tokio::test]
async fn paths_are_decoded_and_take_either_id() {
    let bench = Bench::start().await;
    let id = bench.account("a/b c+d").await;
    let reply = bench.get("/resources/accounts/a%2Fb%20c+d").await;
    assert_eq!((reply.status, reply.id()), (200, id.clone()));
    // Another account takes the first one's Vitally id as its externalId.
    let thief = bench.account(&id).await;
    assert_eq!(bench.get(&format!("/resources/accounts/{id}")).await.id(), id);
    bench.state().set_switches(Switches { uuid_in_path: UuidInPath::ExternalId, ..Switches::default() });
    assert_eq!(bench.get(&format!("/resources/accounts/{id}")).await.id(), thief);
}

#[tokio::test]
async fn organizations_may_be_off() {
    let bench = Bench::switched(Switches { organizations_enabled: false, ..Switches::default() }).await;
    let account = bench.account("a").await;
    assert_eq!(bench.get("/resources/organizations").await.status, 400);
    let organization = json!({ "externalId": "o", "name": "O" });
    assert_eq!(bench.post("/resources/organizations", organization).await.status, 400);
    let user = json!({ "externalId": "u", "accountIds": [account], "organizationIds": ["x"] });
    assert_eq!(bench.post("/resources/users", user).await.status, 400);
    let message = json!({ "organizationId": "o", "messageId": "m", "traits": {} });
    assert_eq!(bench.post("/analytics/v1/organization", message).await.status, 400);
}

#[tokio::test]
async fn switches_choose_what_names_nulls_and_undefined_traits_do() {
    let bench = Bench::start().await;
    bench.account("a").await;
    let fields = json!([{ "model": "accounts", "label": "Tier", "type": "string", "path": "vitally.custom.tier" }]);
    bench.state().set_custom_fields(serde_json::from_value(fields).unwrap());
    let traits = json!({ "traits": { "vitally.custom.tier": 1, "vitally.custom.odd": 2, "bare": 3 } });
    let usual = Switches::default();
    bench.state().set_switches(Switches { undefined_custom_trait: UndefinedTrait::Reject, ..usual.clone() });
    assert_eq!(bench.put("/resources/accounts/a", traits.clone()).await.status, 400);
    bench.state().set_switches(Switches { undefined_custom_trait: UndefinedTrait::Ignore, ..usual.clone() });
    let stored = bench.put("/resources/accounts/a", traits).await.json();
    assert_eq!(stored["traits"], json!({ "vitally.custom.tier": 1, "bare": 3 }));
    bench.state().set_switches(Switches { account_name_on_put: AccountNameOnPut::Ignore, ..usual.clone() });
    assert_eq!(bench.put("/resources/accounts/a", json!({ "name": "New" })).await.json()["name"], "N");
    bench.state().set_switches(Switches { plain_null: PlainNull::Clear, ..usual });
    assert_eq!(bench.put("/resources/accounts/a", json!({ "name": null })).await.json()["name"], json!(null));
}
