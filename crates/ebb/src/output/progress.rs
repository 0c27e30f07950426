//! Progress on a terminal: a bar on stderr for each run.

use std::sync::Mutex;
use std::time::Duration;

use ebb_engine::{Phase, Progress, Snapshot};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::escape;
use super::number::counted;

/// A bar that follows a run.
#[derive(Debug)]
pub(crate) struct Bar {
    shown: ProgressBar,
    name: String,
    phase: Mutex<Option<Phase>>,
}

impl Bar {
    /// Starts a bar for a sync; a hidden one where nobody watches.
    pub(crate) fn start(sync: &str, is_shown: bool) -> Self {
        let target = if is_shown { ProgressDrawTarget::stderr_with_hz(10) } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        if is_shown {
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        Self { shown: bar, name: escape::terminal(sync).into_owned(), phase: Mutex::new(None) }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.shown.finish_and_clear();
    }

    fn enter(&self, snapshot: &Snapshot) {
        let Ok(mut phase) = self.phase.lock() else { return };
        if phase.replace(snapshot.phase) == Some(snapshot.phase) {
            return;
        }
        let template = match snapshot.phase {
            Phase::Waiting | Phase::Reading | Phase::Planning | Phase::Finished => "{spinner} {prefix}: {msg}",
            Phase::Sending => "{spinner} {prefix}: {bar:24} {human_pos}/{human_len} {per_sec} {msg}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.shown.set_style(style);
        }
        self.shown.set_prefix(self.name.clone());
        self.shown.reset_eta();
    }
}

impl Progress for Bar {
    fn update(&self, snapshot: &Snapshot) {
        self.enter(snapshot);
        let note = snapshot.note.as_deref().map(escape::terminal);
        let note = note.as_deref();
        match snapshot.phase {
            Phase::Waiting => self.shown.set_message(note.unwrap_or("waiting").to_owned()),
            Phase::Reading => self.shown.set_message(format!("reading, {}", counted(snapshot.read, "row"))),
            Phase::Planning => self.shown.set_message(format!("planning, {}", counted(snapshot.read, "row"))),
            Phase::Sending => {
                self.shown.set_length(snapshot.operations);
                self.shown.set_position(snapshot.settled);
                self.shown.set_message(note.unwrap_or_default().to_owned());
            }
            Phase::Finished => self.shown.set_message("done"),
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.finish();
    }
}
