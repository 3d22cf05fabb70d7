//! `memory`: keeps values beyond the run, and gives them back by key, by words and by tags.
//!
//! A repeated attempt at `store` writes once: an entry knows its last writes, and without a key of its own it gets one
//! that is the same for every attempt. A repeated `delete` or `clear` finds done what the first attempt did, and says
//! so in its output.

mod config;
mod failure;
mod output;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Applet, Completion, Context, Description, Effect, Error, Outcome};
use crate::flow::Violation;
use crate::memory::{Collection, Found, New, Patience, Query};
use crate::value::canonical;
use config::Request;

pub use config::{Config, Operation};

/// Keeps and finds values.
#[derive(Clone, Debug)]
pub struct Memory {
    memory: crate::memory::Memory,
}

impl Memory {
    /// On this memory.
    #[must_use]
    pub const fn new(memory: crate::memory::Memory) -> Self {
        Self { memory }
    }
}

impl Applet for Memory {
    const KIND: &'static str = "memory";

    type Config = Config;

    fn description() -> Description {
        Description {
            version: 1,
            title: "Memory",
            text: "Keeps values beyond the run, in a collection that `namespace` names inside the caller's namespace. \
                   `store` keeps `value`, the node's input unless set, under `key` and outputs {key, status: stored, \
                   namespace, backend}; without a key it makes one. `retrieve` outputs the value under `key`. Without \
                   a key, or where there is nothing under it, it looks for `query` and `tags` if they are set and \
                   outputs {memories: {key: value}, status: retrieved}; with no key, query or tags at all it outputs \
                   what was stored last. What finds nothing outputs {status: not_found}, which is no failure. `search` \
                   outputs {results: [{key, data, tags, score}], count, query, tags}, the best first. `delete` outputs \
                   {status: deleted or not_found, key}, and `clear`, which empties the collection, {status: cleared, \
                   count, namespace}. A query finds entries with any of its words, or with words that begin so if \
                   there are none; where the operator has set an embedder, also those that mean the same. Tags narrow \
                   that down to entries with any of them. A value has at most 1 MiB; files that it names stay \
                   with their run.",
            handles: &[],
            effect: Effect::Idempotent,
            reasons: failure::REASONS,
            example: || {
                json!({
                    "operation": "store",
                    "namespace": "customers",
                    "key": "{{ input.customer_id }}",
                    "tags": ["profile"],
                })
            },
            raw: &[],
            deferred: &[],
            default_timeout: Duration::from_secs(30),
            max_timeout: Duration::from_mins(5),
        }
    }

    fn effect(_config: &Config) -> Effect {
        Effect::Idempotent
    }

    fn check(config: &Config) -> Vec<Violation> {
        config.violations()
    }

    async fn run(&self, context: Context, config: Config) -> Result<Completion, Error> {
        let request = config.into_request()?.without_secrets(&context.redactor);
        let at = Collection {
            namespace: context.namespace.clone(),
            name: request.namespace.clone(),
        };
        let (output, details) = match request.operation {
            Operation::Store => self.store(&at, request, context).await?,
            Operation::Retrieve => self.retrieve(&at, &request, &context).await?,
            Operation::Search => {
                let found = self.search(&at, &request, &context).await?;
                let output = output::results(&found, &request);
                (Value::Object(output), ranking(&found))
            }
            Operation::Delete => {
                let key = request.key.unwrap_or_default();
                let deleted = self.memory.delete(&at, &key).await?;
                let status = if deleted { "deleted" } else { "not_found" };
                (json!({"status": status, "key": key}), Map::new())
            }
            Operation::Clear => {
                let count = self.memory.clear(&at).await?;
                let output = json!({"status": "cleared", "count": count, "namespace": at.name});
                (output, Map::new())
            }
        };
        Ok(Completion::Done(Outcome {
            details,
            ..Outcome::of(Arc::new(output))
        }))
    }
}

type Done = (Value, Map<String, Value>);

impl Memory {
    async fn store(
        &self,
        at: &Collection,
        request: Request,
        context: Context,
    ) -> Result<Done, Error> {
        let patience = patience(&context);
        let key = request
            .key
            .unwrap_or_else(|| made_up_key(&context.idempotency_key));
        let value = request.value.map_or(context.input, Arc::new);
        let new = New {
            key: key.clone(),
            value: context.redactor.shared(value),
            tags: request.tags,
            language: request.language,
            idempotency_key: context.idempotency_key,
            run_id: context.run_id.uuid(),
            node_id: context.node_id.to_string(),
        };
        let ready = context.cpu.run(move || new.ready()).await??;
        self.memory.store(at, &ready, &patience).await?;
        let output = json!({
            "key": key, "status": "stored", "namespace": at.name, "backend": "postgres",
        });
        Ok((output, Map::new()))
    }

    async fn retrieve(
        &self,
        at: &Collection,
        request: &Request,
        context: &Context,
    ) -> Result<Done, Error> {
        if let Some(key) = &request.key {
            if let Some(entry) = self.memory.find(at, key).await? {
                let output = if request.include_metadata {
                    output::whole(&entry, 1.0)
                } else {
                    entry.value
                };
                return Ok((output, Map::new()));
            }
            // Whoever asks for one entry is not given just any.
            if request.query.is_empty() && request.tags.is_empty() {
                return Ok((output::not_found(), Map::new()));
            }
        }
        let found = self.search(at, request, context).await?;
        let output = if found.hits.is_empty() {
            output::not_found()
        } else {
            output::memories(&found, request)
        };
        Ok((output, ranking(&found)))
    }

    async fn search(
        &self,
        at: &Collection,
        request: &Request,
        context: &Context,
    ) -> Result<Found, Error> {
        let query = Query {
            text: request.query.clone(),
            tags: request.tags.clone(),
            language: request.language.clone(),
            limit: request.top_k,
        };
        let found = self.memory.search(at, &query, &patience(context)).await?;
        Ok(found)
    }
}

fn patience(context: &Context) -> Patience {
    Patience {
        deadline: context.deadline,
        cancelled: context.cancelled.clone(),
    }
}

/// How the entries came into their order, for the step's details.
fn ranking(found: &Found) -> Map<String, Value> {
    let ranking = found.ranking.as_str().into();
    Map::from_iter([("ranking".to_owned(), ranking)])
}

/// The key of an entry whose author set none: the same for every attempt of its step.
fn made_up_key(idempotency_key: &str) -> String {
    let hash = canonical::hex(&canonical::digest(idempotency_key.as_bytes()));
    format!("memory-{}", &hash[..32])
}
