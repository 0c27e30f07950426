//! A client of both APIs, and a sandbox to talk to.

use std::time::Duration;

use ebb_sandbox::{Sandbox, SandboxConfig, SandboxState, Switches};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

pub(crate) const REST_KEY: &str = "Basic c2tfbGl2ZV90ZXN0Og==";
pub(crate) const ANALYTICS_KEY: &str = "Basic an-analytics-token";

/// A running sandbox with a client.
pub(crate) struct Bench {
    pub(crate) sandbox: Sandbox,
    pub(crate) client: Client,
}

/// An answer, read.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn error(&self) -> String {
        self.json()["error"].as_str().unwrap().to_owned()
    }

    pub(crate) fn id(&self) -> String {
        self.json()["id"].as_str().unwrap().to_owned()
    }
}

/// The tokens that [`REST_KEY`] and [`ANALYTICS_KEY`] are made of.
pub(crate) fn config() -> SandboxConfig {
    SandboxConfig {
        rest_token: "sk_live_test".to_owned(),
        analytics_token: "an-analytics-token".to_owned(),
        ..SandboxConfig::default()
    }
}

impl Bench {
    pub(crate) async fn start() -> Self {
        Self::with(config()).await
    }

    pub(crate) async fn switched(switches: Switches) -> Self {
        Self::with(SandboxConfig { switches, ..config() }).await
    }

    pub(crate) async fn faulty(plan: Value) -> Self {
        Self::with(SandboxConfig { faults: serde_json::from_value(plan).unwrap(), ..config() }).await
    }

    pub(crate) async fn with(config: SandboxConfig) -> Self {
        // Fails when another test of this process was first, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap();
        Self { sandbox: Sandbox::start(config).await.unwrap(), client }
    }

    pub(crate) fn state(&self) -> SandboxState {
        self.sandbox.state()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.sandbox.rest_url())
    }

    /// A request with the key of the API that its path belongs to.
    pub(crate) fn request(&self, method: Method, path: &str, body: Option<&Value>) -> RequestBuilder {
        let key = if path.starts_with("/analytics") { ANALYTICS_KEY } else { REST_KEY };
        let request = self.client.request(method, self.url(path)).header(AUTHORIZATION, key);
        match body {
            Some(body) => request.header(CONTENT_TYPE, "application/json").body(body.to_string()),
            None => request,
        }
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Reply {
        read(self.request(method, path, body)).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(Method::POST, path, Some(&body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Reply {
        self.send(Method::PUT, path, Some(&body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.send(Method::DELETE, path, None).await
    }

    /// An account, and its Vitally id.
    pub(crate) async fn account(&self, external_id: &str) -> String {
        let reply = self.post("/resources/accounts", json!({ "externalId": external_id, "name": "N" })).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        reply.id()
    }

    /// An organization, and its Vitally id.
    pub(crate) async fn organization(&self, external_id: &str) -> String {
        let reply = self.post("/resources/organizations", json!({ "externalId": external_id, "name": "N" })).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        reply.id()
    }
}

pub(crate) async fn read(request: RequestBuilder) -> reqwest::Result<Reply> {
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Ok(Reply { status, headers, text: response.text().await? })
}

/// The externalIds of a page's results, in their order.
pub(crate) fn external_ids(results: &Value) -> Vec<&str> {
    results.as_array().unwrap().iter().map(|record| record["externalId"].as_str().unwrap()).collect()
}
