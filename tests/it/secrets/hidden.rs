//! No value of a secret is ever seen again: not in a table, an event, a watch, an answer or a line of the log, whatever
//! applets do with what a server sends back.

use serde_json::{Value, json};
use synapps::proto::on_error::Action;
use synapps::proto::{
    CreateFlowRequest, ErrorPort, FallbackNode, Flow, RetryPolicy, ValidateFlowRequest,
};

use super::echo::Echo;
use super::store;
use super::traces::{Hidden, assert_kept_nowhere, look, values};
use crate::support::binary::Binary;
use crate::support::flows::{flow, flow_with_ends};

/// A config that sends a secret in every field that takes one.
fn everywhere(url: &str, name: &str) -> Value {
    let secret = format!("{{{{ secrets.{name} }}}}");
    // Where it may stand as it is, and not only where it is encoded.
    let in_text = matches!(
        name,
        "plain" | "number" | "basic" | "short" | "padded" | "long"
    );
    let mut data = json!({
        "url": url, "method": "PUT",
        "query_params": {"q": secret, "list": [secret, "x"]},
        "body_template": {"whole": secret, "part": format!("<{secret}>"), "deep": [{"er": secret}]},
    });
    if in_text {
        data["headers"] = json!({"X-Secret": secret, "X-Part": format!("Key {secret}")});
        data["auth_type"] = "basic".into();
        data["auth_value"] = format!("user:{secret}").into();
        if name == "basic" {
            data["auth_value"] = secret.into();
        }
    }
    data
}

/// Flows in which every applet gets to see what a server has sent back.
fn flows(echo: &Echo, name: &str) -> Vec<Flow> {
    let ask = |path: &str| everywhere(&echo.url(path), name);
    let retry = RetryPolicy {
        max_attempts: 2,
        initial_interval: Some(prost_types::Duration {
            seconds: 0,
            nanos: 1_000_000,
        }),
        ..RetryPolicy::default()
    };
    let all = "{{ results.ask.output }}";
    vec![
        flow_with_ends(&format!("all-{name}"))
            .node("ask", "http_request", ask("/json"))
            .node("text", "http_request", ask("/text"))
            .node("encoded", "http_request", ask("/base64"))
            .node("see", "transform", json!({"operation": "template", "template": format!("{all} and {{{{ content }}}}")}))
            .node("cel", "transform", json!({"operation": "cel", "expression": "string(size(content.data.uri)) + content.data.uri"}))
            .node("choose", "if_else", json!({"operation": "contains", "source": all, "value": "secret"}))
            .node("switch", "switch", json!({"source": "{{ content.status_code }}", "cases": ["200"]}))
            .node("merge", "merge", json!({"strategy": "array"}))
            .node("delay", "delay", json!({"seconds": 0}))
            .edge("start", "ask")
            .edge("ask", "text")
            .edge("ask", "encoded")
            .edge("ask", "see")
            .edge("ask", "cel")
            .edge("ask", "choose")
            .edge("ask", "switch")
            .edge("ask", "delay")
            .edge("text", "merge")
            .edge("encoded", "merge")
            .edge("see", "merge")
            .edge("cel", "merge")
            .edge_from("choose", "true", "merge")
            .edge_from("choose", "false", "merge")
            .edge_from("switch", "case:200", "merge")
            .edge_from("switch", "default", "merge")
            .edge("delay", "merge")
            .edge("merge", "end")
            .build(),
        flow_with_ends(&format!("port-{name}"))
            .node("ask", "http_request", ask("/status/404"))
            .on_error(Action::Port(ErrorPort {}))
            .edge("start", "ask")
            .edge("ask", "end")
            .edge_from("ask", "error", "end")
            .build(),
        flow_with_ends(&format!("retry-{name}"))
            .node("ask", "http_request", ask("/status/503"))
            .retry(retry)
            .on_error(Action::Fallback(FallbackNode {
                node_id: "spare".to_owned(),
            }))
            .node("spare", "http_request", ask("/json"))
            .edge("start", "ask")
            .edge("ask", "end")
            .edge("spare", "end")
            .build(),
        flow_with_ends(&format!("fails-{name}"))
            .node("ask", "http_request", ask("/status/400"))
            .edge("start", "ask")
            .edge("ask", "end")
            .build(),
        flow_with_ends(&format!("number-{name}"))
            .node("ask", "http_request", ask("/number"))
            .edge("start", "ask")
            .edge("ask", "end")
            .build(),
        flow_with_ends(&format!("loop-{name}"))
            .node("ask", "http_request", ask("/json"))
            .node("each", "for_each", json!({
                "array_source": "{{ content.data.query }}", "on_item_error": "collect",
                "body": {"nodes": [{"id": "in", "type": "http_request", "data": ask("/status/418")}], "edges": []},
            }))
            .edge("start", "ask")
            .edge("ask", "each")
            .edge("each", "end")
            .build(),
        flow_with_ends(&format!("call-{name}"))
            .node("ask", "http_request", ask("/json"))
            .node("call", "subflow", json!({"flow_id": format!("fails-{name}"), "input": "{{ content }}"}))
            .edge("start", "ask")
            .edge("ask", "call")
            .edge("call", "end")
            .build(),
        flow_with_ends(&format!("broken-{name}"))
            .node("ask", "http_request", json!({
                "url": format!("{}?k={{{{ secrets.{name} }}}}", echo.url("/json")),
                "method": "PUT", "body_template": format!("{{{{ input.missing }}}}{{{{ secrets.{name} }}}}"),
                "headers": {"X-Bad": format!("a\nb {{{{ secrets.{name} }}}}")},
            }))
            .edge("start", "ask")
            .edge("ask", "end")
            .build(),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn no_value_is_in_a_table_an_event_a_watch_an_answer_or_the_log() {
    let hidden = Hidden::new();
    let echo = Echo::start().await;
    let server = Binary::start(&["--log=debug,synapps=trace,hyper=trace,h2=debug"]).await;
    let mut redacted = 0;
    for (name, value) in values() {
        store(&server, name, &value).await;
        let mut runs = Vec::new();
        for flow in flows(&echo, name) {
            let saved = server.save(flow).await;
            runs.push((saved.id.clone(), server.start(&saved.id, &json!({})).await));
        }
        for (flow_id, run_id) in runs {
            let seen = look(&server, &run_id).await;
            hidden.assert_not_in(&format!("what is seen of {flow_id}"), &seen);
            redacted += usize::from(seen.contains("[redacted]"));
        }
    }
    // Flows that are refused because of a secret, and say so.
    for data in [
        json!({"source": "{{ secrets.plain }}"}),
        json!({"template": "{{ secrets.odd }}"}),
    ] {
        let refused = flow("refused").node("n", "transform", data).build();
        let report = ValidateFlowRequest {
            flow: Some(refused.clone()),
        };
        let report = server.flows().validate_flow(report).await;
        let create = CreateFlowRequest {
            flow: Some(refused),
            ..CreateFlowRequest::default()
        };
        let error = server.flows().create_flow(create).await.unwrap_err();
        hidden.assert_not_in("a refusal", &format!("{report:?} {error:?}"));
    }

    assert_kept_nowhere(&server, &hidden).await;
    // The values were sent, and came back.
    assert!(redacted >= 6 * values().len(), "{redacted}");
    let seen = echo.seen().join("\n");
    for (name, value) in values() {
        let quoted = serde_json::to_string(&value).unwrap();
        assert!(
            seen.contains(quoted.trim_matches('"')),
            "{name} was not sent"
        );
    }
}
