//! The `ebb` command.
//!
//! One file a command in `cli/`: it parses, calls the engine, prints. `workspace.rs` opens a project with its state,
//! `ready.rs` turns a sync's files into what the engine runs, `output/` shows plans, runs and calls to people and machines.
//!
//! This crate alone prints, exits, and reads the arguments and the environment. What it must never do: decide what is
//! sent, or write a value from outside to a terminal or a page without escaping it (`output/escape.rs`).
//!
//! Start reading at [`cli::main`].

mod cli;
mod demo;
mod exit;
mod logging;
mod output;
mod ready;
mod retention;
mod signals;
mod workspace;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Huge pages make the allocator's memory 50 MiB larger and nothing faster. Where the system cannot do without them,
    // nothing else changes.
    #[cfg(target_os = "linux")]
    let _unchanged = rustix::thread::disable_transparent_huge_pages(true);
    cli::main()
}
