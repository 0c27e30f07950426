//! The sandbox's own endpoints, and its life.

use std::io::ErrorKind;

use ebb_sandbox::{RequestFilter, Sandbox, SandboxConfig};
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Bench, config, external_ids, read};

async fn ask(bench: &Bench, path: &str) -> Value {
    read(bench.client.get(bench.url(path))).await.unwrap().json()
}

async fn tell(bench: &Bench, path: &str, body: Value) -> u16 {
    read(bench.client.post(bench.url(path)).body(body.to_string())).await.unwrap().status
}

#[tokio::test]
async fn another_process_sees_state_counts_and_requests() {
    let bench = Bench::start().await;
    bench.account("a-1").await;
    bench.account("a-1").await;
    bench.get("/resources/accounts/a-1").await;
    bench.get("/resources/accounts/none").await;
    assert_eq!(ask(&bench, "/sandbox/state").await, bench.state().snapshot());
    let accounts = ask(&bench, "/sandbox/state?object=accounts").await;
    assert_eq!(external_ids(&accounts), ["a-1"]);
    assert_eq!(accounts[0]["_sandbox"]["writes"], 2);
    let counts = ask(&bench, "/sandbox/counts").await;
    assert_eq!(counts, serde_json::to_value(bench.state().counts()).unwrap());
    assert_eq!(counts["operations"]["POST /resources/accounts"]["requests"], 2);
    assert_eq!(counts["operations"]["GET /resources/accounts/:id"]["statuses"], json!({ "200": 1, "404": 1 }));
    assert_eq!(counts["rewritten"]["accounts"], 1);
    assert_eq!(counts["rest"]["requests"], 4, "the sandbox's own endpoints are not counted");
    let requests = ask(&bench, "/sandbox/requests?operation=POST%20/resources&external_id=a-1&status=200").await;
    assert_eq!(requests.as_array().unwrap().len(), 2);
    assert_eq!(requests[0]["body"], r#"{"externalId":"a-1","name":"N"}"#);
    assert!(!requests.to_string().contains("Basic"), "no authorization is kept");
}

#[tokio::test]
async fn another_process_sets_faults_switches_and_custom_fields_and_resets() {
    let bench = Bench::start().await;
    assert_eq!(tell(&bench, "/sandbox/faults", json!([{ "do": { "status": 500 } }])).await, 200);
    assert_eq!(tell(&bench, "/sandbox/faults", json!([{ "do": "explode" }])).await, 400);
    assert_eq!(bench.get("/resources/accounts").await.status, 500);
    assert_eq!(bench.get("/resources/accounts").await.status, 200);
    assert_eq!(tell(&bench, "/sandbox/switches", json!({ "create_status": 201 })).await, 200);
    assert_eq!(tell(&bench, "/sandbox/switches", json!({ "creat_status": 201 })).await, 400);
    let body = json!({ "externalId": "a", "name": "A" });
    assert_eq!(bench.post("/resources/accounts", body).await.status, 201);
    assert_eq!(ask(&bench, "/sandbox/switches").await["create_status"], 201);
    let fields = json!([{ "model": "accounts", "label": "Tier", "type": "string", "path": "vitally.custom.tier" }]);
    assert_eq!(tell(&bench, "/sandbox/custom-fields", fields).await, 200);
    assert_eq!(tell(&bench, "/sandbox/reset", json!(null)).await, 200);
    assert!(bench.state().accounts().is_empty());
    assert!(bench.state().requests(&RequestFilter::default()).is_empty());
    assert_eq!(bench.state().counts().rest.requests, 0);
    assert_eq!(bench.get("/resources/accounts").await.status, 500, "the fault plan began anew");
    assert_eq!(bench.get("/resources/customFields").await.json()[0]["label"], "Tier");
}

#[tokio::test]
async fn every_page_says_that_it_is_a_stand_in_and_escapes_values() {
    let bench = Bench::start().await;
    bench.post("/resources/accounts", json!({ "externalId": "<script>", "name": "\"&'" })).await;
    for (path, status) in [("/", 200), ("/nowhere", 404), ("/sandbox", 404)] {
        let reply = read(bench.client.get(bench.url(path))).await.unwrap();
        assert_eq!(reply.status, status);
        assert!(reply.text.contains("This is a stand-in for Vitally, not Vitally."), "{path}");
        assert_eq!(reply.header("x-ebb-sandbox"), Some("stand-in for Vitally"));
        assert!(!reply.text.contains("<script>"));
    }
    let page = read(bench.client.get(bench.url("/"))).await.unwrap().text;
    assert!(page.contains("&lt;script&gt;") && page.contains("&quot;&amp;&#39;"));
}

#[tokio::test]
async fn a_page_of_another_site_reads_and_changes_nothing() {
    let bench = Bench::start().await;
    bench.account("a").await;
    let reset = bench.client.post(bench.url("/sandbox/reset")).header("Origin", "https://example.com");
    assert_eq!(read(reset).await.unwrap().status, 403);
    assert_eq!(bench.state().accounts().len(), 1);
    let check = async |host: &str, status: u16| {
        let request = bench.client.get(bench.url("/sandbox/state")).header("Host", host);
        assert_eq!(read(request).await.unwrap().status, status, "{host}");
    };
    check("rebound.example.com", 403).await;
    check("rebound.example.com:80", 403).await;
    check("127.0.0.1:80", 200).await;
    check("localhost", 200).await;
    check("[::1]:80", 200).await;
}

#[tokio::test]
async fn the_journal_may_be_off() {
    let bench = Bench::with(SandboxConfig { journal_cap: 0, ..config() }).await;
    bench.account("a").await;
    assert!(bench.state().requests(&RequestFilter::default()).is_empty());
    assert_eq!(bench.state().counts().rest.requests, 1);
}

#[tokio::test]
async fn the_plans_and_switches_of_the_documentation_are_valid() {
    let bench = Bench::start().await;
    let text = include_str!("../../../../docs/sandbox.md");
    let mut plans = 0;
    for block in text.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap()) {
        let value: Value = serde_json::from_str(block).unwrap();
        let path = if value.is_array() { "/sandbox/faults" } else { "/sandbox/switches" };
        assert_eq!(tell(&bench, path, value).await, 200, "{block}");
        plans += 1;
    }
    assert!(plans >= 3, "{plans} found");
    for switch in ask(&bench, "/sandbox/switches").await.as_object().unwrap().keys() {
        assert!(text.contains(&format!("| `{switch}` |")), "{switch} is not documented");
    }
}

#[tokio::test]
async fn it_listens_on_loopback_addresses_only() {
    let listen = "0.0.0.0:0".parse().unwrap();
    let fault = Sandbox::start(SandboxConfig { listen, ..config() }).await.unwrap_err();
    assert_eq!(fault.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_stopped_sandbox_answers_no_more_but_can_be_looked_into() {
    let bench = Bench::start().await;
    bench.account("a").await;
    let (state, address) = (bench.state(), bench.sandbox.address());
    let request = bench.request(Method::GET, "/resources/accounts", None);
    bench.sandbox.stop().await;
    assert!(read(request).await.unwrap_err().is_connect());
    assert_eq!(state.accounts().len(), 1);
    let again = Sandbox::start(SandboxConfig { listen: address, ..config() }).await.unwrap();
    assert_eq!(again.address(), address);
    assert!(again.state().accounts().is_empty());
}
