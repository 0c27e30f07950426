//! One line of the log of calls: JSON, secrets masked, bodies capped, named fields redacted.

use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use chrono::{DateTime, SecondsFormat, Utc};
use ebb_destination::{HeaderText, Reply, Request};
use ebb_row::{Object, RowKey, Secret, Value, parse_json, write_json, write_json_string};
use ebb_state::Intent;
use serde_json::value::RawValue;

const MASK: &str = "[secret]";
const REDACTED: &str = "[redacted]";

/// One attempt, as it is known when its outcome is.
pub(crate) struct CallRecord<'a> {
    pub(crate) time: DateTime<Utc>,
    pub(crate) run: &'a str,
    pub(crate) sync: &'a str,
    pub(crate) keys: &'a [RowKey],
    pub(crate) attempt: u32,
    pub(crate) request: &'a Request,
    pub(crate) reply: Option<&'a Reply>,
    pub(crate) duration_ms: f64,
    pub(crate) wait_ms: f64,
    pub(crate) outcome: &'a str,
    pub(crate) reason: Option<&'a str>,
}

/// How lines are written.
#[derive(Debug, Default)]
pub(crate) struct LineStyle {
    pub(crate) body_cap: usize,
    pub(crate) redact: Vec<String>,
    /// The secrets of the headers met so far, in every form that is masked.
    known: Mutex<Vec<(Secret, Arc<[String]>)>>,
}

impl LineStyle {
    pub(crate) fn new(body_cap: usize, redact: Vec<String>) -> Self {
        Self { body_cap, redact, known: Mutex::default() }
    }

    /// Returns the secret texts of a request, as they stand in headers and decoded.
    fn secrets(&self, request: &Request) -> Arc<[String]> {
        let mut secrets = request.headers.iter().filter_map(|(_, text)| match text {
            HeaderText::Secret(secret) => Some(secret),
            HeaderText::Plain(_) => None,
        });
        let (Some(secret), None) = (secrets.next(), secrets.next()) else { return secrets_of(request).into() };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, forms)) = known.iter().find(|(other, _)| other == secret) {
            return Arc::clone(forms);
        }
        let forms: Arc<[String]> = secrets_of(request).into();
        known.push((secret.clone(), Arc::clone(&forms)));
        forms
    }

    /// Returns the line, without the line feed.
    pub(crate) fn line(&self, call: &CallRecord<'_>) -> Vec<u8> {
        let request = call.request;
        let secrets = self.secrets(request);
        let mut out = Vec::with_capacity(1024);
        out.extend_from_slice(b"{\"time\":");
        write_json_string(&call.time.to_rfc3339_opts(SecondsFormat::Millis, true), &mut out);
        field(&mut out, "run", call.run);
        field(&mut out, "sync", call.sync);
        field(&mut out, "operation", request.operation);
        out.extend_from_slice(b",\"keys\":[");
        for (at, key) in call.keys.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            write_json_string(key.text(), &mut out);
        }
        out.extend_from_slice(format!("],\"attempt\":{}", call.attempt).as_bytes());
        field(&mut out, "method", request.method.word());
        field(&mut out, "url", &request.url);
        out.extend_from_slice(b",\"request_headers\":{");
        for (at, (name, text)) in request.headers.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            write_json_string(name, &mut out);
            out.push(b':');
            match text {
                HeaderText::Plain(text) => write_json_string(text, &mut out),
                HeaderText::Secret(_) => write_json_string(MASK, &mut out),
            }
        }
        out.push(b'}');
        self.request_body(&mut out, request);
        match call.reply {
            Some(reply) => self.reply(&mut out, reply, &secrets),
            None => out.extend_from_slice(b",\"status\":null,\"response_headers\":null,\"response_body\":null"),
        }
        out.extend_from_slice(
            format!(",\"duration_ms\":{:.3},\"wait_ms\":{:.3}", call.duration_ms, call.wait_ms).as_bytes(),
        );
        field(&mut out, "outcome", call.outcome);
        if let Some(reason) = call.reason {
            field(&mut out, "reason", &masked(reason, &secrets));
        } else {
            out.extend_from_slice(b",\"reason\":null");
        }
        out.push(b'}');
        out
    }

    /// Our own body is JSON on one line, so it needs no check.
    fn request_body(&self, out: &mut Vec<u8>, request: &Request) {
        match &request.body {
            Some(body) if body.len() <= self.body_cap && self.redact.is_empty() && !body.is_empty() => {
                out.extend_from_slice(b",\"request_body\":");
                out.extend_from_slice(body);
            }
            body => self.body(out, "request_body", body.as_deref(), &[]),
        }
    }

    fn reply(&self, out: &mut Vec<u8>, reply: &Reply, secrets: &[String]) {
        out.extend_from_slice(format!(",\"status\":{},\"response_headers\":{{", reply.status).as_bytes());
        for (at, (name, text)) in reply.headers.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            write_json_string(name, out);
            out.push(b':');
            if name == "set-cookie" {
                write_json_string(MASK, out);
            } else {
                write_json_string(&masked(text, secrets), out);
            }
        }
        out.push(b'}');
        self.body(out, "response_body", Some(&reply.body), secrets);
        if !reply.complete {
            out.extend_from_slice(b",\"response_incomplete\":true");
        }
    }

    /// JSON goes in as JSON; anything else, and what is cut, as text.
    fn body(&self, out: &mut Vec<u8>, name: &str, body: Option<&[u8]>, secrets: &[String]) {
        out.extend_from_slice(format!(",\"{name}\":").as_bytes());
        let Some(body) = body else {
            out.extend_from_slice(b"null");
            return;
        };
        if body.is_empty() {
            out.extend_from_slice(b"\"\"");
            return;
        }
        let has_secret = secrets.iter().any(|secret| contains(body, secret.as_bytes()));
        if body.len() <= self.body_cap && !has_secret {
            if self.redact.is_empty() {
                if !body.contains(&b'\n') && serde_json::from_slice::<&RawValue>(body).is_ok() {
                    out.extend_from_slice(body);
                    return;
                }
            } else if let Ok(value) = parse_json(&String::from_utf8_lossy(body), false) {
                let start = out.len();
                if write_json(&redacted(value, &self.redact), out).is_ok() {
                    return;
                }
                out.truncate(start);
            }
        }
        let shown = body.get(..self.body_cap.min(body.len())).unwrap_or_default();
        // A cut or unreadable body cannot be redacted field by field, so none of it is kept.
        let text = if self.redact.is_empty() {
            masked(&String::from_utf8_lossy(shown), secrets)
        } else {
            format!("{REDACTED} ({} bytes)", body.len())
        };
        write_json_string(&text, out);
        if shown.len() < body.len() {
            out.extend_from_slice(format!(",\"{name}_cut\":\"{} of {} bytes\"", shown.len(), body.len()).as_bytes());
        }
    }
}

/// The line of a call whose process ended before its answer was logged: all that its intent knows.
pub(crate) fn unfinished_line(intent: &Intent, sync: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(b"{\"time\":");
    write_json_string(&intent.time.to_rfc3339_opts(SecondsFormat::Millis, true), &mut out);
    field(&mut out, "run", &intent.run.0);
    field(&mut out, "sync", sync);
    field(&mut out, "operation", &intent.operation);
    let keys = Value::List(intent.keys.iter().map(|key| Value::from(key.text())).collect());
    out.extend_from_slice(b",\"keys\":");
    drop(write_json(&keys, &mut out));
    out.extend_from_slice(format!(",\"attempt\":{}", intent.attempt).as_bytes());
    field(&mut out, "method", &intent.method);
    field(&mut out, "url", &intent.url);
    out.extend_from_slice(
        b",\"request_headers\":null,\"request_body\":null,\"status\":null,\"response_headers\":null,\
          \"response_body\":null,\"duration_ms\":null,\"wait_ms\":null",
    );
    field(&mut out, "outcome", "unknown");
    field(&mut out, "reason", "the process ended before the answer was logged");
    out.push(b'}');
    out
}

fn field(out: &mut Vec<u8>, name: &str, text: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    write_json_string(text, out);
}

/// The secret texts of a request, as they stand in headers and decoded.
fn secrets_of(request: &Request) -> Vec<String> {
    let mut secrets = Vec::new();
    for (_, text) in &request.headers {
        let HeaderText::Secret(secret) = text else { continue };
        let whole = secret.expose();
        let token = whole.strip_prefix("Basic ").or_else(|| whole.strip_prefix("Bearer ")).unwrap_or(whole);
        secrets.push(token.to_owned());
        if let Ok(decoded) = base64::engine::general_purpose::STANDARD.decode(token)
            && let Ok(decoded) = String::from_utf8(decoded)
        {
            secrets.push(decoded.trim_end_matches(':').to_owned());
        }
    }
    secrets.retain(|secret| secret.len() >= 4);
    secrets
}

fn masked(text: &str, secrets: &[String]) -> String {
    secrets.iter().fold(text.to_owned(), |text, secret| {
        if text.contains(secret.as_str()) { text.replace(secret.as_str(), MASK) } else { text }
    })
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    let Some(first) = part.first() else { return false };
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        let tail = rest.get(at..).unwrap_or_default();
        if tail.starts_with(part) {
            return true;
        }
        rest = tail.get(1..).unwrap_or_default();
    }
    false
}

/// Replaces fields by path (`traits.email`); a list is searched item by item.
fn redacted(value: Value, paths: &[String]) -> Value {
    fn walk(value: Value, at: &str, paths: &[String]) -> Value {
        match value {
            Value::Object(object) => {
                let fields: Object = object
                    .into_iter()
                    .map(|(name, inner)| {
                        let path = if at.is_empty() { name.to_string() } else { format!("{at}.{name}") };
                        let hidden = paths.contains(&path) && !inner.is_null();
                        let inner = if hidden { Value::from(REDACTED) } else { walk(inner, &path, paths) };
                        (name, inner)
                    })
                    .collect();
                Value::Object(fields)
            }
            Value::List(items) => Value::List(items.into_iter().map(|item| walk(item, at, paths)).collect()),
            Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Float(_)
            | Value::Decimal(_)
            | Value::Text(_)
            | Value::Bytes(_)
            | Value::Instant(_)
            | Value::LocalTime(_)
            | Value::Date(_)
            | Value::Lookup(_) => value,
        }
    }
    walk(value, "", paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ebb_destination::{Method, Repeat};

    fn request(body: &str) -> Request {
        Request {
            operation: "account.post",
            budget: 0,
            writes: true,
            method: Method::Post,
            url: "https://acme.rest.vitally.io/resources/accounts".to_owned(),
            headers: vec![
                ("authorization", HeaderText::Secret(Secret::new("Basic c2tfbGl2ZV9jYW5hcnk6"))),
                ("content-type", HeaderText::Plain("application/json".into())),
            ],
            body: Some(body.as_bytes().to_vec().into()),
            repeat: Repeat::Repeatable,
        }
    }

    fn line(body: &str, reply_body: &str, style: &LineStyle) -> String {
        let request = request(body);
        let reply = Reply {
            status: 200,
            headers: vec![("x-echo".to_owned(), "sk_live_canary".to_owned())],
            body: reply_body.as_bytes().to_vec(),
            complete: true,
        };
        let call = CallRecord {
            time: DateTime::UNIX_EPOCH,
            run: "r",
            sync: "accounts",
            keys: &[RowKey::new("a\"1")],
            attempt: 1,
            request: &request,
            reply: Some(&reply),
            duration_ms: 1.5,
            wait_ms: 0.0,
            outcome: "accepted",
            reason: None,
        };
        String::from_utf8(style.line(&call)).expect("utf-8")
    }

    fn style(body_cap: usize, redact: &[&str]) -> LineStyle {
        LineStyle::new(body_cap, redact.iter().map(|path| (*path).to_owned()).collect())
    }

    /// G8: no form of the token reaches a line, not even from the destination's own reply.
    #[test]
    fn g8_a_line_is_json_and_holds_no_secret() {
        for reply in [r#"{"ok":true}"#, "sk_live_canary", r#"{"got":"Basic c2tfbGl2ZV9jYW5hcnk6"}"#, "<html>\n", ""] {
            let line = line(r#"{"name":"A"}"#, reply, &style(1000, &[]));
            let value: serde_json::Value = serde_json::from_str(&line).expect("json");
            assert_eq!(value["keys"][0], "a\"1");
            assert!(!line.contains("canary") && !line.contains("c2tfbGl2"), "{line}");
            assert!(!line.contains('\n'));
        }
    }

    #[test]
    fn bodies_are_capped_and_say_so() {
        let value: serde_json::Value =
            serde_json::from_str(&line(r#"{"name":"A long name"}"#, "{}", &style(8, &[]))).expect("json");
        assert_eq!(value["request_body"], "{\"name\":");
        assert_eq!(value["request_body_cut"], "8 of 22 bytes");
    }

    #[test]
    fn redacted_fields_are_masked_in_both_bodies() {
        let style = style(1000, &["traits.email", "email"]);
        let line = line(r#"[{"traits":{"email":"ana@x","plan":"p"}}]"#, r#"{"email":"ana@x"}"#, &style);
        assert!(!line.contains("ana@x") && line.contains(r#""plan":"p""#), "{line}");
    }
}
