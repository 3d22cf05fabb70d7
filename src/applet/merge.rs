//! `merge`: makes one value of the outputs that reach it, in the order of the edges.

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::failure::TEMPLATE_REASONS;
use super::{Applet, Completion, Context, Delivered, Description, Effect, Error, Outcome};
use crate::flow::Violation;
use crate::template::{MAX_RENDERED_BYTES, is_template};
use crate::{template, value};

/// The longest delimiter, in characters.
const MAX_DELIMITER_CHARS: usize = 1_000;

/// Up to here, in bytes, values are merged where it is.
const INLINE_BYTES: u64 = 64 * 1024;

/// Makes one value of several.
#[derive(Clone, Copy, Debug, Default)]
pub struct Merge;

/// What the author of a flow sets on a `merge` node.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What becomes of the inputs.
    #[serde(default)]
    strategy: Strategy,
    /// Between the texts of `concatenate`, at most 1,000 characters.
    #[serde(default = "line_feed")]
    #[schemars(length(max = 1000))]
    delimiter: String,
}

fn line_feed() -> String {
    "\n".to_owned()
}

/// What becomes of the inputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// A list of them.
    #[default]
    Array,
    /// Their texts in a row.
    Concatenate,
    /// The first of them, null if there is none.
    FirstWins,
    /// An object with the node that each comes from as its key.
    Object,
}

impl Applet for Merge {
    const KIND: &'static str = "merge";

    type Config = Config;

    fn description() -> Description {
        Description {
            version: 1,
            title: "Merge",
            text: "Waits for every predecessor that can still deliver and makes one value of what reached it, in the \
                   order of the edges: array (a list), concatenate (texts, joined by delimiter), first_wins (the first, \
                   null if none), object (keyed by node id).",
            handles: &[],
            effect: Effect::Pure,
            reasons: TEMPLATE_REASONS,
            example: || json!({"strategy": "concatenate", "delimiter": "\n"}),
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
        let chars = config.delimiter.chars().count();
        if chars > MAX_DELIMITER_CHARS && !is_template(&config.delimiter) {
            let value = format!("{chars} characters long");
            return vec![Violation::out_of_bounds("delimiter", value, "0 to 1000")];
        }
        Vec::new()
    }

    async fn run(&self, context: Context, config: Config) -> Result<Completion, Error> {
        let details = details(&config, &context.inputs);
        let inputs = context.inputs;
        let output = if config.strategy == Strategy::FirstWins {
            let first = inputs.into_iter().next();
            first.map_or_else(|| Arc::new(Value::Null), |first| first.value)
        } else if is_within(&inputs, INLINE_BYTES) {
            Arc::new(merge(&config, &inputs))
        } else if is_within(&inputs, MAX_RENDERED_BYTES) {
            let work = move || merge(&config, &inputs);
            Arc::new(context.cpu.run(work).await?)
        } else {
            let bound = MAX_RENDERED_BYTES;
            return Err(template::Error::TooLarge { bound }.into());
        };
        Ok(Completion::Done(Outcome {
            details,
            ..Outcome::of(output)
        }))
    }
}

/// Whether the inputs together stay within some bytes.
fn is_within(inputs: &[Delivered], max_bytes: u64) -> bool {
    let rest = inputs.iter().try_fold(max_bytes, |rest, input| {
        let bytes = value::measure(&input.value, rest)?.bytes;
        rest.checked_sub(bytes)
    });
    rest.is_some()
}

fn merge(config: &Config, inputs: &[Delivered]) -> Value {
    match config.strategy {
        Strategy::Array => inputs.iter().map(|input| (*input.value).clone()).collect(),
        Strategy::Concatenate => {
            let texts: Vec<_> = inputs
                .iter()
                .map(|input| value::coerce_text(&input.value))
                .collect();
            Value::String(texts.join(&config.delimiter))
        }
        Strategy::FirstWins => inputs
            .first()
            .map_or(Value::Null, |first| (*first.value).clone()),
        Strategy::Object => {
            let entries = inputs
                .iter()
                .map(|input| (input.node_id.to_string(), (*input.value).clone()));
            Value::Object(entries.collect())
        }
    }
}

fn details(config: &Config, inputs: &[Delivered]) -> Map<String, Value> {
    let sources: Vec<_> = inputs.iter().map(|input| input.node_id.as_str()).collect();
    let mut details = Map::new();
    details.insert("strategy".to_owned(), json!(config.strategy));
    details.insert("count".to_owned(), json!(inputs.len()));
    details.insert("sources".to_owned(), json!(sources));
    details
}
