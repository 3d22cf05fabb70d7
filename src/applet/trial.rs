//! For tests: one node run alone, through the registry, as the engine would run it.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::registry::{Registry, Services};
use super::{Completion, Context, Delivered, Effect, Error, Outcome};
use crate::cpu::Cpu;
use crate::egress::Egress;
use crate::files::Files;
use crate::flow::{Inspection, Node, Position, Violation};
use crate::hub::Hub;
use crate::hub::drafts::{Author, Pen};
use crate::ids::{Namespace, NodeId, RunId, RunKey, StepPath};
use crate::memory::{Limits, Memory};
use crate::provider::Providers;
use crate::redact::Redactor;
use crate::sandbox::{self, Sandbox};
use crate::secrets::Granted;
use crate::store::Store;
use crate::template::{Scope, Secrets};

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| Registry::standard(services()));

/// A node of a kind with a config.
pub fn node(kind: &str, data: Value) -> Node {
    Node {
        id: NodeId::from("here"),
        kind: kind.to_owned(),
        position: Position::default(),
        data,
        display_name: String::new(),
        timeout: None,
        effect: None,
        retry: None,
        on_error: None,
    }
}

/// What the registry says about such a node.
pub fn inspect(kind: &str, data: Value) -> Inspection {
    REGISTRY
        .inspect(&node(kind, data))
        .expect("the kind exists")
}

/// Places and reasons of what is wrong with a config.
pub fn wrong(kind: &str, data: Value) -> Vec<(String, &'static str)> {
    let found = |violation: Violation| (violation.field, violation.reason);
    inspect(kind, data)
        .violations
        .into_iter()
        .map(found)
        .collect()
}

/// An attempt with an input, which is also the run's.
pub fn context(input: Value) -> Context {
    static CPU: LazyLock<Cpu> = LazyLock::new(|| Cpu::start().expect("threads can be started"));
    let input = Arc::new(input);
    let (run_id, node_id) = (RunId::new(Uuid::now_v7()), NodeId::from("here"));
    Context {
        namespace: Namespace::default_namespace(),
        run_id,
        node_id: node_id.clone(),
        step_path: StepPath::from(&node_id),
        attempt: 1,
        idempotency_key: "key".to_owned(),
        effect: Effect::Pure,
        input: Arc::clone(&input),
        inputs: Vec::new(),
        scope: Scope {
            input: Arc::clone(&input),
            content: input,
            results: Arc::default(),
            run_id,
            node_id,
            item: None,
            secrets: Secrets::default(),
            extra: BTreeMap::new(),
        },
        deadline: Instant::now() + Duration::from_secs(30),
        cancelled: CancellationToken::new(),
        woken: None,
        cpu: CPU.clone(),
        egress: Egress::new("127.0.0.0/8".parse().expect("a rule"))
            .expect("the client can be built"),
        secrets: Granted::default(),
        redactor: Redactor::default(),
        pen: pen(),
        files: files(),
    }
}

/// A pen that nobody reads after.
pub fn pen() -> Pen {
    let node_id = NodeId::from("here");
    let author = Author {
        path: StepPath::from(&node_id),
        node_id,
        attempt: 1,
        epoch: 1,
    };
    Pen::new(Hub::default(), somewhere(), author)
}

/// Files of a run whose database is not there.
pub fn files() -> Files {
    Files::new(Store::nowhere(), somewhere(), 16 << 20)
}

fn somewhere() -> RunKey {
    RunKey {
        namespace: Namespace::default_namespace(),
        run_id: RunId::new(Uuid::now_v7()),
    }
}

/// What applets are built with, where no other process is needed.
pub fn services() -> Services {
    let providers = crate::config::Providers::default();
    let sandbox = sandbox::Settings {
        // The program of these tests is not the one that runs code.
        mode: sandbox::Mode::Off,
        python: "python3".into(),
        program: None,
        max_result_bytes: 1 << 20,
    };
    Services {
        memory: Memory::new(Store::nowhere(), Limits::default()),
        providers: Providers::new(&providers).expect("nothing is set"),
        sandbox: Sandbox::new(sandbox).expect("a thread can be started"),
    }
}

/// The same with several predecessors, `n0`, `n1` ….
pub fn context_of(inputs: &[Value]) -> Context {
    let delivered: Vec<_> = inputs
        .iter()
        .enumerate()
        .map(|(index, value)| Delivered {
            node_id: NodeId::new(format!("n{index}")),
            value: Arc::new(value.clone()),
        })
        .collect();
    let input: Map<_, _> = delivered
        .iter()
        .map(|one| (one.node_id.to_string(), (*one.value).clone()))
        .collect();
    Context {
        inputs: delivered,
        ..context(Value::Object(input))
    }
}

/// Runs a node in a context. What would be refused at save fails with the first violation.
pub async fn complete(kind: &str, data: Value, context: Context) -> Result<Completion, Error> {
    let node = node(kind, data);
    let inspection = REGISTRY.inspect(&node).expect("the kind exists");
    if let Some(violation) = inspection.violations.into_iter().next() {
        return Err(violation.into());
    }
    REGISTRY.prepare(&node)?.run(context).await
}

/// The same for a node that does not wait.
pub async fn run_in(kind: &str, data: Value, context: Context) -> Result<Outcome, Error> {
    match complete(kind, data, context).await? {
        Completion::Done(outcome) => Ok(outcome),
        other => Err(Error::permanent("NOT_DONE", format!("{other:?}"))),
    }
}

/// The same with an input.
pub async fn run(kind: &str, data: Value, input: Value) -> Result<Outcome, Error> {
    run_in(kind, data, context(input)).await
}

/// The output of a node with an input, or the reason of its failure.
pub async fn output(kind: &str, data: Value, input: Value) -> Result<Value, String> {
    match run(kind, data, input).await {
        Ok(outcome) => Ok((*outcome.output).clone()),
        Err(error) => Err(error.details.get("violation").map_or_else(
            || error.reason.to_owned(),
            |reason| reason.as_str().unwrap_or_default().to_owned(),
        )),
    }
}

/// The port that a node leaves by.
pub async fn port(kind: &str, data: Value, input: Value) -> Option<String> {
    let outcome = run(kind, data, input).await.expect("the node runs");
    outcome.port.map(|port| port.to_string())
}

/// Input of many tests.
pub fn sample() -> Value {
    json!({
        "text": "The quick brown fox", "n": 0, "flag": true, "nul": null, "half": 0.5,
        "user": {"name": "Ada", "tags": ["math", "Poetry"]},
        "items": [{"sku": "A1", "price": 9.5}, {"sku": "B2", "price": 100}],
    })
}
