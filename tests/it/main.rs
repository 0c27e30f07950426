//! One test binary.

mod cli;
mod floor_plan;
mod tidy;
