//! A revision made ready to run: its graph, its applets with their configs, the check of its input.

use std::sync::Arc;
use std::time::Duration;

use jsonschema::paths::LocationSegment;
use quick_cache::sync::Cache;
use serde_json::Value;

use crate::applet::registry::Registry;
use crate::applet::{self, Prepared};
use crate::expression::cost::SchemaWeight;
use crate::flow::graph::{Graph, NodeIndex, NodeShape};
use crate::flow::validate::compile_input_schema;
use crate::flow::{Effect, Policy, Revision, Violation};
use crate::ids::{FlowKey, Namespace};
use crate::store::{self, Store, revisions};

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
    nodes: Vec<PlanNode>,
    input_schema: Option<(jsonschema::Validator, SchemaWeight)>,
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
}

impl Plan {
    /// Makes a revision ready. A node that this binary cannot run fails when it is its turn, and not before: another
    /// binary may have saved it, and the rest of the run is none the worse.
    #[must_use]
    pub fn new(registry: &Registry, revision: Revision) -> Self {
        let mut shapes = Vec::with_capacity(revision.definition.nodes.len());
        let mut prepared = Vec::with_capacity(revision.definition.nodes.len());
        for node in &revision.definition.nodes {
            let ready = registry.prepare(node);
            let own = ready.as_ref().map_or(Effect::Pure, |ready| ready.effect());
            shapes.push(NodeShape {
                id: node.id.clone(),
                kind: node.kind.as_str().into(),
                effect: node.effect.unwrap_or(own),
            });
            let default = ready
                .as_ref()
                .map_or(Duration::from_mins(1), |ready| ready.default_timeout());
            prepared.push((ready, node.timeout.unwrap_or(default)));
        }
        let graph = Graph::new(shapes, &revision.definition.edges);
        let nodes = (0..)
            .map(NodeIndex)
            .zip(prepared)
            .map(|(index, (prepared, timeout))| PlanNode {
                prepared,
                timeout,
                sources: graph.sources(index).len(),
            })
            .collect();
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
            revision,
            graph: Arc::new(graph),
            nodes,
            input_schema,
        }
    }

    /// What is needed to run a node.
    #[must_use]
    pub fn node(&self, index: NodeIndex) -> &PlanNode {
        &self.nodes[index.at()]
    }

    /// What governs a run as a whole.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.revision.definition.policy
    }

    /// The most steps of one run that execute at once.
    #[must_use]
    pub fn parallel_steps(&self) -> usize {
        self.policy()
            .max_parallel_steps
            .unwrap_or(DEFAULT_PARALLEL_STEPS) as usize
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
