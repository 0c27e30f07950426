//! The way of one request: read it, judge it, do it, answer it.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, ORIGIN};
use hyper::{Method, Request, Response};
use serde_json::Value;

use crate::answer::{Answer, Refusal};
use crate::connection::{Ending, Line};
use crate::control;
use crate::route::{Api, Route};
use crate::server::Shared;
use crate::world::{Call, Outcome, Step};

/// The largest body taken.
const BODY_BYTES: usize = 4 * 1024 * 1024;

/// The `Authorization` values that the two APIs take.
#[derive(Debug)]
pub(crate) struct Keys {
    rest: Vec<u8>,
    analytics: Vec<u8>,
}

impl Keys {
    /// REST: `Basic base64("<token>:")`. Analytics: `Basic <token>`, the token as it is.
    pub(crate) fn new(rest_token: &str, analytics_token: &str) -> Self {
        Self {
            rest: format!("Basic {}", STANDARD.encode(format!("{rest_token}:"))).into_bytes(),
            analytics: format!("Basic {analytics_token}").into_bytes(),
        }
    }

    /// The error text when a request may not pass.
    fn refuse(&self, api: Api, headers: &HeaderMap) -> Option<&'static str> {
        let key = match api {
            Api::Rest => &self.rest,
            Api::Analytics => &self.analytics,
            Api::Own => return None,
        };
        match headers.get(AUTHORIZATION) {
            None => Some("Authorization header not present."),
            Some(given) if given.as_bytes() == key.as_slice() => None,
            Some(_) => Some("Authorization header not valid."),
        }
    }
}

/// Answers a request, or never does: then the connection ends as the fault plan says.
pub(crate) async fn exchange(
    shared: Arc<Shared>,
    line: Arc<Line>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let route = Route::read(&head.method, head.uri.path(), head.uri.query());
    let raw = read_body(body).await;
    let api = route.operation.api();
    if api == Api::Own {
        let answered = if is_foreign(&head.method, &head.headers) {
            Err(Refusal::new(403, "The sandbox answers programs on its own machine only"))
        } else {
            raw.and_then(|raw| control::answer(&shared, &head.method, head.uri.path(), &route, &raw))
        };
        return Ok(answered.unwrap_or_else(Answer::from).into_response());
    }
    let is_write = head.method != Method::GET;
    let has_body = matches!(head.method, Method::POST | Method::PUT);
    let call = Call {
        unauthorized: shared.keys.refuse(api, &head.headers),
        is_write,
        body: match &raw {
            Ok(raw) if has_body => parse(raw, head.headers.get(CONTENT_TYPE)),
            Ok(_) => Ok(Value::Null),
            Err(refusal) => Err(Refusal::new(refusal.status, refusal.error.as_str())),
        },
        raw_body: raw.unwrap_or_default(),
        route,
        method: head.method,
        uri: head.uri,
    };
    match judge(&shared, call).await {
        Outcome::Send(answer) => Ok(answer.into_response()),
        Outcome::Cut(bytes) => line.end(Ending::Cut(bytes)).await,
        Outcome::Reset => line.end(Ending::Reset).await,
        Outcome::Never => std::future::pending().await,
    }
}

async fn judge(shared: &Arc<Shared>, mut call: Call) -> Outcome {
    let step = shared.world().take(&mut call, shared.elapsed());
    let (delay, receipt) = match step {
        Step::Done(outcome) => return outcome,
        Step::Wait(delay, receipt) => (delay, receipt),
    };
    // In a task of its own: a client that gives up does not stop a server that is merely slow.
    let shared = Arc::clone(shared);
    let rest = tokio::spawn(async move {
        tokio::time::sleep(delay).await;
        shared.world().resume(&mut call, receipt, shared.elapsed())
    });
    rest.await.unwrap_or(Outcome::Reset)
}

/// Reads a body of up to 4 MiB. A larger one is read to its end too, so that its client gets the answer
/// rather than a broken pipe.
async fn read_body(mut body: Incoming) -> Result<Bytes, Refusal> {
    let mut whole = Bytes::new();
    let mut parts: Vec<u8> = Vec::new();
    let mut size = 0;
    while let Some(frame) = body.frame().await {
        let broken = |_| Refusal::invalid("The request body did not arrive whole");
        let Ok(part) = frame.map_err(broken)?.into_data() else { continue };
        // Nearly every body arrives in one piece, which is kept without a copy.
        if size == 0 {
            whole = part.clone();
        } else if size <= BODY_BYTES {
            if parts.is_empty() {
                parts.extend_from_slice(&whole);
            }
            parts.extend_from_slice(&part);
        }
        size += part.len();
    }
    if size > BODY_BYTES {
        return Err(Refusal::new(413, "The request body is too large"));
    }
    Ok(if parts.is_empty() { whole } else { Bytes::from(parts) })
}

/// Whether a request for the sandbox's own endpoints comes from a page of another site, by which that site
/// would read or change what is kept here. The two APIs are guarded by their keys.
fn is_foreign(method: &Method, headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|it| it.is_ascii_digit()));
    let name = name.map_or(host, |(name, _)| name).trim_start_matches('[').trim_end_matches(']');
    let is_local = name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    !is_local || (*method != Method::GET && headers.contains_key(ORIGIN))
}

fn parse(raw: &[u8], content_type: Option<&HeaderValue>) -> Result<Value, Refusal> {
    let is_json = content_type
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.split(';').next())
        .is_some_and(|text| text.trim().eq_ignore_ascii_case("application/json"));
    if !is_json {
        return Err(Refusal::invalid("Content-Type must be application/json"));
    }
    serde_json::from_slice(raw).map_err(|_| Refusal::invalid("The request body is not valid JSON"))
}
