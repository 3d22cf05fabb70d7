//! The run as a state machine: examples that read as sentences, then properties over random graphs and histories.
//!
//! The properties are checked on a [`simulation`] that drives a run as the engine does, with chance for applets, clock,
//! journal and crashes. `PROPTEST_CASES` sets how many cases are tried; without it there are few enough for each build.

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
