//! The log of calls.
