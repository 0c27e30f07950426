//! End-to-end tests, the simulation, the floor plan and the tidy checks.
