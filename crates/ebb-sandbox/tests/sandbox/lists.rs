//! Lists, and the catalogues.

use ebb_sandbox::{CustomField, SandboxConfig, SelectOption};
use serde_json::{Value, json};

use crate::client::{Bench, config, external_ids};

#[tokio::test]
async fn an_empty_list_says_that_it_is_at_its_end() {
    let bench = Bench::start().await;
    for kind in ["accounts", "organizations", "users"] {
        let reply = bench.get(&format!("/resources/{kind}")).await;
        assert_eq!(reply.json(), json!({ "results": [], "next": null, "atEnd": true }));
    }
}

async fn walk(bench: &Bench, path: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut from = String::new();
    loop {
        let page = bench.get(&format!("{path}{from}")).await.json();
        found.extend(external_ids(&page["results"]).into_iter().map(str::to_owned));
        let Some(next) = page["next"].as_str() else {
            assert_eq!(page["atEnd"], true);
            return found;
        };
        from = format!("&from={next}");
    }
}

#[tokio::test]
async fn a_walk_gives_every_record_once_newest_first() {
    let bench = Bench::start().await;
    for number in 0..7 {
        bench.account(&number.to_string()).await;
    }
    bench.put("/resources/accounts/2", json!({ "name": "changed" })).await;
    let walk = async |query: &str| walk(&bench, &format!("/resources/accounts?{query}")).await.concat();
    assert_eq!(walk("limit=3").await, "2654310");
    assert_eq!(walk("limit=3&sortBy=updatedAt").await, "2654310");
    assert_eq!(walk("limit=3&sortBy=createdAt").await, "6543210");
    assert_eq!(walk("limit=7&sortBy=createdAt").await, "6543210");
}

#[tokio::test]
async fn a_page_has_at_most_100_records() {
    let bench = Bench::start().await;
    for number in 0..101 {
        bench.account(&number.to_string()).await;
    }
    let page = bench.get("/resources/accounts").await.json();
    assert_eq!(page["results"].as_array().unwrap().len(), 100);
    assert_eq!(page["atEnd"], false);
    for query in ["limit=101", "limit=0", "limit=x", "sortBy=name", "from=nonsense", "status=any"] {
        assert_eq!(bench.get(&format!("/resources/accounts?{query}")).await.status, 400, "{query}");
    }
    let next = page["next"].as_str().unwrap();
    assert_eq!(bench.get(&format!("/resources/accounts?sortBy=createdAt&from={next}")).await.status, 400);
}

#[tokio::test]
async fn a_list_of_accounts_hides_churned_ones_unless_asked() {
    let bench = Bench::start().await;
    let organization = bench.organization("o").await;
    for (external_id, churned_at) in [("alive", Value::Null), ("gone", json!("2025-01-01"))] {
        let traits = json!({ "churnedAt": churned_at });
        let body = json!({ "externalId": external_id, "name": "N", "organizationId": organization, "traits": traits });
        bench.post("/resources/accounts", body).await;
    }
    let check = async |query: &str, expected: &[&str]| {
        for path in ["/resources/accounts", "/resources/organizations/o/accounts"] {
            let page = bench.get(&format!("{path}{query}")).await.json();
            assert_eq!(external_ids(&page["results"]), expected, "{path}{query}");
        }
    };
    check("", &["alive"]).await;
    check("?status=active", &["alive"]).await;
    check("?status=churned", &["gone"]).await;
    check("?status=activeOrChurned", &["gone", "alive"]).await;
}

#[tokio::test]
async fn the_users_of_an_account_and_of_an_organization_are_paged() {
    let bench = Bench::start().await;
    let (account, organization) = (bench.account("a").await, bench.organization("o").await);
    for number in 0..5 {
        let body = json!({
            "externalId": number.to_string(), "accountIds": [account], "organizationIds": [organization],
        });
        bench.post("/resources/users", body).await;
    }
    let found = walk(&bench, &format!("/resources/accounts/{account}/users?limit=2")).await;
    assert_eq!(found.concat(), "43210");
    let found = walk(&bench, &format!("/resources/organizations/{organization}/users?limit=2")).await;
    assert_eq!(found.concat(), "43210");
    assert_eq!(bench.get("/resources/accounts/none/users").await.status, 404);
}

fn field(model: &str, object: Option<&str>, label: &str, path: &str) -> CustomField {
    CustomField {
        model: model.to_owned(),
        custom_object_id: object.map(str::to_owned),
        label: label.to_owned(),
        kind: "string".to_owned(),
        path: path.to_owned(),
        options: vec![SelectOption { label: "High".to_owned(), value: "high".to_owned() }],
    }
}

#[tokio::test]
async fn custom_fields_are_a_bare_array_sorted_by_label() {
    let custom_fields = vec![
        field("users", None, "Role", "vitally.custom.role"),
        field("accounts", None, "Renewal risk", "vitally.custom.renewalRisk"),
        field("customObjects", Some("ticket"), "Severity", "vitally.custom.severity"),
    ];
    let bench = Bench::with(SandboxConfig { custom_fields, ..config() }).await;
    let labels = async |query: &str| {
        let fields = bench.get(&format!("/resources/customFields{query}")).await.json();
        let labels = fields.as_array().unwrap().iter().map(|field| field["label"].as_str().unwrap().to_owned());
        labels.collect::<Vec<_>>()
    };
    assert_eq!(labels("").await, ["Renewal risk", "Role", "Severity"]);
    assert_eq!(labels("?model=users").await, ["Role"]);
    assert_eq!(labels("?model=customObjects&customObjectId=ticket").await, ["Severity"]);
    assert_eq!(bench.get("/resources/customFields?model=customObjects").await.status, 400);
    let fields = bench.get("/resources/customFields?model=accounts").await.json();
    assert_eq!(fields[0]["type"], "string");
    assert_eq!(fields[0]["path"], "vitally.custom.renewalRisk");
    assert_eq!(fields[0]["options"], json!([{ "label": "High", "value": "high" }]));
}

#[tokio::test]
async fn admins_are_found_by_their_address() {
    let bench = Bench::start().await;
    let reply = bench.get("/resources/admins/search?email=ada%40example.com").await;
    assert_eq!(reply.json()["licenseStatus"], "active");
    assert_eq!(bench.get("/resources/admins/search?email=nobody%40example.com").await.status, 404);
    assert_eq!(bench.get("/resources/admins").await.json()["results"].as_array().unwrap().len(), 2);
}
