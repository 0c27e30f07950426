//! Traces of a run, sent to a collector by OTLP over HTTP.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};

use crate::cli::{Project, finish};

/// Listens as a collector does, and hands on each request: its first line and headers, and its body.
fn collector() -> (String, Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut bytes = Vec::new();
            let (head, length) = loop {
                let mut chunk = [0; 4096];
                let read = stream.read(&mut chunk).expect("readable");
                assert!(read > 0, "the request ends early");
                bytes.extend_from_slice(chunk.get(..read).expect("read"));
                let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
                let head = String::from_utf8(bytes.get(..end).expect("found").to_vec()).expect("headers are text");
                let length =
                    head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
                bytes.drain(..end + 4);
                break (head, length.unwrap_or(0));
            };
            let mut rest = vec![0; length - bytes.len()];
            stream.read_exact(&mut rest).expect("the whole body");
            bytes.extend(rest);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").expect("answered");
            if sender.send((head, bytes)).is_err() {
                return;
            }
        }
    });
    (url, receiver)
}

fn count(haystack: &[u8], needle: &[u8]) -> usize {
    haystack.windows(needle.len()).filter(|window| *window == needle).count()
}

/// Returns how many spans of a name there are: the field 5 of a span, in the encoding of protocol buffers.
fn spans(body: &[u8], name: &str) -> usize {
    let length = u8::try_from(name.len()).expect("short");
    count(body, &[&[0x2a, length], name.as_bytes()].concat())
}

fn traced(mut command: Command, url: &str) -> (i32, String, String) {
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", url);
    finish(command)
}

#[test]
fn a_run_is_a_trace_of_its_steps_and_calls() {
    let project = Project::new("[]");
    let (url, requests) = collector();
    let (code, stdout, stderr) = traced(project.command(&["run", "accounts", "--output", "json"]), &url);
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    let run: serde_json::Value = serde_json::from_str(&stdout).expect("JSON");
    let calls = run.pointer("/runs/0/counts/calls").and_then(serde_json::Value::as_u64).expect("a count");

    let mut body = Vec::new();
    for (head, part) in requests.try_iter() {
        assert!(head.starts_with("POST /v1/traces HTTP/1.1"), "{head}");
        body.extend(part);
    }
    for name in ["run", "read", "diff", "map", "send"] {
        assert_eq!(spans(&body, name), 1, "span `{name}`");
    }
    assert_eq!(spans(&body, "call"), usize::try_from(calls).expect("small"), "one for each call");
    let id = run.pointer("/runs/0/run").and_then(serde_json::Value::as_str).expect("an id");
    for word in [id, "accounts", "succeeded", "service.name", "account.post"] {
        assert!(count(&body, word.as_bytes()) > 0, "`{word}` is in it");
    }
    for secret in ["a-06", "Account 6", "http://127.0.0.1", crate::cli::TOKEN] {
        assert_eq!(count(&body, secret.as_bytes()), 0, "`{secret}` is in it");
    }
}

#[test]
fn a_collector_that_is_away_changes_no_run() {
    let project = Project::new("[]");
    let (code, stdout, stderr) = traced(project.command(&["run", "accounts"]), "http://127.0.0.1:1");
    assert_eq!(code, 0, "{stdout}");
    assert!(stderr.contains("opentelemetry"), "it is said that the traces were not sent: {stderr}");
}
