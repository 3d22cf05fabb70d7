//! A revision made ready to run: its graph, its applets with their configs, the check of its input.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use jsonschema::paths::LocationSegment;
use quick_cache::sync::Cache;
use serde_json::Value;

use crate::applet::registry::Registry;
use crate::applet::{self, Prepared};
use crate::expression::cost::SchemaWeight;
use crate::flow::graph::{Graph, NodeIndex, NodeShape};
use crate::flow::validate::compile_input_schema;
use crate::flow::{
    Definition, Edge, Effect, Node, OnConflict, OnError, Policy, Revision, Violation,
};
use crate::ids::{FlowKey, Namespace};
use crate::store::{self, Store, revisions};
use crate::template::{self, Template};

/// The most steps of one run that execute at once where the flow sets nothing.
pub const DEFAULT_PARALLEL_STEPS: u32 = 100;

/// How many revisions are kept ready.
const CACHED: usize = 1_000;

/// A revision made ready to run.
pub struct Plan {
    /// Which revision.
    pub revision: Revision,
    /// Its shape.
    pub graph: Arc<Graph>,
    /// All graphs, by their number: the outermost, and those inside loops.
    graphs: Vec<Arc<Graph>>,
    /// By the number of their graph, and in it by their index.
    nodes: Vec<Vec<PlanNode>>,
    secrets: BTreeSet<String>,
    input_schema: Option<(jsonschema::Validator, SchemaWeight)>,
    open_runs: Option<OpenRuns>,
}

/// How many runs of a flow may be open at once.
#[derive(Debug)]
pub struct OpenRuns {
    /// The most under one key; at least 1.
    pub limit: u32,
    /// What becomes of a run that is over it.
    pub on_conflict: OnConflict,
    /// Makes the key of the run's input, or why this binary cannot.
    pub key: Result<Template, template::Error>,
}

impl OpenRuns {
    fn of(policy: &Policy) -> Option<Self> {
        Some(Self {
            limit: policy.open_run_limit()?,
            on_conflict: policy.on_conflict.unwrap_or(OnConflict::Queue),
            key: Template::parse(&policy.concurrency_key),
        })
    }

    /// Whether making the key is work for the threads that do such work.
    #[must_use]
    pub fn needs_cpu(&self) -> bool {
        self.key.as_ref().is_ok_and(Template::has_expressions)
    }
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plan")
            .field("revision", &self.revision.number)
            .finish_non_exhaustive()
    }
}

/// What the driver needs of a node to run it.
pub struct PlanNode {
    /// The applet with its config, or why this binary cannot run it.
    pub prepared: Result<Arc<dyn Prepared>, applet::Error>,
    /// Bound of one attempt.
    pub timeout: Duration,
    /// Nodes that can deliver to it.
    pub sources: usize,
    /// The node as it was saved.
    pub node: Node,
}

impl Plan {
    /// Makes a revision ready. A node that this binary cannot run fails when it is its turn, and not before: another
    /// binary may have saved it, and the rest of the run is none the worse.
    #[must_use]
    pub fn new(registry: &Registry, revision: Revision) -> Self {
        let mut nodes = Vec::new();
        let Definition {
            nodes: outer,
            edges,
            ..
        } = &revision.definition;
        let graph = layer(registry, outer, edges, &mut nodes);
        // A schema that does not compile was refused when the flow was saved.
        let input_schema = revision
            .definition
            .input_schema
            .as_ref()
            .and_then(|schema| {
                let validator = compile_input_schema(schema).ok()?;
                Some((validator, SchemaWeight::of(schema)))
            });
        Self {
            open_runs: OpenRuns::of(&revision.definition.policy),
            revision,
            graphs: numbered(&graph),
            graph,
            secrets: secrets_of(&nodes),
            nodes,
            input_schema,
        }
    }

    /// What is needed to run a node of the graph of this number.
    #[must_use]
    pub fn node(&self, graph: u32, index: NodeIndex) -> &PlanNode {
        &self.nodes[graph as usize][index.at()]
    }

    /// The graph of this number: 0 is the outermost.
    #[must_use]
    pub fn graph_numbered(&self, number: u32) -> &Graph {
        &self.graphs[number as usize]
    }

    /// Names of all secrets that its nodes read.
    #[must_use]
    pub fn secrets(&self) -> &BTreeSet<String> {
        &self.secrets
    }

    /// What governs a run as a whole.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.revision.definition.policy
    }

    /// How many runs of the flow may be open at once, if that is limited.
    #[must_use]
    pub fn open_runs(&self) -> Option<&OpenRuns> {
        self.open_runs.as_ref()
    }

    /// The most steps of one run that execute at once.
    #[must_use]
    pub fn parallel_steps(&self) -> usize {
        self.policy()
            .max_parallel_steps
            .unwrap_or(DEFAULT_PARALLEL_STEPS) as usize
    }

    /// How long a run may take from its start, where none may take longer than `longest`.
    #[must_use]
    pub fn time_to_run(&self, longest: Duration) -> TimeDelta {
        let bound = self.policy().run_timeout;
        let bound = bound.map_or(longest, |timeout| timeout.min(longest));
        TimeDelta::from_std(bound).unwrap_or(TimeDelta::days(30))
    }

    /// Whether the input has to be checked.
    #[must_use]
    pub fn has_input_schema(&self) -> bool {
        self.input_schema.is_some()
    }

    /// What of `input` does not fit the flow's schema.
    #[must_use]
    pub fn check_input(&self, input: &Value) -> Vec<Violation> {
        let Some((schema, weight)) = &self.input_schema else {
            return Vec::new();
        };
        if let Err(error) = weight.check(input) {
            let (field, reason) = ("input".to_owned(), error.reason());
            return vec![Violation {
                field,
                reason,
                description: error.to_string(),
            }];
        }
        let violation = |error: jsonschema::ValidationError<'_>| {
            let mut field = "input".to_owned();
            for segment in error.instance_path() {
                match segment {
                    LocationSegment::Property(name) => {
                        field.push('.');
                        field.push_str(&name);
                    }
                    LocationSegment::Index(index) => {
                        field.push('[');
                        field.push_str(&index.to_string());
                        field.push(']');
                    }
                }
            }
            Violation {
                field,
                reason: "INVALID_INPUT",
                description: error.masked().to_string(),
            }
        };
        schema
            .iter_errors(input)
            .map(violation)
            .take(1_000)
            .collect()
    }
}

fn secrets_of(nodes: &[Vec<PlanNode>]) -> BTreeSet<String> {
    let prepared = nodes
        .iter()
        .flatten()
        .filter_map(|node| node.prepared.as_ref().ok());
    prepared
        .flat_map(|prepared| prepared.reads().secrets.iter().cloned())
        .collect()
}

/// A graph and all inside it, by their numbers.
fn numbered(graph: &Arc<Graph>) -> Vec<Arc<Graph>> {
    let mut graphs = vec![Arc::clone(graph)];
    let mut at = 0;
    while at < graphs.len() {
        let inside: Vec<_> = graphs[at]
            .nodes()
            .filter_map(|(_, node)| node.body.clone())
            .collect();
        graphs.extend(inside);
        at += 1;
    }
    graphs.sort_by_key(|graph| graph.number());
    graphs
}

/// Makes a graph ready, and those inside its nodes; what is needed of their nodes is added by their graphs' numbers.
fn layer(
    registry: &Registry,
    nodes: &[Node],
    edges: &[Edge],
    layers: &mut Vec<Vec<PlanNode>>,
) -> Arc<Graph> {
    let number = layers.len();
    layers.push(Vec::new());
    let mut shapes = Vec::with_capacity(nodes.len());
    let mut prepared = Vec::with_capacity(nodes.len());
    for node in nodes {
        let ready = registry.prepare(node);
        let own = ready.as_ref().map_or(Effect::Pure, |ready| ready.effect());
        let body = ready.as_ref().ok().and_then(|ready| ready.body());
        let body = body.map(|body| layer(registry, &body.nodes, &body.edges, layers));
        let fallback = match &node.on_error {
            Some(OnError::Fallback(fallback)) => Some(fallback.clone()),
            _ => None,
        };
        shapes.push(NodeShape {
            id: node.id.clone(),
            kind: node.kind.as_str().into(),
            effect: node.effect.unwrap_or(own),
            body,
            fallback,
        });
        let default = ready
            .as_ref()
            .map_or(Duration::from_mins(1), |ready| ready.default_timeout());
        prepared.push((ready, node.timeout.unwrap_or(default)));
    }
    let graph = Graph::new(u32::try_from(number).unwrap_or(u32::MAX), shapes, edges);
    layers[number] = (0..)
        .map(NodeIndex)
        .zip(nodes.iter().zip(prepared))
        .map(|(index, (node, (prepared, timeout)))| PlanNode {
            prepared,
            timeout,
            sources: graph.sources(index).len(),
            node: node.clone(),
        })
        .collect();
    Arc::new(graph)
}

/// Revisions that are ready, the most recently used of them.
#[derive(Debug)]
pub struct Plans {
    registry: Registry,
    store: Store,
    ready: Cache<(Namespace, FlowKey, i32), Arc<Plan>>,
}

impl Plans {
    /// Nothing ready yet.
    #[must_use]
    pub fn new(registry: Registry, store: Store) -> Self {
        Self {
            registry,
            store,
            ready: Cache::new(CACHED),
        }
    }

    /// A revision, made ready if it is not.
    ///
    /// # Errors
    ///
    /// As every query; [`store::Error::Corrupt`] if there is no such revision.
    pub async fn get(
        &self,
        namespace: &Namespace,
        flow_key: FlowKey,
        revision: i32,
    ) -> store::Result<Arc<Plan>> {
        let load = async {
            let mut conn = self.store.conn().await?;
            let found = revisions::find_revision(&mut conn, namespace, flow_key, revision).await?;
            let found = found.ok_or_else(|| {
                store::Error::Corrupt(format!("no revision {revision} of flow {}", flow_key.0))
            })?;
            Ok(Arc::new(Plan::new(&self.registry, found)))
        };
        self.ready
            .get_or_insert_async(&(namespace.clone(), flow_key, revision), load)
            .await
    }
}
