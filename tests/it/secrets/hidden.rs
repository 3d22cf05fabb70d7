//! No value of a secret is ever seen again: not in a table, an event, a watch, an answer or a line of the log, whatever
//! applets do with what a server sends back.

use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use synapps::proto::on_error::Action;
use synapps::proto::{
    CreateFlowRequest, ErrorPort, FallbackNode, Flow, RetryPolicy, ValidateFlowRequest,
    WatchRunRequest,
};
use tokio_postgres::Client;

use super::echo::Echo;
use super::store;
use crate::support::binary::Binary;
use crate::support::calls::collected;
use crate::support::flows::{flow, flow_with_ends};
use crate::support::within;

/// Values of many shapes, by name.
fn values() -> Vec<(&'static str, String)> {
    vec![
        ("plain", "tok_9f8e7d6c5b4a3210".to_owned()),
        ("odd", "p@ss w/\"quotes\" \\ + %41 & é€😀 <b>'=".to_owned()),
        ("number", "734512908834".to_owned()),
        ("basic", "someone:their-own-pass".to_owned()),
        ("padded", "  padded-secret-77\t".to_owned()),
        (
            "lines",
            "-----BEGIN KEY-----\nMIIEvQIBADAN\nBgkqhkiG9w0B\n-----END KEY-----\n".to_owned(),
        ),
        ("long", "0123456789abcdef-LongSecret_".repeat(150)),
        ("short", "q7#Z".to_owned()),
        ("json", r#"{"client_secret":"zx81-spectrum"}"#.to_owned()),
    ]
}

/// The writings of the values in which nothing may hold them.
struct Hidden(Vec<(&'static str, String)>);

impl Hidden {
    fn new() -> Self {
        let mut all = Vec::new();
        for (name, value) in values() {
            let trimmed = value.trim();
            let quoted = serde_json::to_string(trimmed).unwrap();
            let mut forms = vec![
                trimmed.to_owned(),
                quoted[1..quoted.len() - 1].to_owned(),
                format!("{trimmed:?}").trim_matches('"').to_owned(),
                url::form_urlencoded::byte_serialize(trimmed.as_bytes()).collect(),
                url::form_urlencoded::byte_serialize(trimmed.as_bytes())
                    .collect::<String>()
                    .replace('+', "%20"),
                hex(trimmed.as_bytes()),
            ];
            for engine in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD] {
                forms.push(engine.encode(trimmed));
                forms.push(engine.encode(&value));
            }
            if name == "basic" {
                forms.push("their-own-pass".to_owned());
            }
            all.extend(forms.into_iter().map(|form| (name, form)));
        }
        Self(all)
    }

    fn assert_not_in(&self, what: &str, text: &str) {
        for (name, form) in &self.0 {
            if let Some(at) = text.find(form.as_str()) {
                let from = text.floor_char_boundary(at.saturating_sub(200));
                let to = text.ceil_char_boundary((at + form.len() + 100).min(text.len()));
                panic!("{what} holds {name} as {form:?}: {}", &text[from..to]);
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

/// All rows of all tables, with what is binary in hexadecimal digits.
async fn dump(sql: &Client) -> Vec<(String, String)> {
    let tables =
        "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public' ORDER BY 1";
    let mut dumped = Vec::new();
    for row in sql.query(tables, &[]).await.unwrap() {
        let table: String = row.get(0);
        let rows = format!("SELECT row_to_json(t)::text FROM {table} t");
        let rows = sql.query(&rows, &[]).await.unwrap();
        let text: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        dumped.push((table, text.join("\n")));
    }
    dumped
}

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

/// All that clients can see of a run.
async fn look(server: &Binary, run_id: &str) -> String {
    let watch = WatchRunRequest {
        run_id: run_id.to_owned(),
        include_snapshot: true,
        include_deltas: true,
        include_payloads: true,
        ..WatchRunRequest::default()
    };
    let watch = server.runs().watch_run(watch).await.unwrap().into_inner();
    let messages = within("the end of a run", collected(watch)).await;
    let run = server.get(run_id).await;
    let steps = server.steps(run_id, "").await;
    let events = server.events_after(run_id, 0).await;
    format!("{messages:?}\n{run:?}\n{steps:?}\n{events:?}")
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

    let sql = server.database().sql().await;
    for (table, text) in dump(&sql).await {
        hidden.assert_not_in(&format!("the table {table}"), &text);
    }
    hidden.assert_not_in("the log", &server.log().text());
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
