//! Mappings at the crate's boundary: cases as files, and laws.

mod cases;
mod facts;
mod laws;
mod rows;
mod yaml;
