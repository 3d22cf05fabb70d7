//! `transform`: makes a new value of its source.

mod config;
mod operate;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::compiled::Compiled;
use super::{Applet, Completion, Context, Description, Effect, Error, Outcome};
use crate::flow::Violation;
use crate::template::{self, MAX_RENDERED_BYTES, Reads, Template};

pub use config::{Config, Operation};

/// Up to here, in bytes, a template is rendered where it is.
const INLINE_BYTES: u64 = 64 * 1024;

/// Makes a new value of its source.
#[derive(Clone, Debug)]
pub struct Transform {
    compiled: Arc<Compiled>,
}

impl Transform {
    /// Keeps what it compiles in `compiled`.
    #[must_use]
    pub const fn new(compiled: Arc<Compiled>) -> Self {
        Self { compiled }
    }
}

impl Applet for Transform {
    const KIND: &'static str = "transform";

    type Config = Config;

    fn description() -> Description {
        Description {
            version: 1,
            title: "Transform",
            text: "Makes a new value of source and outputs it. Operations: template (text with {{ source }} and all \
                   other names), json_path, regex_replace, split_join, expression (minijinja), cel, json_schema (outputs \
                   the source if it fits the schema).",
            handles: &[],
            effect: Effect::Pure,
            reasons: config::REASONS,
            example: || json!({"operation": "json_path", "source": "{{ content }}", "json_path": "$.items[0].sku"}),
            raw: &[
                "json_path",
                "regex_pattern",
                "regex_replacement",
                "regex_flags",
                "expression",
                "schema",
            ],
            deferred: &["template"],
            default_timeout: Duration::from_mins(1),
            max_timeout: Duration::from_mins(10),
        }
    }

    fn effect(_config: &Config) -> Effect {
        Effect::Pure
    }

    fn check(config: &Config) -> Vec<Violation> {
        config.violations()
    }

    fn check_rendered(config: &Config) -> Vec<Violation> {
        config.bound_violations()
    }

    fn reads(config: &Config) -> Reads {
        config.reads()
    }

    async fn run(&self, context: Context, mut config: Config) -> Result<Completion, Error> {
        let source = match config.source.take() {
            Some(source) => Arc::new(source),
            None => Arc::clone(&context.input),
        };
        let mut details = Map::new();
        details.insert("operation".to_owned(), json!(config.operation));
        let output = self.output(context, config, source).await?;
        Ok(Completion::Done(Outcome {
            details,
            ..Outcome::of(output)
        }))
    }
}

impl Transform {
    async fn output(
        &self,
        context: Context,
        config: Config,
        source: Arc<Value>,
    ) -> Result<Arc<Value>, Error> {
        let mut scope = context.scope;
        scope.extra.insert("source", Arc::clone(&source));
        scope.extra.insert("value", Arc::clone(&source));

        if config.operation == Operation::Template {
            let Some(text) = config.template else {
                return Ok(source);
            };
            let template = Template::parse(&text)?;
            if !template.has_expressions() {
                let mut budget = INLINE_BYTES;
                match template.render(&scope, &mut budget) {
                    Err(template::Error::TooLarge { .. }) => {}
                    rendered => return Ok(Arc::new(rendered?)),
                }
            }
            let render = move || {
                let mut budget = MAX_RENDERED_BYTES;
                template.render(&scope, &mut budget)
            };
            return Ok(Arc::new(context.cpu.run(render).await??));
        }

        let compiled = Arc::clone(&self.compiled);
        let deadline = context.deadline;
        let work = move || operate::output(&config, source, &scope, &compiled, deadline);
        context.cpu.run(work).await?
    }
}
