//! synapps: stores flows (graphs of applets) and runs them durably on Postgres, streaming every step over gRPC.
//!
//! The modules in reading order: names and values, then what a flow and a run are (pure), then the applets, then what
//! keeps runs (store, journal, hub), then the engine that drives them, then the service around it.

// The future of an attempt goes through templates, clients and parsers, deeper than the compiler expects.
#![recursion_limit = "256"]

pub mod crash_points;
pub mod ids;
pub mod usage;
pub mod value;

pub mod flow;
pub mod run;

pub mod applet;
pub mod cpu;
pub mod egress;
pub mod export;
pub mod expression;
pub mod import;
pub mod llm;
pub mod proto;
pub mod provider;
pub mod redact;
pub mod sandbox;
pub mod template;

pub mod engine;
pub mod files;
pub mod hub;
pub mod journal;
pub mod memory;
pub mod secrets;
pub mod store;

pub mod api;
pub mod relay;

pub mod config;
pub mod postgres;
pub mod server;
pub mod telemetry;

pub mod bench;
pub mod cli;
pub mod demo;
pub mod dev;
