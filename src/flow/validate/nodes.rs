//! Rules for one node by itself: its id, its applet, its config, what it overrides.

use std::collections::HashMap;

use super::findings::{Findings, Part, join, shown};
use super::level::Whole;
use super::rules::MOST_PER_VALUE;
use super::{Applets, failure, texts};
use crate::flow::{Effect, Inspection, Node};
use crate::value;

/// The most characters of a name for people.
const DISPLAY_NAME_LENGTH: usize = 200;

/// What is known of a node once it has been looked at by itself.
#[derive(Debug)]
pub(super) struct Known {
    /// What its applet says; `None` if there is no such applet or its config was not fit to be shown to it.
    pub(super) inspection: Option<Inspection>,
    /// Whether its id is its own in its graph.
    pub(super) unique: bool,
}

/// Looks at each node, and gives for each id the index of the first node that has it.
pub(super) fn check<'a>(
    nodes: &'a [Node],
    whole: &mut Whole<'_>,
    findings: &mut Findings,
) -> (Vec<Known>, HashMap<&'a str, usize>) {
    let mut by_id: HashMap<&str, usize> = HashMap::with_capacity(nodes.len());
    let mut known = Vec::with_capacity(nodes.len());
    for (index, node) in nodes.iter().enumerate() {
        let part = Part::Node(index);
        texts::check_node_id(node.id.as_str(), part, findings);
        let first = *by_id.entry(node.id.as_str()).or_insert(index);
        if let Some(first) = whole.take_id(&node.id, || findings.path(part, ""))
            && !node.id.as_str().is_empty()
        {
            let id = shown(node.id.as_str());
            findings.add(
                part,
                "id",
                "DUPLICATE_NODE_ID",
                format!("{id:?} is the id of {first} already"),
            );
        }
        known.push(Known {
            inspection: check_node(node, part, &whole.applets, findings),
            unique: first == index,
        });
    }
    (known, by_id)
}

fn check_node(
    node: &Node,
    part: Part,
    applets: &Applets<'_>,
    findings: &mut Findings,
) -> Option<Inspection> {
    texts::check_length(
        &node.display_name,
        DISPLAY_NAME_LENGTH,
        part,
        "display_name",
        findings,
    );
    if !(node.position.x.is_finite() && node.position.y.is_finite()) {
        findings.add(
            part,
            "position",
            "OUT_OF_BOUNDS",
            "x and y have to be finite numbers",
        );
    }
    // A config that nests too deep or cannot be stored is not shown to the applet: what reads it may recurse.
    let fit = check_data(node, part, findings);
    let inspection = if applets.kinds.contains(&node.kind.as_str()) {
        fit.then(|| (applets.inspect)(node)).flatten()
    } else {
        let (kind, known) = (shown(&node.kind), applets.kinds.join(", "));
        findings.add(
            part,
            "type",
            "UNKNOWN_APPLET",
            format!("no applet is of type {kind:?}; there are: {known}"),
        );
        None
    };
    if let Some(inspection) = &inspection {
        for violation in &inspection.violations {
            let field = join("data".to_owned(), &violation.field);
            findings.add(
                part,
                &field,
                violation.reason,
                violation.description.clone(),
            );
        }
        check_effect(node, part, inspection, findings);
    }
    check_timeout(node, part, inspection.as_ref(), findings);
    failure::check(node, part, inspection.as_ref(), findings);
    inspection
}

fn check_data(node: &Node, part: Part, findings: &mut Findings) -> bool {
    if !node.data.is_object() {
        let kind = value::kind(&node.data);
        findings.add(
            part,
            "data",
            "INVALID_CONFIG",
            format!("is {kind}, not an object"),
        );
        return false;
    }
    let errors = value::check_all(&node.data, u64::MAX, MOST_PER_VALUE);
    for error in &errors {
        let field = join("data".to_owned(), error.path());
        findings.add(part, &field, error.reason(), error.to_string());
    }
    errors.is_empty()
}

/// A node may only be stricter than its applet, but who posts to a receiver that heeds `Idempotency-Key` may say so.
fn check_effect(node: &Node, part: Part, inspection: &Inspection, findings: &mut Findings) {
    let (Some(wanted), Some(own)) = (node.effect, inspection.effect) else {
        return;
    };
    let excepted =
        node.kind == "http_request" && own == Effect::AtMostOnce && wanted == Effect::Idempotent;
    if wanted < own && !excepted {
        let (wanted, own) = (name(wanted), name(own));
        findings.add(
            part,
            "effect",
            "EFFECT_NOT_STRICTER",
            format!("{wanted} is not as strict as {own}, which is the applet's own"),
        );
    }
}

fn name(effect: Effect) -> &'static str {
    match effect {
        Effect::Pure => "EFFECT_PURE",
        Effect::Idempotent => "EFFECT_IDEMPOTENT",
        Effect::AtMostOnce => "EFFECT_AT_MOST_ONCE",
    }
}

fn check_timeout(
    node: &Node,
    part: Part,
    inspection: Option<&Inspection>,
    findings: &mut Findings,
) {
    let Some(timeout) = node.timeout else {
        return;
    };
    let most = inspection.and_then(|inspection| inspection.max_timeout);
    if timeout.is_zero() || most.is_some_and(|most| timeout > most) {
        let bound = most.map_or_else(String::new, |most| {
            format!(" and at most {} s", most.as_secs_f64())
        });
        findings.add(
            part,
            "timeout",
            "OUT_OF_BOUNDS",
            format!(
                "is {} s, it has to be above 0{bound}",
                timeout.as_secs_f64()
            ),
        );
    }
}
