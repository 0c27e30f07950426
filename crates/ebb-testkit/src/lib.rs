//! What tests stand on: a clock of virtual time, a seeded generator of rows and of changes to them, and a small model of
//! Vitally's two APIs with a schedule of faults.
//!
//! Everything here is pure: the same seed gives the same rows, the same faults, the same answers. Nothing here knows the
//! engine; `tests/it/simulation` puts it between the engine and this service. It must never judge: it records what was
//! asked and answered ([`Exchange`]), and checkers elsewhere see only that.
//!
//! Start reading at [`Service`], then [`FaultPlan`] and [`Model`].

mod clock;
mod model;
mod random;
mod service;

pub use clock::VirtualClock;
pub use model::{Model, ModelRow};
pub use random::Random;
pub use service::{CarriedRecord, Content, Exchange, Fault, FaultKind, FaultPlan, Received, Service, ServiceSettings};
