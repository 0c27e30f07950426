//! Answers, before they become HTTP.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;
use serde_json::json;

/// Says on every answer what answered.
pub(crate) const MARK: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-ebb-sandbox"), HeaderValue::from_static("stand-in for Vitally"));

/// A status, a body, and headers beyond the usual ones.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) content_type: Option<HeaderValue>,
    pub(crate) body: Bytes,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

/// A request that gets an error text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) error: String,
}

impl Refusal {
    pub(crate) fn new(status: u16, error: impl Into<String>) -> Self {
        Self { status, error: error.into() }
    }

    /// A 400.
    pub(crate) fn invalid(error: impl Into<String>) -> Self {
        Self::new(400, error)
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Self::json(refusal.status, &json!({ "error": refusal.error }))
    }
}

impl Answer {
    /// A JSON body. A status that does not exist becomes 500.
    pub(crate) fn json(status: u16, value: &impl Serialize) -> Self {
        let body = serde_json::to_vec(value).unwrap_or_default();
        Self::new(status, Some("application/json; charset=utf-8"), body)
    }

    /// A body that is JSON already.
    pub(crate) fn raw_json(status: u16, body: &str) -> Self {
        Self::new(status, Some("application/json; charset=utf-8"), body.as_bytes().to_vec())
    }

    pub(crate) fn text(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::new(status, Some("text/plain; charset=utf-8"), body.into())
    }

    pub(crate) fn html(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::new(status, Some("text/html; charset=utf-8"), body.into())
    }

    pub(crate) fn empty(status: u16) -> Self {
        Self::new(status, None, Vec::new())
    }

    fn new(status: u16, content_type: Option<&'static str>, body: Vec<u8>) -> Self {
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            content_type: content_type.map(HeaderValue::from_static),
            body: Bytes::from(body),
            headers: Vec::new(),
        }
    }

    /// The answer as bytes of HTTP/1.1, its body cut off in the middle.
    pub(crate) fn truncated(&self) -> Bytes {
        let mut text = format!("HTTP/1.1 {}\r\ncontent-length: {}\r\n", self.status, self.body.len()).into_bytes();
        for (name, value) in self.all_headers() {
            text.extend_from_slice(name.as_str().as_bytes());
            text.extend_from_slice(b": ");
            text.extend_from_slice(value.as_bytes());
            text.extend_from_slice(b"\r\n");
        }
        text.extend_from_slice(b"\r\n");
        text.extend_from_slice(self.body.get(..self.body.len() / 2).unwrap_or_default());
        Bytes::from(text)
    }

    fn all_headers(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let content_type = self.content_type.clone().map(|value| (CONTENT_TYPE, value));
        [MARK].into_iter().chain(content_type).chain(self.headers.iter().cloned())
    }

    pub(crate) fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body.clone()));
        *response.status_mut() = self.status;
        // Later ones win, so that a fault's own headers replace the usual ones.
        for (name, value) in self.all_headers() {
            response.headers_mut().insert(name, value);
        }
        response
    }
}
