//! `subflow`: runs another flow as a child run and outputs what that outputs.
//!
//! The child is started by the engine, under an id that is journaled first, so that a repeated attempt finds the child that
//! was started already.

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::failure::TEMPLATE_REASONS;
use super::if_else::present;
use super::{Applet, Call, Completion, Context, Description, Effect, Error};
use crate::flow::Violation;
use crate::flow::validate::is_flow_id;
use crate::ids::FlowId;
use crate::template::{Templated, is_template};

/// Runs another flow.
#[derive(Clone, Copy, Debug, Default)]
pub struct Subflow;

/// What the author of a flow sets on a `subflow` node.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Which flow.
    flow_id: String,
    /// Its revision, from 1; 0 is the latest at the time.
    #[serde(default = "latest")]
    #[schemars(with = "Templated<i32>")]
    revision: Templated<i32>,
    /// The input of the child run; without it the node's input.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Value")]
    input: Option<Value>,
}

const fn latest() -> Templated<i32> {
    Templated::Value(0)
}

impl Applet for Subflow {
    const KIND: &'static str = "subflow";

    type Config = Config;

    fn description() -> Description {
        Description {
            version: 1,
            title: "Sub-flow",
            text: "Runs another flow as a child run with input and waits for it; its output is the step's. Cancelling \
                   the run cancels the child, and a child that fails fails the step. Children may have children, up to \
                   8 deep. The node's timeout bounds the start of the child, not its run.",
            handles: &[],
            effect: Effect::Pure,
            reasons: TEMPLATE_REASONS,
            example: || json!({"flow_id": "enrich-order", "input": {"order": "{{ content.order }}"}}),
            raw: &[],
            deferred: &[],
            default_timeout: Duration::from_secs(30),
            max_timeout: Duration::from_mins(10),
        }
    }

    fn effect(_config: &Config) -> Effect {
        Effect::Pure
    }

    fn check(config: &Config) -> Vec<Violation> {
        if is_template(&config.flow_id) {
            return check_revision(config).into_iter().collect();
        }
        Self::check_rendered(config)
    }

    fn check_rendered(config: &Config) -> Vec<Violation> {
        let mut violations = Vec::new();
        if !is_flow_id(&config.flow_id) {
            let description = "is no id of a flow: 1 to 200 characters of A-Z a-z 0-9 _ . -";
            violations.push(Violation::at("flow_id", "INVALID_ID", description));
        }
        violations.extend(check_revision(config));
        violations
    }

    async fn run(&self, context: Context, config: Config) -> Result<Completion, Error> {
        let revision = config.revision.into_value();
        let revision =
            revision.map_err(|error| Violation::at("revision", "WRONG_TYPE", error.to_string()))?;
        Ok(Completion::Call(Call {
            flow_id: FlowId::new(config.flow_id),
            revision,
            input: config.input.map_or(context.input, Arc::new),
        }))
    }
}

fn check_revision(config: &Config) -> Option<Violation> {
    let revision = config.revision.known().filter(|&&number| number < 0)?;
    let bounds = "0 (the latest) or above";
    Some(Violation::out_of_bounds("revision", revision, bounds))
}
