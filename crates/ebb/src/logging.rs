//! Diagnostics: to stderr, as text or JSON lines. They hold no cell values and no secrets.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

use crate::cli::Globals;

/// How diagnostics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts the diagnostics; `EBB_LOG` takes precedence over `-v` and `-q`.
pub(crate) fn start(globals: &Globals, wanted: Option<&str>) {
    let level = match (globals.quiet, globals.verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "warn,ebb=info,ebb_engine=info,ebb_source=info,ebb_state=info,ebb_sandbox=info",
        (false, 2) => "info,ebb=debug,ebb_engine=debug,ebb_source=debug,ebb_state=debug,ebb_sandbox=debug",
        (false, _) => "trace",
    };
    let filter = wanted.and_then(|text| EnvFilter::try_new(text).ok()).unwrap_or_else(|| EnvFilter::new(level));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    let started = match globals.log_format {
        LogFormat::Text => builder.with_ansi(globals.color.is_on(stderr().is_terminal())).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    debug_assert!(started.is_ok(), "diagnostics start once");
}
