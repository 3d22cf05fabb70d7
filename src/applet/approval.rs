//! `approval`: asks somebody to decide, and goes on by the port of the decision.
//!
//! The wait is durable. Who may decide, and that nobody decides twice, is the service's business; a repeated attempt asks
//! again.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::delay::{after, check_seconds};
use super::failure::TEMPLATE_REASONS;
use super::{
    Applet, ApprovalRequest, Awaited, Completion, Context, Decision, Description, Effect, Error,
    Outcome, Wait, Woken,
};
use crate::expression::schema::Schema;
use crate::flow::{Port, Violation};
use crate::template::{Templated, is_template};
use crate::usage::Usage;
use crate::value;

/// The most characters of a title.
const TITLE_LENGTH: usize = 200;

/// The most characters of a description.
const DESCRIPTION_LENGTH: usize = 4_000;

/// The port where nobody has decided, and nothing says how to go on.
const EXPIRED: &str = "expired";

/// Asks for a decision.
#[derive(Clone, Copy, Debug, Default)]
pub struct Approval;

/// What the author of a flow sets on an `approval` node.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What is to be decided, in 1 to 200 characters.
    #[schemars(length(min = 1, max = 200))]
    title: String,
    /// What there is to know about it, at most 4,000 characters.
    #[serde(default)]
    #[schemars(length(max = 4000))]
    description: String,
    /// The JSON schema that the values of a decision must fit, draft 2020-12 unless it says otherwise; any object will
    /// do without one.
    #[serde(default)]
    #[schemars(with = "Value")]
    form_schema: Option<Value>,
    /// How long to wait for a decision, in seconds, from 0 up to 2,592,000 (30 days); without it as long as the run may
    /// take.
    #[serde(default)]
    #[schemars(with = "Templated<f64>")]
    expires_in: Option<Templated<f64>>,
    /// What is decided when nobody has by then; without it the node goes on by `expired`. Needs `expires_in`.
    #[serde(default)]
    #[schemars(with = "DefaultDecision")]
    default_decision: Option<DefaultDecision>,
}

/// What is decided when nobody has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DefaultDecision {
    /// Yes.
    #[serde(alias = "APPROVED")]
    Approved,
    /// No.
    #[serde(alias = "REJECTED")]
    Rejected,
}

impl From<DefaultDecision> for Decision {
    fn from(default: DefaultDecision) -> Self {
        match default {
            DefaultDecision::Approved => Self::Approved,
            DefaultDecision::Rejected => Self::Rejected,
        }
    }
}

impl Applet for Approval {
    const KIND: &'static str = "approval";

    type Config = Config;

    fn description() -> Description {
        Description {
            version: 1,
            title: "Approval",
            text: "Asks somebody to approve or reject (ListApprovals, ResolveApproval) and outputs {decision, values, \
                   comment, decided_by, input} by the port of the decision. After expires_in seconds default_decision \
                   holds, or without one the output is {decision: \"EXPIRED\", input} by the port `expired`. The wait \
                   outlasts restarts and costs no memory.",
            handles: &[
                ("approved", "somebody has approved, or default_decision has"),
                ("rejected", "somebody has rejected, or default_decision has"),
                (
                    EXPIRED,
                    "nobody has decided in time, and there is no default_decision",
                ),
            ],
            effect: Effect::Pure,
            reasons: TEMPLATE_REASONS,
            example: || {
                json!({
                    "title": "Refund {{ content.amount }} €?",
                    "form_schema": {"type": "object", "properties": {"reason": {"type": "string"}}},
                    "expires_in": 86_400,
                    "default_decision": "rejected",
                })
            },
            raw: &["form_schema", "default_decision"],
            deferred: &[],
            default_timeout: Duration::from_secs(10),
            max_timeout: Duration::from_mins(1),
        }
    }

    fn ports(_config: &Config) -> Vec<Port> {
        [port(Decision::Approved), port(Decision::Rejected), EXPIRED]
            .map(Port::from)
            .to_vec()
    }

    fn effect(_config: &Config) -> Effect {
        Effect::Pure
    }

    fn check(config: &Config) -> Vec<Violation> {
        let mut violations = check_texts(config, is_template);
        violations.extend(check_seconds("expires_in", config.expires_in.as_ref()));
        match &config.form_schema {
            None => {}
            Some(schema @ Value::Object(_)) => {
                if let Err(error) = Schema::compile(schema) {
                    violations.push(Violation::of_expression("form_schema", &error));
                }
            }
            Some(other) => {
                let description = format!("is {}; a schema is an object", value::kind(other));
                violations.push(Violation::at("form_schema", "WRONG_TYPE", description));
            }
        }
        if config.default_decision.is_some() && config.expires_in.is_none() {
            let description =
                "default_decision holds when the wait is over, and nothing says when that is";
            violations.push(Violation::at("expires_in", "REQUIRED", description));
        }
        violations
    }

    fn check_rendered(config: &Config) -> Vec<Violation> {
        let mut violations = check_texts(config, |_| false);
        violations.extend(check_seconds("expires_in", config.expires_in.as_ref()));
        violations
    }

    async fn run(&self, context: Context, config: Config) -> Result<Completion, Error> {
        let input = context.input;
        let (answer, port) = match (context.woken, config.default_decision) {
            (Some(Woken::Approval(decision, answer)), _) => (answer, port(decision)),
            (Some(Woken::Time), Some(default)) => {
                let decision = Decision::from(default);
                (Arc::new(undecided(decision.as_str())), port(decision))
            }
            (Some(Woken::Time), None) => (Arc::new(json!({"decision": "EXPIRED"})), EXPIRED),
            // A signal is nothing that this step has asked for.
            (None | Some(Woken::Signal(_)), _) => {
                let wait = config.expires_in;
                let until = wait.map(|wait| after(Utc::now(), wait, "expires_in"));
                return Ok(Completion::Wait(Wait {
                    until: until.transpose()?,
                    awaited: Awaited::Approval(ApprovalRequest {
                        title: config.title,
                        description: config.description,
                        form_schema: config.form_schema,
                        default_decision: config.default_decision.map(Decision::from),
                    }),
                }));
            }
        };
        Ok(Completion::Done(outcome(&answer, input, port)))
    }
}

/// Checks the texts but for those that are yet to be rendered.
fn check_texts(config: &Config, is_open: fn(&str) -> bool) -> Vec<Violation> {
    let texts = [
        ("title", &config.title, 1, TITLE_LENGTH),
        ("description", &config.description, 0, DESCRIPTION_LENGTH),
    ];
    let mut violations = Vec::new();
    for (field, text, least, most) in texts {
        let length = text.chars().count();
        if !is_open(text) && !(least..=most).contains(&length) {
            let value = format!("{length} characters long");
            let bounds = format!("{least} to {most}");
            violations.push(Violation::out_of_bounds(field, value, &bounds));
        }
    }
    violations
}

/// What nobody has said anything about.
fn undecided(decision: &str) -> Value {
    json!({"decision": decision, "values": {}, "comment": "", "decided_by": ""})
}

fn outcome(answer: &Value, input: Arc<Value>, port: &str) -> Outcome {
    let mut output = answer.as_object().cloned().unwrap_or_default();
    let mut details = Map::new();
    for key in ["decision", "decided_by"] {
        if let Some(value) = output.get(key) {
            details.insert(key.to_owned(), value.clone());
        }
    }
    output.insert("input".to_owned(), Arc::unwrap_or_clone(input));
    Outcome {
        output: Arc::new(output.into()),
        port: Some(Port::from(port)),
        details,
        usage: Usage::default(),
    }
}

fn port(decision: Decision) -> &'static str {
    match decision {
        Decision::Approved => "approved",
        Decision::Rejected => "rejected",
    }
}
