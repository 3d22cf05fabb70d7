//! The flows of the trials: what services have their trouble with, each short.

use prost_types::Duration;
use serde_json::json;
use synapps::proto::{Flow, RetryPolicy};

use crate::support::flows::{chain, flow_with_ends};
use crate::support::http_bin::HttpBin;

/// What a client is about, and what flow it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `PURE` steps, requests that may be repeated, one that may not (`pay`), a step that fails once, a loop, a child.
    Mixed,
    /// An output of some hundred KiB, which goes into chunks.
    Large,
    /// Waits for a signal and then for an approval, out of memory.
    Waits,
    /// Waits for a time, out of memory.
    Nap,
    /// Hangs in a request until the client cancels it.
    Cancelled,
    /// Fails, is mended and opened again.
    Retried,
    /// Hangs in a request until [`Traffic::release`](super::Traffic::release).
    Slow,
}

impl Kind {
    /// The flow that it runs.
    pub fn flow_id(self) -> &'static str {
        match self {
            Self::Mixed => "mixed",
            Self::Large => "large",
            Self::Waits => "waits",
            Self::Nap => "nap",
            Self::Cancelled | Self::Slow => "slow",
            Self::Retried => "retried",
        }
    }
}

/// The length of the large text: two chunks.
pub const LARGE_BYTES: usize = 300 * 1024;

/// All of them, and the one that is called by another.
pub fn all(bin: &HttpBin) -> Vec<Flow> {
    let own = |path: &str| bin.url(&format!("/{path}/{{{{ input.n }}}}"));
    let get = |path: &str| json!({ "url": own(path) });
    let put = |path: &str| json!({ "method": "PUT", "url": own(path) });
    let text = json!({ "operation": "template", "template": "run {{ input.n }}" });
    let child_url = bin.url("/child/{{ run.id }}");
    vec![
        chain(
            "child",
            &[("ask", "http_request", json!({ "url": child_url }))],
        ),
        mixed(bin),
        chain(
            "large",
            &[
                ("large", "http_request", get("large")),
                ("small", "transform", text),
                ("last", "http_request", put("last")),
            ],
        ),
        flow_with_ends("waits")
            .node("go", "wait_signal", json!({ "name": "go" }))
            .node("may", "approval", json!({ "title": "May it go on?" }))
            .node("last", "http_request", put("last"))
            .edge("start", "go")
            .edge_from("go", "received", "may")
            .edge_from("may", "approved", "last")
            .edge("last", "end")
            .build(),
        // Longer than a wait that is spent in memory.
        chain("nap", &[("nap", "delay", json!({ "seconds": 5.2 }))]),
        chain("slow", &[("slow", "http_request", get("slow"))]),
        chain("retried", &[("broken", "http_request", get("broken"))]),
    ]
}

fn mixed(bin: &HttpBin) -> Flow {
    let own = |path: &str| bin.url(&format!("/{path}/{{{{ input.n }}}}"));
    let text = json!({ "operation": "template", "template": "run {{ input.n }}" });
    let body = json!({ "nodes": [{
        "id": "each",
        "type": "http_request",
        "data": { "url": bin.url("/each/{{ input.n }}/{{ item }}") },
    }] });
    let retry = RetryPolicy {
        max_attempts: 5,
        initial_interval: Some(Duration {
            seconds: 0,
            nanos: 50_000_000,
        }),
        ..RetryPolicy::default()
    };
    flow_with_ends("mixed")
        .node("shape", "transform", text)
        .node("get", "http_request", json!({ "url": own("get") }))
        .node(
            "pay",
            "http_request",
            json!({ "method": "POST", "url": own("pay") }),
        )
        .node(
            "flaky",
            "http_request",
            json!({ "method": "PUT", "url": own("flaky") }),
        )
        .retry(retry)
        .node(
            "loop",
            "for_each",
            json!({ "array_source": "{{ input.items }}", "body": body }),
        )
        .node("call", "subflow", json!({ "flow_id": "child" }))
        .node(
            "last",
            "http_request",
            json!({ "method": "PUT", "url": own("last") }),
        )
        .edge("start", "get")
        .edge("get", "shape")
        .edge("shape", "pay")
        .edge("pay", "flaky")
        .edge("flaky", "loop")
        .edge("loop", "call")
        .edge("call", "last")
        .edge("last", "end")
        .build()
}
