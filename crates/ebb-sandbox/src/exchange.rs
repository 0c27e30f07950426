//! The way of one request: read it, judge it, do it, answer it.

use std::convert::Infallible;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue};
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
    let is_too_large = raw.as_ref().is_err_and(|refusal| refusal.status == 413);
    let api = route.operation.api();
    if api == Api::Own {
        let answer = raw.map_or_else(Answer::from, |raw| {
            control::answer(&shared, &head.method, head.uri.path(), &route, &raw).unwrap_or_else(Answer::from)
        });
        return Ok(answer.into_response());
    }
    let is_write = head.method != Method::GET;
    let has_body = matches!(head.method, Method::POST | Method::PUT);
    let call = Call {
        unauthorized: shared.keys.refuse(api, &head.headers),
        is_write,
        target: head.uri.to_string(),
        method: head.method.as_str().to_owned(),
        body: match &raw {
            Ok(raw) if has_body => parse(raw, head.headers.get(CONTENT_TYPE)),
            Ok(_) => Ok(Value::Null),
            Err(refusal) => Err(Refusal::new(refusal.status, refusal.error.as_str())),
        },
        raw_body: raw.unwrap_or_default(),
        route,
    };
    let outcome = judge(&shared, call).await;
    let mut response = match outcome {
        Outcome::Send(answer) => answer.into_response(),
        Outcome::Cut(bytes) => return line.end(Ending::Cut(bytes)).await,
        Outcome::Reset => return line.end(Ending::Reset).await,
        Outcome::Never => std::future::pending().await,
    };
    if is_too_large {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
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

/// Reads a body of up to 4 MiB.
async fn read_body(body: Incoming) -> Result<Bytes, Refusal> {
    let too_large = || Refusal::new(413, "The request body is too large");
    if body.size_hint().lower() > u64::try_from(BODY_BYTES).unwrap_or(u64::MAX) {
        return Err(too_large());
    }
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    match Limited::new(body, BODY_BYTES).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(fault) if fault.is::<http_body_util::LengthLimitError>() => Err(too_large()),
        Err(_) => Err(Refusal::invalid("The request body did not arrive whole")),
    }
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
