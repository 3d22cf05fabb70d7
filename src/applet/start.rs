//! `start`: where a run begins. It outputs the run's input.

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::failure::TEMPLATE_REASONS;
use super::{Applet, Completion, Context, Description, Effect, Error, Outcome};
use crate::template::Reads;

/// Outputs the run's input.
#[derive(Clone, Copy, Debug, Default)]
pub struct Start;

/// What the author of a flow sets on a `start` node.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Stands in for a run's input that is absent, null or `{}`.
    #[serde(default)]
    #[schemars(with = "Value")]
    default_input: Option<Value>,
}

impl Applet for Start {
    const KIND: &'static str = "start";

    type Config = Config;

    fn description() -> Description {
        Description {
            version: 1,
            title: "Start",
            text: "Outputs the run's input, or default_input where the run has none. A flow without start nodes begins \
                   at every node that no edge leads to.",
            handles: &[],
            effect: Effect::Pure,
            reasons: TEMPLATE_REASONS,
            example: || json!({"default_input": {"name": "world"}}),
            raw: &[],
            deferred: &[],
            default_timeout: Duration::from_secs(10),
            max_timeout: Duration::from_mins(1),
        }
    }

    fn effect(_config: &Config) -> Effect {
        Effect::Pure
    }

    fn reads(_config: &Config) -> Reads {
        Reads {
            names: ["input".to_owned()].into(),
            ..Reads::default()
        }
    }

    async fn run(&self, context: Context, config: Config) -> Result<Completion, Error> {
        let input = &context.scope.input;
        let is_empty = input.is_null() || input.as_object().is_some_and(serde_json::Map::is_empty);
        let output = match config.default_input {
            Some(default) if is_empty => Arc::new(default),
            _ => Arc::clone(input),
        };
        Ok(Completion::Done(Outcome::of(output)))
    }
}
