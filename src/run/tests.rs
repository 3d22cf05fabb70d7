//! The run as a state machine: examples that read as sentences, then properties over random graphs and histories.
//!
//! The properties are checked on a [`simulation`] that drives a run as the engine does, with chance for applets, clock,
//! journal and crashes, and compared with an [`interpreter`] that knows none of these. Without more ado some 10,000 runs
//! are simulated; `PROPTEST_CASES` sets how many each property tries:
//!
//! ```text
//! PROPTEST_CASES=20000 cargo test --lib run::tests
//! ```

mod encoding;
mod examples;
mod folds;
mod graphs;
mod interpreter;
mod properties;
mod reference;
mod script;
mod shapes;
mod simulation;
mod story;
mod time;
