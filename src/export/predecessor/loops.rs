//! Loops whose body is one node after the other.

use serde_json::{Map, Value, json};

use super::Findings;
use super::nodes;
use super::templates::Scope;
use crate::flow::{Body, Node, OnError, document};
use crate::import::predecessor::kinds::Kind;

/// The most items at once, there.
const MAX_CONCURRENCY: u64 = 100;

/// Takes what only loops have out of `rest` and puts what it was called into `data`.
pub(super) fn write(
    node: &Node,
    rest: &mut Map<String, Value>,
    data: &mut Map<String, Value>,
    field: &str,
    scope: Scope<'_>,
    findings: &mut Findings,
) {
    let concurrency = rest.remove("concurrency");
    let concurrency = concurrency.map_or(Some(10), |value| value.as_u64());
    match concurrency {
        Some(1) => {}
        Some(at_once) => {
            data.insert("parallel".to_owned(), json!(true));
            let limit = at_once.min(MAX_CONCURRENCY);
            data.insert("concurrency_limit".to_owned(), json!(limit));
            if limit != at_once {
                let description = "at most 100 items were worked on at once";
                findings.lose(format!("{field}.concurrency"), Some(&node.id), description);
            }
        }
        None => findings.refuse(
            format!("{field}.concurrency"),
            &node.id,
            "it was a number, not a template",
        ),
    }
    if let Some(items) = rest.remove("max_items") {
        if items.is_u64() {
            data.insert("max_iterations".to_owned(), items);
        } else {
            let description = "it was a number, not a template";
            findings.refuse(format!("{field}.max_items"), &node.id, description);
        }
    }
    if rest.remove("on_excess") != Some(json!("truncate")) {
        let description = "items beyond the limit are left out there, and nothing fails";
        findings.lose(format!("{field}.on_excess"), Some(&node.id), description);
    }
    if rest.remove("on_item_error") != Some(json!("collect")) {
        let description =
            "an item that fails stands in the list as an error there, and nothing fails";
        findings.lose(
            format!("{field}.on_item_error"),
            Some(&node.id),
            description,
        );
    }
    rest.entry("array_source")
        .or_insert_with(|| json!("{{ content }}"));
    if let Some(body) = rest.remove("body").filter(|body| !body.is_null()) {
        let field = format!("{field}.body");
        if let Some(body) = document::read_body(&body).ok().filter(is_chain) {
            let subs = sub_nodes(&body, &field, scope, findings);
            data.insert("sub_nodes".to_owned(), subs);
        } else {
            let description =
                "the body of a loop was a list of nodes, each fed by the one before it";
            findings.refuse(field, &node.id, description);
        }
    }
}

/// Whether each node feeds the next and nothing else, an `if_else` by both its ways.
fn is_chain(body: &Body) -> bool {
    let mut wanted: Vec<(&str, &str, &str)> = Vec::new();
    for pair in body.nodes.windows(2) {
        let (source, target) = (pair[0].id.as_str(), pair[1].id.as_str());
        if pair[0].kind == Kind::IfElse.name() {
            wanted.push((source, "true", target));
            wanted.push((source, "false", target));
        } else {
            wanted.push((source, "", target));
        }
    }
    let mut found: Vec<_> = body
        .edges
        .iter()
        .map(|edge| {
            let (source, target) = (edge.source.as_str(), edge.target.as_str());
            (source, edge.source_handle.as_str(), target)
        })
        .collect();
    wanted.sort_unstable();
    found.sort_unstable();
    wanted == found
}

fn sub_nodes(body: &Body, field: &str, scope: Scope<'_>, findings: &mut Findings) -> Value {
    let mut before = None;
    let mut subs = Vec::new();
    for (index, node) in body.nodes.iter().enumerate() {
        let field = format!("{field}.nodes[{index}]");
        if node.retry.is_some() || !matches!(node.on_error, None | Some(OnError::ErrorPort)) {
            let description = "a node in a loop was neither retried nor replaced";
            findings.lose(&field, Some(&node.id), description);
        }
        let plain = Node {
            retry: None,
            ..node.clone()
        };
        let scope = Scope {
            before,
            is_in_loop: true,
            ..scope
        };
        subs.push(Value::Object(nodes::one(&plain, &field, scope, findings)));
        before = nodes::kind(node);
    }
    Value::Array(subs)
}
