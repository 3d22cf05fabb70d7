//! Trials with several processes of the program: faults at every boundary (`matrix`), and random ones for a while
//! (`soak`).
//!
//! A target of its own, because they take the machine for themselves: cargo runs one target after the other.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on may say so by panicking"
)]

mod invariants;
mod matrix;
mod report;
mod soak;
mod support;
mod traffic;
