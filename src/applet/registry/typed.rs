//! An applet behind its type: inspecting a node, preparing it, rendering its config for each attempt.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::{Entry, fields};
use crate::applet::{
    Applet, BoxFuture, Completion, Context, Description, Effect, Error, Prepared, References,
};
use crate::flow::{Body, Inspection, Node, Violation};
use crate::redact::Redactor;
use crate::template::tree::{Reading, Tree, where_secrets_stand};
use crate::template::{self, EXTRA_NAMES, LOOP_NAMES, MAX_RENDERED_BYTES, Reads, Template};
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
                Ok(read) => {
                    violations.extend(self.misplaced(key, &read));
                    reads.extend(read);
                }
                Err(error) => violations.push(Violation::of_template(key, &error)),
            }
        }
        (reads, violations)
    }
}

impl<A: Applet> Typed<A> {
    /// Secrets are for templates of fields that are sent out; this is none.
    fn misplaced(&self, key: &str, reads: &Reads) -> Option<Violation> {
        let error = template::Error::SecretNotAllowed {
            name: reads.secrets.first()?.clone(),
            rule: where_secrets_stand(&self.schema),
        };
        Some(Violation::of_template(key, &error))
    }

    /// The field whose expression names secrets, if one can be told.
    fn expression_key(&self, data: &Value) -> &'static str {
        let names_secrets = |key: &&&str| {
            let text = data[**key].as_str();
            text.is_some_and(|text| text.contains("secrets"))
        };
        let keys = self.description.raw.iter();
        keys.clone()
            .find(names_secrets)
            .copied()
            .unwrap_or_default()
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
                let read = A::reads(&config);
                violations.extend(self.misplaced(self.expression_key(&node.data), &read));
                reads.extend(read);
                inspection.ports = A::ports(&config);
                inspection.effect = Some(A::effect(&config));
                inspection.hosts = A::hosts(&config);
                inspection.body = A::body(&config);
            }
            Err(problems) => violations.extend(problems),
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
            match rendered::<A>(&self.tree, context, INLINE_BYTES, hashed) {
                Err(Failure::TooLarge) => {}
                Err(Failure::Other(error)) => return Err(error),
                Ok(config) => return Ok(config),
            }
        }
        let (tree, own) = (Arc::clone(&self.tree), context.clone());
        let render = move || rendered::<A>(&tree, &own, MAX_RENDERED_BYTES, hashed);
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
    context: &Context,
    max_bytes: u64,
    hashed: bool,
) -> Result<Rendered<A::Config>, Failure> {
    let data = tree.render(&context.scope, max_bytes).map_err(|problem| {
        if matches!(problem.error, template::Error::TooLarge { .. }) {
            Failure::TooLarge
        } else {
            Failure::Other(problem.into())
        }
    })?;
    let redactor = &context.redactor;
    let hash = hashed.then(|| hash(&data, redactor));
    let config =
        fields::read_owned(data, redactor).map_err(|violation| Failure::Other(violation.into()))?;
    match A::check_rendered(&config).into_iter().next() {
        Some(violation) => Err(Failure::Other(violation.into())),
        None => Ok(Rendered { config, hash }),
    }
}

/// The hash of a rendered config: of what is known of it outside, so that it tells nothing of a secret, and stays the same
/// when a secret gets another value between two attempts.
fn hash(data: &Value, redactor: &Redactor) -> String {
    if redactor.is_empty() {
        return canonical::hash(data);
    }
    let mut data = data.clone();
    redactor.value(&mut data);
    canonical::hash(&data)
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
