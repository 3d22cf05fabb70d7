//! `switch`: sends its input out by the port of the first case that equals the source.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use super::failure::TEMPLATE_REASONS;
use super::if_else::{equals, present};
use super::{Applet, Completion, Context, Description, Effect, Error, Outcome};
use crate::flow::{Port, Violation};
use crate::usage::Usage;
use crate::value;

/// The most cases.
const MAX_CASES: usize = 100;

/// The longest text of a case, in bytes.
const MAX_CASE_BYTES: usize = 200;

/// Chooses one of several ports.
#[derive(Clone, Copy, Debug, Default)]
pub struct Switch;

/// What the author of a flow sets on a `switch` node.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What is compared; without it the node's input.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Value")]
    source: Option<Value>,
    /// Texts, numbers or booleans, 1 to 100 of them, each different; a text has at most 200 bytes. They are never
    /// rendered, because the ports are named after them: `case:<value>`.
    #[schemars(schema_with = "cases_schema")]
    cases: Vec<Case>,
    /// Whether upper and lower case are different letters.
    #[serde(default)]
    case_sensitive: bool,
}

/// A text, number or boolean that the source may equal.
#[derive(Clone, Debug, PartialEq)]
pub struct Case(Value);

fn cases_schema(_generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array", "minItems": 1, "maxItems": MAX_CASES,
        "items": {"type": ["string", "number", "boolean"]},
    })
}

impl<'de> Deserialize<'de> for Case {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            case @ (Value::String(_) | Value::Number(_) | Value::Bool(_)) => Ok(Self(case)),
            other => Err(serde::de::Error::custom(format!(
                "is {}; a case is a text, a number or a boolean",
                value::kind(&other)
            ))),
        }
    }
}

impl Case {
    fn port(&self) -> Port {
        format!("case:{}", value::to_text(&self.0)).into()
    }
}

/// The port where no case is equal.
const DEFAULT: &str = "default";

impl Applet for Switch {
    const KIND: &'static str = "switch";

    type Config = Config;

    fn description() -> Description {
        Description {
            version: 1,
            title: "Switch",
            text: "Compares source with each case and sends its input out by the port of the first that is equal, or by \
                   `default`. Equality is JSON's (1 = 1.0, 1 ≠ \"1\"); texts are compared without case unless \
                   case_sensitive is set.",
            handles: &[
                ("case:<value>", "the first case that equals the source"),
                ("default", "no case does"),
            ],
            effect: Effect::Pure,
            reasons: TEMPLATE_REASONS,
            example: || json!({"source": "{{ content.status }}", "cases": ["open", "closed"]}),
            raw: &["cases"],
            deferred: &[],
            default_timeout: Duration::from_secs(30),
            max_timeout: Duration::from_mins(10),
        }
    }

    fn ports(config: &Config) -> Vec<Port> {
        let cases = config.cases.iter().map(Case::port);
        cases.chain([Port::from(DEFAULT)]).collect()
    }

    fn effect(_config: &Config) -> Effect {
        Effect::Pure
    }

    fn check(config: &Config) -> Vec<Violation> {
        let mut violations = Vec::new();
        let count = config.cases.len();
        if !(1..=MAX_CASES).contains(&count) {
            let value = format!("{count} cases");
            violations.push(Violation::out_of_bounds("cases", value, "1 to 100"));
        }
        let mut seen = BTreeSet::new();
        for (index, case) in config.cases.iter().take(MAX_CASES).enumerate() {
            let field = format!("cases[{index}]");
            let text = value::to_text(&case.0);
            if text.len() > MAX_CASE_BYTES {
                let value = format!("{} bytes long", text.len());
                violations.push(Violation::out_of_bounds(&field, value, "0 to 200"));
            }
            let key = if config.case_sensitive {
                text.into_owned()
            } else {
                text.to_lowercase()
            };
            if !seen.insert(key) {
                let description = "an earlier case is the same, so this one would never be chosen";
                violations.push(Violation::at(field, "DUPLICATE", description));
            }
        }
        violations
    }

    fn check_rendered(_config: &Config) -> Vec<Violation> {
        Vec::new()
    }

    async fn run(&self, context: Context, config: Config) -> Result<Completion, Error> {
        let source = config.source.as_ref().unwrap_or(&context.input);
        let chosen = config
            .cases
            .iter()
            .find(|case| equals(source, &case.0, config.case_sensitive));
        let port = chosen.map_or_else(|| Port::from(DEFAULT), Case::port);
        let mut details = Map::new();
        details.insert("branch".to_owned(), json!(port));
        Ok(Completion::Done(Outcome {
            output: Arc::clone(&context.input),
            port: Some(port),
            details,
            usage: Usage::default(),
        }))
    }
}
