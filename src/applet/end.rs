//! `end`: what reaches it is the run's output.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{Applet, Completion, Context, Description, Effect, Error, Outcome};

/// Outputs what reaches it.
#[derive(Clone, Copy, Debug, Default)]
pub struct End;

/// An `end` node has nothing to set.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {}

impl Applet for End {
    const KIND: &'static str = "end";

    type Config = Config;

    fn description() -> Description {
        Description {
            version: 1,
            title: "End",
            text: "Outputs what reaches it, which is the run's output. Of several end nodes the run's output is an \
                   object with their outputs by node id.",
            handles: &[],
            effect: Effect::Pure,
            reasons: &[],
            example: || json!({}),
            raw: &[],
            deferred: &[],
            default_timeout: Duration::from_secs(10),
            max_timeout: Duration::from_mins(1),
        }
    }

    fn effect(_config: &Config) -> Effect {
        Effect::Pure
    }

    async fn run(&self, context: Context, _config: Config) -> Result<Completion, Error> {
        Ok(Completion::Done(Outcome::of(context.input)))
    }
}
