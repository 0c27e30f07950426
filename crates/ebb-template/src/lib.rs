//! The template language of mappings: parsed once, rendered for many rows.
//!
//! It knows nothing of syncs, destinations or files, and has no I/O, no async, no clock and no environment: what a
//! template may read is lent through [`Variables`], the time of the run included. Every render is bounded in steps
//! and bytes. Error texts name filters, columns and types, never a cell's value.
//!
//! Start reading at [`Template`]. Liquid is ours: `scanner` cuts the source, `expression` and `parser` build the tree of
//! `ast`, `names` checks it, `render` is the one evaluator over [`ebb_row::Value`]. `language: jinja` runs on
//! minijinja (`jinja`). Both share the one table of [`filters()`]: adding a filter is one function and one line.

mod ast;
mod compare;
mod error;
mod expression;
#[expect(
    clippy::needless_pass_by_value,
    clippy::unnecessary_wraps,
    reason = "every filter has the one signature of the table"
)]
mod filters;
mod jinja;
mod limits;
mod names;
mod number;
mod parser;
mod print;
mod printout;
mod render;
mod scanner;
mod template;

pub use error::TemplateError;
pub use filters::{Example, Filter, filters};
pub use names::{Names, Reads};
pub use template::{Form, Language, Root, Template, Variables};

#[cfg(test)]
mod tests;
