//! The demo's project and data. What the demo does with them is in `cli/demo.rs`.

mod files;
mod warehouse;

pub(crate) use files::{WAREHOUSE_FILE, is_demo, write_project};
pub(crate) use warehouse::{change, seed};
