//! The simulation: the real engine, the real mapping and the real Vitally destination on a virtual clock, with a source,
//! a store and a network that fail as a seed has it.
//!
//! `world.rs` is where to start reading; `check.rs` judges; `guarantees.rs` has the numbered tests, `sweep.rs` crashes a
//! small run at every step, `seeds.rs` draws worlds at random. docs/reliability.md says how to replay a seed.

mod check;
mod guarantees;
mod process;
mod ready;
mod seeds;
mod source;
mod sweep;
mod wire;
mod world;
