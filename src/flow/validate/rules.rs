//! What governs the runs of a flow: the schema of their input, and their bounds.

use serde_json::Value;

use super::findings::{Findings, Part};
use super::texts::check_length;
use super::{Limits, Violation};
use crate::flow::{Definition, Policy};
use crate::template::Template;
use crate::value;

/// The most steps of one run that a policy may let execute at once.
const MAX_PARALLEL_STEPS: u32 = 1_000;
/// The most runs that a policy may let be open at once.
const MAX_OPEN_RUNS: u32 = 1_000_000;
/// The most characters of a concurrency key.
const CONCURRENCY_KEY_LENGTH: usize = 1_000;
/// The most problems that are told of one JSON value.
pub(super) const MOST_PER_VALUE: usize = 20;

/// The only dialect of JSON schema that is understood.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Makes the schema of a flow's input ready to check inputs: draft 2020-12, without access to files or network.
///
/// Takes CPU by the size of the schema; the nesting must have been checked.
///
/// # Errors
///
/// What is wrong with the schema, with a path inside it.
pub fn compile_input_schema(schema: &Value) -> Result<jsonschema::Validator, Violation> {
    let invalid = |field: String, description: String| Violation {
        field,
        reason: "INVALID_SCHEMA",
        description,
    };
    if let Some(dialect) = schema.get("$schema") {
        let named = dialect.as_str().map(|name| name.trim_end_matches('#'));
        if named != Some(DIALECT) {
            return Err(invalid(
                "$schema".to_owned(),
                format!("only {DIALECT} is understood; leave $schema out or name that"),
            ));
        }
    }
    jsonschema::draft202012::new(schema).map_err(|error| {
        let path = error.instance_path().to_string();
        invalid(
            path.trim_start_matches('/').replace('/', "."),
            format!("is no JSON schema of draft 2020-12: {error}"),
        )
    })
}

pub(super) fn check(definition: &Definition, limits: &Limits, findings: &mut Findings) {
    if let Some(schema) = &definition.input_schema {
        check_input_schema(schema, findings);
    }
    check_policy(&definition.policy, limits, findings);
}

fn check_input_schema(schema: &Value, findings: &mut Findings) {
    if !schema.is_object() {
        let kind = value::kind(schema);
        findings.add(
            Part::Rules,
            "input_schema",
            "INVALID_SCHEMA",
            format!("is {kind}, not an object"),
        );
        return;
    }
    let errors = value::check_all(schema, u64::MAX, MOST_PER_VALUE);
    for error in &errors {
        let field = super::findings::join("input_schema".to_owned(), error.path());
        findings.add(Part::Rules, &field, error.reason(), error.to_string());
    }
    if !errors.is_empty() {
        return;
    }
    if let Err(violation) = compile_input_schema(schema) {
        let field = super::findings::join("input_schema".to_owned(), &violation.field);
        findings.add(Part::Rules, &field, violation.reason, violation.description);
    }
}

fn check_policy(policy: &Policy, limits: &Limits, findings: &mut Findings) {
    if let Some(timeout) = policy.run_timeout
        && (timeout.is_zero() || timeout > limits.run_timeout)
    {
        findings.add(
            Part::Rules,
            "policy.run_timeout",
            "OUT_OF_BOUNDS",
            format!(
                "is {} s, it has to be above 0 and at most {} s",
                timeout.as_secs_f64(),
                limits.run_timeout.as_secs()
            ),
        );
    }
    if let Some(steps) = policy.max_parallel_steps
        && !(1..=MAX_PARALLEL_STEPS).contains(&steps)
    {
        findings.add(
            Part::Rules,
            "policy.max_parallel_steps",
            "OUT_OF_BOUNDS",
            format!("is {steps}, it has to be 1 to {MAX_PARALLEL_STEPS}"),
        );
    }
    check_open_runs(policy, findings);
}

fn check_open_runs(policy: &Policy, findings: &mut Findings) {
    if let Some(runs) = policy.max_open_runs
        && !(1..=MAX_OPEN_RUNS).contains(&runs)
    {
        findings.add(
            Part::Rules,
            "policy.max_open_runs",
            "OUT_OF_BOUNDS",
            format!("is {runs}, it has to be 1 to {MAX_OPEN_RUNS}"),
        );
    }
    check_concurrency_key(&policy.concurrency_key, findings);
    if policy.on_conflict.is_some() && policy.open_run_limit().is_none() {
        findings.add(
            Part::Rules,
            "policy.max_open_runs",
            "REQUIRED",
            "on_conflict says what becomes of a run over the limit, and there is none: set max_open_runs or \
             concurrency_key, or leave on_conflict out",
        );
    }
}

/// The key is rendered when a run is started: all that there is by then is the run's input.
fn check_concurrency_key(key: &str, findings: &mut Findings) {
    const FIELD: &str = "policy.concurrency_key";
    check_length(key, CONCURRENCY_KEY_LENGTH, Part::Rules, FIELD, findings);
    if key.chars().count() > CONCURRENCY_KEY_LENGTH {
        return;
    }
    match Template::parse(key) {
        Err(error) => findings.add(Part::Rules, FIELD, error.reason(), error.to_string()),
        Ok(template) => {
            let reads = template.reads();
            if let Some(name) = reads.names.iter().find(|name| *name != "input") {
                let description = format!("reads {name}, but a key can read nothing but input");
                findings.add(Part::Rules, FIELD, "UNKNOWN_NAME", description);
            }
        }
    }
}
