//! One test binary.

mod cli;
mod cli_due;
mod cli_serve;
mod cli_templates;
mod cli_traces;
mod floor_plan;
#[cfg(test)]
mod simulation;
mod tidy;
