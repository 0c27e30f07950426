//! One test binary.

mod cli;
mod floor_plan;
#[cfg(test)]
mod simulation;
mod tidy;
