//! An applet behind its type: inspecting a node, preparing it, rendering its config for each attempt.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::{Entry, fields};
use crate::applet::{
    Applet, BoxFuture, Completion, Context, Description, Effect, Error, Prepared, References,
};
use crate::flow::{Body, Inspection, Node, Violation};
use crate::template::tree::{Reading, Tree};
use crate::template::{self, EXTRA_NAMES, LOOP_NAMES, MAX_RENDERED_BYTES, Reads, Scope, Template};
use crate::value::{self, canonical};

/// Up to here, in bytes, a config without expressions is rendered where it is; what is larger is work for the threads
/// of [`crate::cpu::Cpu`].
const INLINE_BYTES: u64 = 64 * 1024;

/// The most violations of values (U+0000, depth, numbers) that are collected for one node.
const MAX_VIOLATIONS: usize = 32;

/// What the registry knows of an applet.
pub trait Erased: Send + Sync {
    /// What the applet says about a node.
    fn inspect(&self, node: &Node) -> Inspection;

    /// Makes a node ready to run.
    fn prepare(self: Arc<Self>, node: &Node) -> Result<Arc<dyn Prepared>, Error>;
}

/// An applet with what the registry needs of its entry.
pub struct Typed<A> {
    applet: A,
    description: Description,
    schema: Value,
    /// Keys that the registry does not render: raw and deferred.
    unrendered: Vec<&'static str>,
}

impl<A: Applet> Typed<A> {
    /// Takes an applet and its entry in the catalogue.
    pub fn new(applet: A, entry: &Entry) -> Self {
        let description = entry.description.clone();
        let unrendered = [description.raw, description.deferred].concat();
        Self {
            applet,
            description,
            schema: entry.config_schema.clone(),
            unrendered,
        }
    }

    fn compile(&self, data: &Value) -> (Tree, Vec<Violation>) {
        let reading = Reading {
            raw: &self.unrendered,
            schema: &self.schema,
        };
        let (tree, problems) = Tree::compile(data, reading);
        let violations = problems
            .iter()
            .map(|problem| Violation::of_template(&problem.path, &problem.error))
            .collect();
        (tree, violations)
    }

    /// What the templates read that the applet renders itself.
    fn deferred_reads(&self, data: &Value) -> (Reads, Vec<Violation>) {
        let mut reads = Reads::default();
        let mut violations = Vec::new();
        for key in self.description.deferred {
            let Some(text) = data[*key].as_str() else {
                continue;
            };
            let parsed = Template::parse(text).and_then(|template| {
                let reads = template.reads();
                reads.check_names(&EXTRA_NAMES)?;
                Ok(reads)
            });
            match parsed {
                Ok(read) => reads.extend(read),
                Err(error) => violations.push(Violation::of_template(key, &error)),
            }
        }
        (reads, violations)
    }
}

impl<A: Applet> Erased for Typed<A> {
    fn inspect(&self, node: &Node) -> Inspection {
        let mut violations: Vec<_> = value::check_all(&node.data, u64::MAX, MAX_VIOLATIONS)
            .iter()
            .map(Violation::of_value)
            .collect();
        let (tree, problems) = self.compile(&node.data);
        violations.extend(problems);
        let (deferred, problems) = self.deferred_reads(&node.data);
        violations.extend(problems);
        let mut reads = tree.reads().clone();
        reads.extend(deferred);

        let mut inspection = Inspection {
            max_timeout: Some(self.description.max_timeout),
            ..Inspection::default()
        };
        match fields::read::<A::Config>(&node.data, &self.schema) {
            Ok(config) => {
                violations.extend(A::check(&config));
                reads.extend(A::reads(&config));
                inspection.ports = A::ports(&config);
                inspection.effect = Some(A::effect(&config));
                inspection.hosts = A::hosts(&config);
                inspection.body = A::body(&config);
            }
            Err(problems) => violations.extend(problems),
        }
        if !reads.secrets.is_empty() {
            let names: Vec<_> = reads.secrets.iter().map(String::as_str).collect();
            let description = format!(
                "reads secrets ({}), which this version does not keep yet",
                names.join(", ")
            );
            violations.push(Violation::at("", "NOT_YET_SUPPORTED", description));
        }
        inspection.violations = violations;
        inspection.loop_names = LOOP_NAMES
            .into_iter()
            .filter(|name| reads.names.contains(*name))
            .collect();
        inspection.references = reads.nodes.into_iter().collect();
        inspection.secrets = reads.secrets.into_iter().collect();
        inspection
    }

    fn prepare(self: Arc<Self>, node: &Node) -> Result<Arc<dyn Prepared>, Error> {
        let data = match &node.data {
            Value::Null => Value::Object(Map::new()),
            data => data.clone(),
        };
        let config: A::Config = fields::read_rendered(&data)?;
        let (tree, violations) = self.compile(&data);
        if let Some(violation) = violations.into_iter().next() {
            return Err(violation.into());
        }
        let mut reads = tree.reads().clone();
        reads.extend(self.deferred_reads(&data).0);
        reads.extend(A::reads(&config));
        let references = if reads.all_nodes {
            References::All
        } else {
            References::Nodes(reads.nodes.iter().cloned().collect())
        };
        Ok(Arc::new(Ready {
            effect: A::effect(&config),
            default_timeout: self.description.default_timeout,
            body: A::body(&config),
            references,
            reads,
            tree: Arc::new(tree),
            typed: self,
        }))
    }
}

/// A node of an applet, ready to run.
struct Ready<A> {
    typed: Arc<Typed<A>>,
    tree: Arc<Tree>,
    references: References,
    reads: Reads,
    effect: Effect,
    default_timeout: Duration,
    body: Option<Body>,
}

impl<A: Applet> Ready<A> {
    async fn config(&self, context: &Context) -> Result<Rendered<A::Config>, Error> {
        let hashed = context.effect != Effect::Pure;
        if let Some(data) = self.tree.fixed() {
            let hash = hashed.then(|| canonical::hash(data));
            return Ok(Rendered {
                config: fields::read_rendered(data)?,
                hash,
            });
        }
        if !self.tree.has_expressions() {
            match rendered::<A>(&self.tree, &context.scope, INLINE_BYTES, hashed) {
                Err(Failure::TooLarge) => {}
                Err(Failure::Other(error)) => return Err(error),
                Ok(config) => return Ok(config),
            }
        }
        let (tree, scope) = (Arc::clone(&self.tree), context.scope.clone());
        let render = move || rendered::<A>(&tree, &scope, MAX_RENDERED_BYTES, hashed);
        match context.cpu.run(render).await? {
            Ok(config) => Ok(config),
            Err(Failure::Other(error)) => Err(error),
            Err(Failure::TooLarge) => {
                let bound = MAX_RENDERED_BYTES;
                Err(template::Error::TooLarge { bound }.into())
            }
        }
    }
}

enum Failure {
    TooLarge,
    Other(Error),
}

/// A config as one attempt gets it, and the hash of its canonical form if that is wanted.
struct Rendered<C> {
    config: C,
    hash: Option<String>,
}

fn rendered<A: Applet>(
    tree: &Tree,
    scope: &Scope,
    max_bytes: u64,
    hashed: bool,
) -> Result<Rendered<A::Config>, Failure> {
    let data = tree.render(scope, max_bytes).map_err(|problem| {
        if matches!(problem.error, template::Error::TooLarge { .. }) {
            Failure::TooLarge
        } else {
            Failure::Other(problem.into())
        }
    })?;
    let hash = hashed.then(|| canonical::hash(&data));
    let config = fields::read_owned(data).map_err(|violation| Failure::Other(violation.into()))?;
    match A::check_rendered(&config).into_iter().next() {
        Some(violation) => Err(Failure::Other(violation.into())),
        None => Ok(Rendered { config, hash }),
    }
}

impl<A: Applet> Prepared for Ready<A> {
    fn effect(&self) -> Effect {
        self.effect
    }

    fn references(&self) -> &References {
        &self.references
    }

    fn reads(&self) -> &Reads {
        &self.reads
    }

    fn default_timeout(&self) -> Duration {
        self.default_timeout
    }

    fn body(&self) -> Option<&Body> {
        self.body.as_ref()
    }

    fn version(&self) -> u32 {
        self.typed.description.version
    }

    fn run(&self, mut context: Context) -> BoxFuture<'_, Result<Completion, Error>> {
        Box::pin(async move {
            let Rendered { config, hash } = self.config(&context).await?;
            if let Some(hash) = hash {
                // The same step with another config is another request.
                context.idempotency_key = format!("{}/{}", context.idempotency_key, &hash[..16]);
            }
            self.typed.applet.run(context, config).await
        })
    }
}
