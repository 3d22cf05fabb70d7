//! The flows of the workloads, and the input of their runs.

use prost_types::value::Kind;
use prost_types::{Struct, Value};
use serde_json::json;

use crate::demo::document::value;
use crate::proto::{Edge, Effect, Flow, Node};

/// Each step is durable before the next one begins.
pub(super) const DURABLE: Effect = Effect::Idempotent;

/// What the applet says of itself: transforms are pure.
pub(super) const AS_DECLARED: Effect = Effect::Unspecified;

/// What the runs are about: about 300 bytes as JSON text, which the baselines write too.
const ORDER: [(&str, &str); 7] = [
    ("order", "A-1000247"),
    ("customer", "Ada Lovelace"),
    ("email", "ada.lovelace@example.org"),
    ("street", "12 St James Square, first floor"),
    ("city", "London SW1Y 4JH, United Kingdom"),
    ("delivery", "express"),
    (
        "remark",
        "Please ring twice, and leave it with the neighbours on the left if nobody answers within a minute.",
    ),
];

/// The input of the runs as JSON text: about 300 bytes, without a quote of SQL in it.
pub fn order_text() -> String {
    let order: serde_json::Map<_, _> = ORDER
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).into()))
        .collect();
    serde_json::Value::Object(order).to_string()
}

/// What each transform makes: a short text, however many there are.
const MADE: &str = "{{ input.order }} is past {{ node.id }}";

/// Start, so many transforms one after the other, end.
pub(super) fn chain(name: &str, transforms: usize, effect: Effect) -> Flow {
    let steps = (1..=transforms).map(|number| transform(&format!("t{number}"), effect));
    let nodes: Vec<Node> = [node("start", "start")]
        .into_iter()
        .chain(steps)
        .chain([node("end", "end")])
        .collect();
    let edges = nodes.windows(2).map(|two| edge(&two[0].id, &two[1].id));
    let edges = edges.collect();
    flow(name, nodes, edges)
}

/// Start, so many transforms side by side, merge, end.
pub(super) fn fan(name: &str, transforms: usize) -> Flow {
    let names: Vec<String> = (1..=transforms)
        .map(|number| format!("t{number}"))
        .collect();
    let steps = names.iter().map(|id| transform(id, DURABLE));
    let merge = Node {
        data: Some(fields([("strategy", text("array"))])),
        ..node("merge", "merge")
    };
    let nodes = [node("start", "start")]
        .into_iter()
        .chain(steps)
        .chain([merge, node("end", "end")])
        .collect();
    let edges = names
        .iter()
        .flat_map(|id| [edge("start", id), edge(id, "merge")])
        .chain([edge("merge", "end")])
        .collect();
    flow(name, nodes, edges)
}

/// A loop over so many numbers, a hundred of them at once, each through one transform that is durable before it begins.
pub(super) fn each(name: &str, items: u32) -> Flow {
    let config = json!({
        "array_source": format!("{{{{ range({items}) }}}}"),
        "max_items": items,
        "concurrency": 100,
        "body": {
            "nodes": [{
                "id": "t",
                "type": "transform",
                "effect": "EFFECT_IDEMPOTENT",
                "data": {"operation": "template", "template": "{{ item }} is past {{ node.id }}"},
            }],
        },
    });
    let nodes = vec![
        node("start", "start"),
        configured("each", "for_each", &config),
        node("end", "end"),
    ];
    flow(
        name,
        nodes,
        vec![edge("start", "each"), edge("each", "end")],
    )
}

/// A single node.
pub(super) fn smallest(name: &str) -> Flow {
    flow(name, vec![node("start", "start")], Vec::new())
}

/// [`ORDER`] as the input of a run.
pub(super) fn input() -> Value {
    let order = fields(ORDER.map(|(key, value)| (key, text(value))));
    Value {
        kind: Some(Kind::StructValue(order)),
    }
}

/// A flow with these nodes and edges, under an id that nobody else has.
#[must_use]
pub fn flow(name: &str, nodes: Vec<Node>, edges: Vec<Edge>) -> Flow {
    // So that neither another benchmark nor a flow of the user's is ever touched.
    let unique = uuid::Uuid::new_v4().simple().to_string();
    Flow {
        id: format!("bench-{}-{}", name.to_lowercase(), &unique[..8]),
        name: format!("Benchmark {name}"),
        description: "Made by `synapps bench`, which deletes it at its end.".to_owned(),
        nodes,
        edges,
        ..Flow::default()
    }
}

fn transform(id: &str, effect: Effect) -> Node {
    let template = fields([("operation", text("template")), ("template", text(MADE))]);
    Node {
        data: Some(template),
        effect: effect.into(),
        ..node(id, "transform")
    }
}

/// A node that needs no config.
#[must_use]
pub fn node(id: &str, kind: &str) -> Node {
    Node {
        id: id.to_owned(),
        r#type: kind.to_owned(),
        ..Node::default()
    }
}

/// A node with this config, an object.
#[must_use]
pub fn configured(id: &str, kind: &str, config: &serde_json::Value) -> Node {
    let data = match value(config).kind {
        Some(Kind::StructValue(data)) => Some(data),
        _ => None,
    };
    Node {
        data,
        ..node(id, kind)
    }
}

/// An edge from a node's only port.
#[must_use]
pub fn edge(source: &str, target: &str) -> Edge {
    Edge {
        source: source.to_owned(),
        target: target.to_owned(),
        ..Edge::default()
    }
}

fn fields<const N: usize>(fields: [(&str, Value); N]) -> Struct {
    let fields = fields.map(|(key, value)| (key.to_owned(), value));
    Struct {
        fields: fields.into_iter().collect(),
    }
}

fn text(text: &str) -> Value {
    Value {
        kind: Some(Kind::StringValue(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_has_about_300_bytes() {
        let size = order_text().len();

        assert!((290..=310).contains(&size), "{size}");
    }

    #[test]
    fn chains_and_fans_have_an_edge_for_each_step() {
        let chain = chain("W5", 3, DURABLE);
        let fan = fan("FAN50", 50);

        assert_eq!((chain.nodes.len(), chain.edges.len()), (5, 4));
        assert_eq!((fan.nodes.len(), fan.edges.len()), (53, 101));
        assert!(chain.id.starts_with("bench-w5-"), "{}", chain.id);
    }
}
