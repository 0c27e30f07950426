use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use ebb_row::RowKey;

use crate::calls::CallWriters;
use crate::store::CallEntry;
use crate::tests::{call, run_id};
use crate::{CallFilter, CallLog, CallStatus};

/// A run's folder with a log.
struct Log {
    folder: tempfile::TempDir,
}

impl Log {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("runs")).unwrap();
        Self { folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("runs/run-1").join(name)
    }

    /// Appends as a process would that starts now.
    fn append(&self, calls: &[CallEntry]) {
        CallWriters::new(self.folder.path().join("runs")).append(calls.iter()).unwrap();
    }

    fn find(&self, filter: &CallFilter) -> Vec<String> {
        let log = CallLog::open(self.folder.path(), &run_id("run-1")).unwrap();
        log.lines(filter).unwrap().map(Result::unwrap).collect()
    }

    fn count(&self, key: &str) -> usize {
        self.find(&of(key)).len()
    }
}

fn of(key: &str) -> CallFilter {
    CallFilter { key: Some(RowKey::new(key)), ..CallFilter::default() }
}

fn calls(numbers: std::ops::Range<u32>) -> Vec<CallEntry> {
    let run = run_id("run-1");
    numbers.map(|number| call(&run, &[&format!("k{number}"), "shared"], &format!("outcome {number}"))).collect()
}

fn cut(path: &Path, bytes: u64) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() - bytes).unwrap();
}

#[test]
fn a_key_finds_its_lines_in_either_order_and_no_others() {
    let log = Log::new();
    log.append(&calls(0..3000));
    log.append(&calls(1000..1001));
    assert_eq!(log.count("k1000"), 2);
    assert_eq!(log.count("k1"), 1);
    assert_eq!(log.count("none"), 0);
    let all = log.find(&of("shared"));
    assert_eq!(all.len(), 3001);
    let newest = log.find(&CallFilter { newest: true, limit: 2, ..of("shared") });
    assert_eq!(newest, [all[3000].clone(), all[2999].clone()]);
    assert!(CallLog::open(log.folder.path(), &run_id("../run-1")).is_err());
}

#[test]
fn filters_hold_together() {
    let log = Log::new();
    let run = run_id("run-1");
    let line = |line: &str| CallEntry { run: run.clone(), line: line.as_bytes().to_vec(), keys: Vec::new() };
    log.append(&[
        line(r#"{"status":200,"outcome":"accepted","body":"one é"}"#),
        line(r#"{"status":429,"outcome":"retry"}"#),
        line(r#"{"status":404,"outcome":"rejected"}"#),
        line(r#"{"status":null,"outcome":"unknown"}"#),
        line(r#"{"outcome":"unknown"}"#),
    ]);
    let count = |filter: CallFilter| log.find(&filter).len();
    let status = |status| CallFilter { status: Some(status), ..CallFilter::default() };
    assert_eq!(count(CallFilter::default()), 5);
    assert_eq!(count(CallFilter { limit: 2, ..CallFilter::default() }), 2);
    assert_eq!(count(status(CallStatus::Exactly(429))), 1);
    assert_eq!(count(status(CallStatus::Class(4))), 2);
    assert_eq!(count(status(CallStatus::NoAnswer)), 2);
    assert_eq!(count(CallFilter { outcome: Some("rejected".to_owned()), ..status(CallStatus::Class(4)) }), 1);
    assert_eq!(count(CallFilter { contains: Some("one é".to_owned()), ..CallFilter::default() }), 1);
    assert_eq!(count(CallFilter { contains: Some("two".to_owned()), newest: true, ..CallFilter::default() }), 0);
}

#[test]
fn lines_read_backward_are_those_read_forward() {
    let log = Log::new();
    let run = run_id("run-1");
    let big = |number: usize| CallEntry {
        run: run.clone(),
        line: format!(r#"{{"number":{number},"body":"{}"}}"#, "x".repeat(number * 7919 % 600_000)).into_bytes(),
        keys: Vec::new(),
    };
    log.append(&(0..40).map(big).collect::<Vec<_>>());
    let forward = log.find(&CallFilter::default());
    let mut backward = log.find(&CallFilter { newest: true, ..CallFilter::default() });
    backward.reverse();
    assert_eq!(forward.len(), 40);
    assert!(forward == backward);
}

#[test]
fn a_run_without_calls_has_no_lines() {
    let log = Log::new();
    assert!(log.find(&CallFilter::default()).is_empty());
    assert!(log.find(&CallFilter { newest: true, ..of("a") }).is_empty());
}

#[test]
fn a_torn_last_line_is_passed_over_and_spoils_no_later_one() {
    for newest in [false, true] {
        let log = Log::new();
        log.append(&calls(0..10));
        cut(&log.file("calls.jsonl"), 5);
        assert_eq!(log.find(&CallFilter { newest, ..CallFilter::default() }).len(), 9);
        assert_eq!(log.count("shared"), 9);
        log.append(&calls(10..12));
        assert_eq!(log.find(&CallFilter { newest, ..CallFilter::default() }).len(), 11);
        assert_eq!(log.count("shared"), 11);
        assert_eq!((log.count("k9"), log.count("k11")), (0, 1));
        let text = fs::read_to_string(log.file("calls.jsonl")).unwrap();
        assert_eq!(text.lines().count(), 12, "the torn line stands alone");
    }
}

#[test]
fn each_truncation_of_the_sidecar_still_finds_every_line() {
    let log = Log::new();
    log.append(&calls(0..4));
    let length = fs::metadata(log.file("calls.keys")).unwrap().len();
    assert_eq!(length, 4 * 2 * 16);
    let whole = fs::read(log.file("calls.keys")).unwrap();
    for kept in 0..=whole.len() {
        fs::write(log.file("calls.keys"), &whole[..kept]).unwrap();
        assert_eq!(log.count("shared"), 4, "{kept} bytes");
        assert_eq!((log.count("k0"), log.count("k3")), (1, 1), "{kept} bytes");
        fs::write(log.file("calls.keys"), &whole[..kept]).unwrap();
        log.append(&[]);
        let mut writers = CallWriters::new(log.folder.path().join("runs"));
        writers.append(calls(4..5).iter()).unwrap();
        assert_eq!((log.count("shared"), log.count("k3"), log.count("k4")), (5, 1, 1), "{kept} bytes");
        cut(&log.file("calls.jsonl"), u64::try_from(calls(4..5)[0].line.len() + 1).unwrap());
    }
}

#[test]
fn each_flipped_byte_of_the_sidecar_still_finds_every_line() {
    let log = Log::new();
    log.append(&calls(0..4));
    let whole = fs::read(log.file("calls.keys")).unwrap();
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        fs::write(log.file("calls.keys"), &flipped).unwrap();
        assert_eq!((log.count("shared"), log.count("k0"), log.count("k3")), (4, 1, 1), "byte {at}");
        assert_eq!(fs::read(log.file("calls.keys")).unwrap(), whole, "it was made again");
    }
    fs::write(log.file("calls.keys"), vec![0; whole.len()]).unwrap();
    assert_eq!(log.count("k2"), 1);
    fs::remove_file(log.file("calls.keys")).unwrap();
    assert_eq!(log.count("k2"), 1);
    fs::write(log.file("calls.keys"), [whole.clone(), whole.clone()].concat()).unwrap();
    assert_eq!(log.count("shared"), 4, "records out of order");
}

#[test]
fn a_sidecar_that_lags_behind_a_running_writer_is_no_damage() {
    let log = Log::new();
    log.append(&calls(0..4));
    let mut file = OpenOptions::new().append(true).open(log.file("calls.jsonl")).unwrap();
    for call in calls(4..6) {
        file.write_all(&call.line).unwrap();
        file.write_all(b"\n").unwrap();
    }
    file.write_all(b"{\"keys\":[\"shared\"").unwrap();
    let before = fs::read(log.file("calls.keys")).unwrap();
    assert_eq!((log.count("shared"), log.count("k5")), (6, 1));
    assert_eq!(fs::read(log.file("calls.keys")).unwrap(), before);
}

#[test]
fn a_key_is_found_among_a_hundred_thousand_calls() {
    let log = Log::new();
    let mut writers = CallWriters::new(log.folder.path().join("runs"));
    for start in (0..100_000).step_by(1000) {
        writers.append(calls(start..start + 1000).iter()).unwrap();
    }
    assert_eq!((log.count("k0"), log.count("k77777"), log.count("k99999")), (1, 1, 1));
    File::create(log.file("calls.keys")).unwrap();
    assert_eq!(log.count("k77777"), 1);
}
