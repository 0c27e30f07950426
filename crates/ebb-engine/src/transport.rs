use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use ebb_destination::{HeaderText, Method, Reply, Request};
use ebb_row::Clock;
use futures::StreamExt as _;

/// The largest body that is read; what is beyond is cut and the reply counts as not complete.
const MOST_BODY: usize = 4 << 20;

/// Why a request has no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct TransportError {
    /// In words, without secrets.
    pub reason: String,
    /// Whether the request may have reached the destination.
    pub sent: bool,
}

/// Sends one request, once: no retries, no redirects.
#[async_trait]
pub trait Transport: Debug + Send + Sync {
    /// Returns the reply; one whose body broke off is a reply that is not complete.
    ///
    /// # Errors
    /// [`TransportError`] when there is no status line within `timeout`.
    async fn send(&self, request: &Request, timeout: Duration) -> Result<Reply, TransportError>;
}

/// HTTP by one pooled client: rustls, no redirects, no retries of its own, bodies capped after inflating.
#[derive(Clone, Debug)]
pub struct HttpTransport {
    client: reqwest::Client,
}

impl HttpTransport {
    /// Makes the client. A process-wide rustls provider must be installed before.
    ///
    /// # Errors
    /// The reason when the system's certificates or TLS cannot be used.
    pub fn new() -> Result<Self, String> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .pool_max_idle_per_host(256)
            .tcp_nodelay(true)
            .connect_timeout(Duration::from_secs(10))
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { client })
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn send(&self, request: &Request, timeout: Duration) -> Result<Reply, TransportError> {
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Delete => reqwest::Method::DELETE,
        };
        let mut builder = self.client.request(method, &request.url).timeout(timeout);
        for (name, text) in &request.headers {
            builder = match text {
                HeaderText::Plain(text) => builder.header(*name, text.as_ref()),
                HeaderText::Secret(secret) => {
                    let Ok(mut value) = reqwest::header::HeaderValue::from_str(secret.expose()) else {
                        let reason = format!("the secret for `{name}` has characters that no header can hold");
                        return Err(TransportError { reason, sent: false });
                    };
                    value.set_sensitive(true);
                    builder.header(*name, value)
                }
            };
        }
        if let Some(body) = &request.body {
            builder = builder.body(body.clone());
        }
        let response = builder.send().await.map_err(|error| describe(&error))?;
        let status = response.status().as_u16();
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let (body, complete) = read_body(response).await;
        Ok(Reply { status, headers, body, complete })
    }
}

async fn read_body(response: reqwest::Response) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        let Ok(chunk) = chunk else { return (body, false) };
        let room = MOST_BODY - body.len();
        if chunk.len() > room {
            body.extend_from_slice(chunk.get(..room).unwrap_or_default());
            return (body, false);
        }
        body.extend_from_slice(&chunk);
    }
    (body, true)
}

fn describe(error: &reqwest::Error) -> TransportError {
    let sent = !error.is_connect() && !error.is_builder();
    let what = if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the connection broke"
    };
    // The innermost cause names the system's reason; the outer ones quote the URL.
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let inner = cause.to_string();
    let reason = if inner.contains("://") { what.to_owned() } else { format!("{what}: {inner}") };
    TransportError { reason, sent }
}

/// The system's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn elapsed(&self) -> Duration {
        // CLOCK_BOOTTIME goes on while the machine is suspended; std's Instant does not (rust-lang/rust#87906).
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
        Duration::new(seconds, nanos)
    }
}
