//! One test binary.

mod floor_plan;
mod tidy;
