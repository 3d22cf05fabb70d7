//! The service as callers and operators meet it: the real server, a real channel, a real Postgres.
//!
//! One private cluster serves a run of these tests, and each test has a database of its own in it. Tests wait for
//! states, never for time; [`support::within`] only bounds how long a broken one takes.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on may say so by panicking"
)]

mod applets;
mod bad_input;
mod bench;
mod cancel;
mod children;
mod code;
mod command_line;
mod conformance;
mod control;
mod crash;
mod drain;
mod explain;
mod failures;
mod fencing;
mod flows;
mod fork;
mod idle;
mod image;
mod journal;
mod limits;
mod llm;
mod loops;
mod memory;
mod migrations;
mod notify;
mod ownership;
mod payloads;
mod poison;
mod pooler;
mod predecessor;
mod queue;
mod relay;
mod runs;
mod secrets;
mod semantics;
mod service;
mod support;
mod trouble;
mod upgrade;
mod watch;
mod watch_runs;
