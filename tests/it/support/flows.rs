//! Flows in few words.
//!
//! ```ignore
//! let flow = flow("shop")
//!     .node("start", "start", json!({}))
//!     .node("check", "if_else", json!({ … }))
//!     .edge("start", "check")
//!     .edge_from("check", "true", "end")
//!     .build();
//! ```

use serde_json::{Value, json};
use synapps::proto::on_error::Action;
use synapps::proto::{Edge, Effect, Flow, FlowPolicy, Node, OnError, RetryPolicy};

use super::wire;

/// A flow in the making.
#[derive(Clone, Debug)]
pub struct FlowBuilder {
    flow: Flow,
}

/// Begins a flow with this id, without nodes.
pub fn flow(id: &str) -> FlowBuilder {
    FlowBuilder {
        flow: Flow {
            id: id.to_owned(),
            name: id.to_owned(),
            ..Flow::default()
        },
    }
}

/// Begins a flow with the nodes `start` and `end`, not yet connected.
pub fn flow_with_ends(id: &str) -> FlowBuilder {
    flow(id)
        .node("start", "start", json!({}))
        .node("end", "end", json!({}))
}

/// A flow of these nodes between `start` and `end`, one after the other.
pub fn chain(id: &str, nodes: &[(&str, &str, Value)]) -> Flow {
    let mut flow = flow_with_ends(id);
    let mut before = "start";
    for (node, kind, config) in nodes {
        flow = flow.node(node, kind, config.clone()).edge(before, node);
        before = node;
    }
    flow.edge(before, "end").build()
}

impl FlowBuilder {
    /// Adds a node with the applet's config.
    #[expect(clippy::needless_pass_by_value, reason = "reads better with `json!`")]
    pub fn node(self, id: &str, kind: &str, config: Value) -> Self {
        let data = Some(wire::fields(&config));
        self.add(Node {
            id: id.to_owned(),
            r#type: kind.to_owned(),
            data,
            ..Node::default()
        })
    }

    /// Adds a node as it is.
    pub fn add(mut self, node: Node) -> Self {
        self.flow.nodes.push(node);
        self
    }

    /// Changes the node that was added last: timeout, retry, effect and so on.
    pub fn with(mut self, change: impl FnOnce(&mut Node)) -> Self {
        change(self.flow.nodes.last_mut().expect("a node was added"));
        self
    }

    /// Declares what a crash allows for the node that was added last.
    pub fn effect(self, effect: Effect) -> Self {
        self.with(|node| node.effect = effect.into())
    }

    /// Sets the retry policy of the node that was added last.
    pub fn retry(self, policy: RetryPolicy) -> Self {
        self.with(|node| node.retry = Some(policy))
    }

    /// Says what follows when the node that was added last has failed for good.
    pub fn on_error(self, action: Action) -> Self {
        let on_error = OnError {
            action: Some(action),
        };
        self.with(|node| node.on_error = Some(on_error))
    }

    /// Connects the only port of `source` with `target`.
    pub fn edge(self, source: &str, target: &str) -> Self {
        self.edge_from(source, "", target)
    }

    /// Connects a port of `source` with `target`.
    pub fn edge_from(mut self, source: &str, port: &str, target: &str) -> Self {
        self.flow.edges.push(Edge {
            source: source.to_owned(),
            source_handle: port.to_owned(),
            target: target.to_owned(),
            ..Edge::default()
        });
        self
    }

    /// Sets the JSON schema that inputs have to fit.
    pub fn input_schema(mut self, schema: &Value) -> Self {
        self.flow.input_schema = Some(wire::fields(schema));
        self
    }

    /// Sets the policy.
    pub fn policy(mut self, policy: FlowPolicy) -> Self {
        self.flow.policy = Some(policy);
        self
    }

    /// The flow as it is now.
    pub fn build(self) -> Flow {
        self.flow
    }
}
