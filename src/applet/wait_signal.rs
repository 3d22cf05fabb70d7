//! `wait_signal`: waits until somebody sends the run a signal, and outputs what it carries.
//!
//! The wait is durable, and a signal that came before it is kept for it. A repeated attempt waits again.

use std::time::Duration;

use chrono::Utc;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, json};

use super::delay::{after, check_seconds};
use super::failure::TEMPLATE_REASONS;
use super::{
    Applet, Awaited, Completion, Context, Description, Effect, Error, Outcome, Wait, Woken,
};
use crate::flow::{Port, Violation};
use crate::template::{Templated, is_template};
use crate::usage::Usage;

/// The most characters of a signal's name.
const NAME_LENGTH: usize = 200;

/// The port where the signal has come.
const RECEIVED: &str = "received";

/// The port where it has not.
const EXPIRED: &str = "expired";

/// Waits for a signal.
#[derive(Clone, Copy, Debug, Default)]
pub struct WaitSignal;

/// What the author of a flow sets on a `wait_signal` node.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Which signal: 1 to 200 characters, none of them a control character.
    #[schemars(length(min = 1, max = 200))]
    name: String,
    /// How long to wait at most, in seconds, from 0 up to 2,592,000 (30 days); without it as long as the run may take.
    #[serde(default)]
    #[schemars(with = "Templated<f64>")]
    timeout: Option<Templated<f64>>,
}

impl Applet for WaitSignal {
    const KIND: &'static str = "wait_signal";

    type Config = Config;

    fn description() -> Description {
        Description {
            version: 1,
            title: "Wait for a signal",
            text: "Waits until the run is sent the signal called name (SignalRun) and outputs what it carries, by the \
                   port `received`. One that was sent before is kept and taken at once. After timeout seconds it outputs \
                   its input by the port `expired`. The wait outlasts restarts and costs no memory.",
            handles: &[
                (RECEIVED, "the signal has come; the output is its payload"),
                (EXPIRED, "timeout is over; the output is the node's input"),
            ],
            effect: Effect::Pure,
            reasons: TEMPLATE_REASONS,
            example: || json!({"name": "payment-arrived", "timeout": 86_400}),
            raw: &[],
            deferred: &[],
            default_timeout: Duration::from_secs(10),
            max_timeout: Duration::from_mins(1),
        }
    }

    fn ports(_config: &Config) -> Vec<Port> {
        vec![Port::from(RECEIVED), Port::from(EXPIRED)]
    }

    fn effect(_config: &Config) -> Effect {
        Effect::Pure
    }

    fn check(config: &Config) -> Vec<Violation> {
        let mut violations = Vec::new();
        if !is_template(&config.name) {
            violations.extend(check_name(&config.name));
        }
        violations.extend(check_seconds("timeout", config.timeout.as_ref()));
        violations
    }

    fn check_rendered(config: &Config) -> Vec<Violation> {
        let seconds = check_seconds("timeout", config.timeout.as_ref());
        check_name(&config.name)
            .into_iter()
            .chain(seconds)
            .collect()
    }

    async fn run(&self, context: Context, config: Config) -> Result<Completion, Error> {
        let (output, port) = match context.woken {
            Some(Woken::Signal(payload)) => (payload, RECEIVED),
            Some(Woken::Time) => (context.input, EXPIRED),
            // A decision is nothing that this step has asked for.
            None | Some(Woken::Approval(..)) => {
                let until = config
                    .timeout
                    .map(|wait| after(Utc::now(), wait, "timeout"));
                return Ok(Completion::Wait(Wait {
                    until: until.transpose()?,
                    awaited: Awaited::Signal(config.name),
                }));
            }
        };
        let mut details = Map::new();
        details.insert("signal".to_owned(), config.name.into());
        Ok(Completion::Done(Outcome {
            output,
            port: Some(Port::from(port)),
            details,
            usage: Usage::default(),
        }))
    }
}

fn check_name(name: &str) -> Option<Violation> {
    let length = name.chars().count();
    if !(1..=NAME_LENGTH).contains(&length) {
        let value = format!("{length} characters long");
        return Some(Violation::out_of_bounds("name", value, "1 to 200"));
    }
    name.contains(char::is_control).then(|| {
        let description = "holds a control character";
        Violation::at("name", "INVALID_NAME", description)
    })
}
