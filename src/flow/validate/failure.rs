//! Rules for what a node says about its failures: how attempts are repeated, and what follows the last one.

use std::collections::HashMap;
use std::time::Duration;

use super::findings::{Findings, Part, join, shown};
use super::rules::MOST_PER_VALUE;
use super::texts::check_length;
use crate::flow::{Inspection, Node, OnError, RetryPolicy};
use crate::value;

/// The most attempts of a step.
const MAX_ATTEMPTS: u32 = 100;
/// The longest wait between two attempts: a day.
const MAX_INTERVAL: Duration = Duration::from_hours(24);
/// The largest factor between two waits.
const MAX_COEFFICIENT: f64 = 100.0;
/// The longest that all attempts may take together: 30 days.
const MAX_TOTAL_TIMEOUT: Duration = Duration::from_hours(30 * 24);
/// The most reasons of a list.
const MAX_REASONS: usize = 50;
/// The most characters of a reason.
const REASON_LENGTH: usize = 100;

/// Looks at one node by itself.
pub(super) fn check(
    node: &Node,
    part: Part,
    inspection: Option<&Inspection>,
    findings: &mut Findings,
) {
    if let Some(retry) = &node.retry {
        check_retry(retry, part, findings);
    }
    if let Some(OnError::DefaultOutput(output)) = &node.on_error {
        for error in value::check_all(output, u64::MAX, MOST_PER_VALUE) {
            let field = join("on_error.default_output".to_owned(), error.path());
            findings.add(part, &field, error.reason(), error.to_string());
        }
        // A config with problems does not tell its ports for certain.
        let known = inspection.filter(|inspection| inspection.violations.is_empty());
        if known.is_some_and(|inspection| inspection.ports.len() > 1) {
            findings.add(
                part,
                "on_error.default_output",
                "SEVERAL_HANDLES",
                "the node has several ways out, and nothing says by which this leaves: use port, fallback or \
                 continue_run",
            );
        }
    }
}

fn check_retry(retry: &RetryPolicy, part: Part, findings: &mut Findings) {
    let mut out_of_bounds = |field: &str, found: String, bounds: &str| {
        let description = format!("is {found}, it has to be {bounds}");
        findings.add(
            part,
            &format!("retry.{field}"),
            "OUT_OF_BOUNDS",
            description,
        );
    };
    if !(1..=MAX_ATTEMPTS).contains(&retry.max_attempts) {
        let found = retry.max_attempts.to_string();
        out_of_bounds("max_attempts", found, "1 to 100");
    }
    for (field, interval) in [
        ("initial_interval", retry.initial_interval),
        ("max_interval", retry.max_interval),
    ] {
        if interval.is_zero() || interval > MAX_INTERVAL {
            let found = format!("{} s", interval.as_secs_f64());
            out_of_bounds(field, found, "above 0 and at most 86400 s (1 day)");
        }
    }
    if !(1.0..=MAX_COEFFICIENT).contains(&retry.coefficient) {
        let found = retry.coefficient.to_string();
        out_of_bounds("coefficient", found, "1 to 100");
    }
    if !(0.0..=1.0).contains(&retry.jitter) {
        out_of_bounds("jitter", retry.jitter.to_string(), "0 to 1");
    }
    if let Some(total) = retry.total_timeout
        && (total.is_zero() || total > MAX_TOTAL_TIMEOUT)
    {
        let found = format!("{} s", total.as_secs_f64());
        let bounds = "above 0 and at most 2592000 s (30 days)";
        out_of_bounds("total_timeout", found, bounds);
    }
    check_reasons(
        &retry.non_retryable_reasons,
        "retry.non_retryable_reasons",
        part,
        findings,
    );
    check_reasons(&retry.safe_on, "retry.safe_on", part, findings);
}

fn check_reasons(reasons: &[String], field: &str, part: Part, findings: &mut Findings) {
    if reasons.len() > MAX_REASONS {
        let description = format!("has {} reasons, the most are {MAX_REASONS}", reasons.len());
        findings.add(part, field, "OUT_OF_BOUNDS", description);
        return;
    }
    for (index, reason) in reasons.iter().enumerate() {
        let field = format!("{field}[{index}]");
        if reason.is_empty() {
            findings.add(part, &field, "REQUIRED", "a reason has a name");
        }
        check_length(reason, REASON_LENGTH, part, &field, findings);
    }
}

/// The ways from nodes to their fallbacks: `(edge, source, target)`, by index, numbered on from `edges`.
pub(super) fn fallbacks(
    nodes: &[Node],
    edges: usize,
    by_id: &HashMap<&str, usize>,
    findings: &mut Findings,
) -> Vec<(usize, usize, usize)> {
    const FIELD: &str = "on_error.fallback.node_id";
    let mut ways = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        let Some(OnError::Fallback(fallback)) = &node.on_error else {
            continue;
        };
        let (part, id) = (Part::Node(index), shown(fallback.as_str()));
        let (reason, description) = match by_id.get(fallback.as_str()) {
            None => {
                let text = format!("no node of the same graph has the id {id:?}");
                ("UNKNOWN_FALLBACK", text)
            }
            Some(&target) if target == index => {
                ("SELF_LOOP", format!("{id:?} cannot take its own place"))
            }
            Some(&target) if nodes[target].kind == "start" => {
                let text = format!("{id:?} is a start node, which nothing may lead to");
                ("EDGE_INTO_START", text)
            }
            Some(&target) => {
                ways.push((edges + index, index, target));
                continue;
            }
        };
        findings.add(part, FIELD, reason, description);
    }
    ways
}
