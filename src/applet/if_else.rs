//! `if_else`: sends its input out by the port `true` or `false`.

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

use super::compiled::Compiled;
use super::failure::TEMPLATE_REASONS;
use super::{Applet, Completion, Context, Description, Effect, Error, Outcome};
use crate::expression::cel::Program;
use crate::expression::json_path::JsonPath;
use crate::expression::pattern::Pattern;
use crate::flow::{Port, Violation};
use crate::template::{EXTRA_NAMES, Reads, Scope, is_template};
use crate::usage::Usage;
use crate::value;

/// Sources up to this size, in bytes, are shown in the step's details.
const MAX_SHOWN_BYTES: u64 = 1_024;

/// Chooses between two ports.
#[derive(Clone, Debug)]
pub struct IfElse {
    compiled: Arc<Compiled>,
}

impl IfElse {
    /// Keeps what it compiles in `compiled`.
    #[must_use]
    pub const fn new(compiled: Arc<Compiled>) -> Self {
        Self { compiled }
    }
}

/// What the author of a flow sets on an `if_else` node.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How the source is tested.
    #[serde(default)]
    operation: Operation,
    /// What is tested; without it the node's input.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Value")]
    source: Option<Value>,
    /// What it is compared with; null for `json_path` means that the path need only exist.
    #[serde(default)]
    value: Value,
    /// Whether upper and lower case are different letters, for `equals`, `contains` in text, and `json_path`.
    #[serde(default)]
    case_sensitive: bool,
    /// Whether the result is turned round.
    #[serde(default)]
    negate: bool,
    /// For `regex`: searched in the source's text, in Python's dialect; without it the text of `value`.
    #[serde(default)]
    #[schemars(length(max = 2000))]
    regex_pattern: String,
    /// For `regex`: any of `i`, `m`, `s`, `x`.
    #[serde(default)]
    regex_flags: String,
    /// For `json_path`: looked for in the source.
    #[serde(default = "root")]
    #[schemars(length(max = 2000))]
    json_path: String,
    /// For `cel`: a condition, which names what a template may, and `source`.
    #[serde(default)]
    #[schemars(length(max = 2000))]
    expression: String,
}

fn root() -> String {
    "$".to_owned()
}

/// A value that is there even if it is null.
pub(super) fn present<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// How a source is tested.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// It equals `value`, as JSON or as text without case.
    #[default]
    Equals,
    /// An object has `value` as a key or value, a list as an item, a text as a part; null is in nothing.
    Contains,
    /// Its text matches `regex_pattern` somewhere.
    Regex,
    /// `json_path` leads somewhere, and to `value` if there is one.
    JsonPath,
    /// `expression` is true.
    Cel,
}

impl Applet for IfElse {
    const KIND: &'static str = "if_else";

    type Config = Config;

    fn description() -> Description {
        Description {
            version: 1,
            title: "If / else",
            text: "Tests source and sends its input out by the port true or false. Operations: equals (texts without \
                   case unless case_sensitive is set; otherwise as JSON, 1 = 1.0), contains, regex, json_path, cel.",
            handles: &[
                ("true", "the test holds (or does not, with negate)"),
                ("false", "the opposite"),
            ],
            effect: Effect::Pure,
            reasons: TEMPLATE_REASONS,
            example: || json!({"operation": "equals", "source": "{{ content.status }}", "value": "open"}),
            raw: &["regex_pattern", "regex_flags", "json_path", "expression"],
            deferred: &[],
            default_timeout: Duration::from_secs(30),
            max_timeout: Duration::from_mins(10),
        }
    }

    fn ports(_config: &Config) -> Vec<Port> {
        vec![Port::from("true"), Port::from("false")]
    }

    fn effect(_config: &Config) -> Effect {
        Effect::Pure
    }

    fn check(config: &Config) -> Vec<Violation> {
        let checked = match config.operation {
            Operation::Equals | Operation::Contains => return Vec::new(),
            Operation::Regex => return config.check_pattern(),
            Operation::JsonPath => JsonPath::parse(&config.json_path)
                .map(drop)
                .map_err(|error| Violation::of_expression("json_path", &error)),
            Operation::Cel => Program::parse(&config.expression, &EXTRA_NAMES)
                .map(drop)
                .map_err(|error| Violation::of_expression("expression", &error)),
        };
        checked.err().into_iter().collect()
    }

    fn check_rendered(_config: &Config) -> Vec<Violation> {
        Vec::new()
    }

    fn reads(config: &Config) -> Reads {
        match config.operation {
            Operation::Cel => Program::parse(&config.expression, &EXTRA_NAMES)
                .map(|program| program.reads().clone())
                .unwrap_or_default(),
            _ => Reads::default(),
        }
    }

    async fn run(&self, context: Context, config: Config) -> Result<Completion, Error> {
        let input = Arc::clone(&context.input);
        let mut details = Map::new();
        details.insert("operation".to_owned(), json!(config.operation));
        let source = config.source.as_ref().unwrap_or(&input);
        if value::measure(source, MAX_SHOWN_BYTES).is_some() {
            details.insert("source".to_owned(), source.clone());
        }
        let negate = config.negate;
        let is_quick = matches!(config.operation, Operation::Equals | Operation::Contains);
        let compiled = Arc::clone(&self.compiled);
        let result = if is_quick {
            config.test(&input, &compiled, context.scope)?
        } else {
            let (cpu, scope, input) = (context.cpu, context.scope, Arc::clone(&input));
            cpu.run(move || config.test(&input, &compiled, scope))
                .await??
        };
        let result = result != negate;
        let branch = if result { "true" } else { "false" };
        details.insert("result".to_owned(), json!(result));
        details.insert("branch".to_owned(), json!(branch));
        Ok(Completion::Done(Outcome {
            output: input,
            port: Some(Port::from(branch)),
            details,
            usage: Usage::default(),
        }))
    }
}

impl Config {
    fn check_pattern(&self) -> Vec<Violation> {
        let (field, pattern) = if self.regex_pattern.is_empty() {
            match &self.value {
                Value::String(text) if is_template(text) => return Vec::new(),
                Value::Object(_) | Value::Array(_) => return Vec::new(),
                value => ("value", value::to_text(value).into_owned()),
            }
        } else {
            ("regex_pattern", self.regex_pattern.clone())
        };
        if pattern.is_empty() {
            let description = "a regex needs a pattern: here, or as the text of value";
            return vec![Violation::at("regex_pattern", "REQUIRED", description)];
        }
        match Pattern::parse(&pattern, &self.regex_flags) {
            Ok(_) => Vec::new(),
            Err(error) => vec![Violation::of_expression(field, &error)],
        }
    }

    fn test(&self, input: &Arc<Value>, compiled: &Compiled, scope: Scope) -> Result<bool, Error> {
        let source = self.source.as_ref().unwrap_or(input);
        Ok(match self.operation {
            Operation::Equals => equals(source, &self.value, self.case_sensitive),
            Operation::Contains => contains(source, &self.value, self.case_sensitive),
            Operation::Regex => {
                let of_value = value::coerce_text(&self.value);
                let pattern = match self.regex_pattern.as_str() {
                    "" => &of_value,
                    pattern => pattern,
                };
                compiled
                    .pattern(pattern, &self.regex_flags)?
                    .is_match(&value::coerce_text(source))?
            }
            Operation::JsonPath => {
                let path = compiled.path(&self.json_path)?;
                let found = path.find(source)?.filter(|found| {
                    path.is_single() || found.as_array().is_some_and(|list| !list.is_empty())
                });
                match found {
                    None => false,
                    Some(_) if self.value.is_null() => true,
                    Some(found) => equals(&found, &self.value, self.case_sensitive),
                }
            }
            Operation::Cel => {
                let mut scope = scope;
                let source = match &self.source {
                    Some(source) => Arc::new(source.clone()),
                    None => Arc::clone(input),
                };
                scope.extra.insert("source", Arc::clone(&source));
                scope.extra.insert("value", Arc::new(self.value.clone()));
                match compiled.program(&self.expression)?.evaluate(&scope)? {
                    Value::Bool(result) => result,
                    other => {
                        let message = format!(
                            "the condition gives {} instead of true or false",
                            value::kind(&other)
                        );
                        return Err(Error::permanent("EXPRESSION_FAILED", message));
                    }
                }
            }
        })
    }
}

/// Equality of JSON; of two texts without case, unless it is to count.
pub(super) fn equals(a: &Value, b: &Value, case_sensitive: bool) -> bool {
    match (a, b) {
        (Value::String(a), Value::String(b)) if !case_sensitive => {
            a.to_lowercase() == b.to_lowercase()
        }
        _ => value::equal(a, b),
    }
}

/// Keys, values and items are compared as they are; only inside a text does case not count, unless it is to.
fn contains(source: &Value, wanted: &Value, case_sensitive: bool) -> bool {
    match (source, wanted) {
        (_, Value::Null) => false,
        (Value::Object(entries), _) => {
            wanted.as_str().is_some_and(|key| entries.contains_key(key))
                || entries.values().any(|item| value::equal(item, wanted))
        }
        (Value::Array(items), _) => items.iter().any(|item| value::equal(item, wanted)),
        _ => {
            let (text, part) = (value::coerce_text(source), value::coerce_text(wanted));
            if case_sensitive {
                text.contains(&*part)
            } else {
                text.to_lowercase().contains(&part.to_lowercase())
            }
        }
    }
}
