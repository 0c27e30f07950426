//! Benchmarks of whole processes: each figure is a ratio between two things measured in the same run.
//!
//! `just bench` runs them all; `just bench p1 p3` some. The goals they answer to are P1 to P16 of
//! `docs/performance.md`. Nothing here asserts a time: it prints, people judge.

mod machine;
mod peers;
mod scenarios;
mod templates;
mod workload;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measures ebb against named peers and limits.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    peer: Option<Peer>,
    /// Which figures: p1 p3 p5 p7 p9 p13 p14 p16; all of them by default (p8 comes with p7).
    figures: Vec<String>,
    /// Rows of the reading benchmarks.
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// Rows of the sending benchmarks.
    #[arg(long, default_value_t = 100_000)]
    sent_rows: u64,
    /// Measured runs of each command; the median counts.
    #[arg(long, default_value_t = 3)]
    runs: usize,
}

/// What the benchmarks start as processes of their own, so that each is measured alone.
#[derive(Debug, Subcommand)]
enum Peer {
    /// Runs a command and prints its usage as JSON on the last line of standard error.
    #[command(hide = true)]
    Measure {
        /// The command.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Steps through every column of an SQLite query.
    #[command(hide = true)]
    ReadSqlite {
        /// The file.
        file: std::path::PathBuf,
        /// The query.
        sql: String,
    },
    /// Posts bodies with a bare HTTP client.
    #[command(hide = true)]
    Post {
        /// Where to.
        url: String,
        /// How many.
        requests: u64,
        /// How many at once.
        in_flight: usize,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.peer {
        Some(Peer::Measure { command }) => machine::measure_here(&command),
        Some(Peer::ReadSqlite { file, sql }) => peers::read_sqlite(&file, &sql),
        Some(Peer::Post { url, requests, in_flight }) => peers::post(&url, requests, in_flight),
        None => scenarios::run(&scenarios::Settings {
            figures: arguments.figures,
            rows: arguments.rows,
            sent_rows: arguments.sent_rows,
            runs: arguments.runs,
        }),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            machine::say_error(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
