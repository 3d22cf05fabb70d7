//! Configs of applets that do not fit, and what this version cannot do yet.

use prost_types::Duration;
use serde_json::{Value, json};
use synapps::proto::{Effect, FlowPolicy, Node};

use super::{assert_refused, assert_unharmed};
use crate::support::flows::{chain, flow_with_ends};
use crate::support::server::TestServer;

#[tokio::test(flavor = "multi_thread")]
async fn unknown_applets_keys_and_wrong_types_are_refused_all_at_once() {
    let server = TestServer::start().await;
    let call =
        json!({"method": "FETCH", "url": 7, "headers": [], "colour": "red", "colours": "red"});
    let split = json!({"operation": "split_join", "split_index": "x", "return_list": "yes"});
    let graph = chain(
        "f",
        &[
            ("robot", "frobnicate", json!({"any": "thing"})),
            ("call", "http_request", call),
            ("split", "transform", split),
            ("wait", "delay", json!({"seconds": -1})),
            ("case", "switch", json!({"cases": []})),
        ],
    );

    let status = super::refusal(&server, graph).await;

    let mut found = super::told(&status);
    found.sort();
    let expected = [
        ("flow.nodes[2].type", "UNKNOWN_APPLET"),
        ("flow.nodes[3].data.colour", "UNKNOWN_FIELD"),
        ("flow.nodes[3].data.colours", "UNKNOWN_FIELD"),
        ("flow.nodes[3].data.headers", "WRONG_TYPE"),
        ("flow.nodes[3].data.method", "UNKNOWN_VALUE"),
        ("flow.nodes[3].data.url", "WRONG_TYPE"),
        ("flow.nodes[4].data.return_list", "WRONG_TYPE"),
        ("flow.nodes[4].data.split_index", "WRONG_TYPE"),
        ("flow.nodes[5].data.seconds", "OUT_OF_BOUNDS"),
        ("flow.nodes[6].data.cases", "OUT_OF_BOUNDS"),
    ];
    let found: Vec<(&str, &str)> = found.iter().map(|one| (&*one.0, &*one.1)).collect();
    assert_eq!(found, expected);
    assert_unharmed(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_overlong_or_overdeep_never_reaches_a_parser() {
    let server = TestServer::start().await;
    let brackets =
        |count: usize, inner: &str| format!("{}{inner}{}", "(".repeat(count), ")".repeat(count));
    let cases: [(Value, &str, &str); 13] = [
        (
            json!({"operation": "expression", "expression": "1+".repeat(50_000) + "1"}),
            "expression",
            "EXPRESSION_TOO_LONG",
        ),
        (
            json!({"operation": "expression", "expression": brackets(900, "1")}),
            "expression",
            "EXPRESSION_TOO_DEEP",
        ),
        (
            json!({"operation": "expression", "expression": "not ".repeat(400) + "1"}),
            "expression",
            "EXPRESSION_TOO_DEEP",
        ),
        (
            json!({"operation": "cel", "expression": "[".repeat(1_999)}),
            "expression",
            "EXPRESSION_TOO_DEEP",
        ),
        (
            json!({"operation": "cel", "expression": "!".repeat(1_000) + "true"}),
            "expression",
            "EXPRESSION_TOO_DEEP",
        ),
        (
            json!({"operation": "cel", "expression": "x".repeat(1 << 20)}),
            "expression",
            "EXPRESSION_TOO_LONG",
        ),
        (
            json!({"operation": "json_path", "json_path": "$".to_owned() + &".a".repeat(5_000)}),
            "json_path",
            "EXPRESSION_TOO_LONG",
        ),
        (
            json!({"operation": "json_path", "json_path": "$[?".to_owned() + &brackets(900, "@.a") + "]"}),
            "json_path",
            "EXPRESSION_TOO_DEEP",
        ),
        (
            json!({"operation": "regex_replace", "regex_pattern": "a".repeat(2_001)}),
            "regex_pattern",
            "EXPRESSION_TOO_LONG",
        ),
        (
            json!({"operation": "regex_replace", "regex_pattern": brackets(900, "a")}),
            "regex_pattern",
            "EXPRESSION_TOO_DEEP",
        ),
        (
            json!({"template": "{{ ".to_owned() + &"input.".repeat(20_000) + "b }}"}),
            "template",
            "EXPRESSION_TOO_LONG",
        ),
        (
            json!({"template": "{{ ".to_owned() + &brackets(900, "a") + " }}"}),
            "template",
            "EXPRESSION_TOO_DEEP",
        ),
        (
            json!({"operation": "cel", "expression": "1 +"}),
            "expression",
            "INVALID_EXPRESSION",
        ),
    ];

    for (config, field, reason) in cases {
        let shown: String = config.to_string().chars().take(80).collect();
        let flow = chain("f", &[("x", "transform", config)]);
        let status = super::refusal(&server, flow).await;

        let told = super::told(&status);
        let field = format!("flow.nodes[2].data.{field}");
        assert_eq!(told, [(field, reason.to_owned())], "{shown}");
    }
    assert_unharmed(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn templates_that_read_what_is_not_there_are_refused() {
    let server = TestServer::start().await;
    let text = |template: &str| json!({"operation": "template", "template": template});
    let graph = flow_with_ends("f")
        .node("a", "transform", text("{{ results.nowhere.output }}"))
        .node("b", "transform", text("{{ results.a.output }}"))
        .node("c", "transform", text("{{ secret_of_mine }}"))
        .node("d", "transform", text("{{ input. }}"))
        .edge("start", "a")
        .edge("start", "b")
        .edge("b", "c")
        .edge("c", "d")
        .edge("a", "end")
        .edge("d", "end")
        .build();

    assert_refused(
        &server,
        graph,
        &[
            ("flow.nodes[2].data", "UNKNOWN_REFERENCE"),
            ("flow.nodes[3].data", "NOT_UPSTREAM"),
            ("flow.nodes[4].data.template", "UNKNOWN_NAME"),
            ("flow.nodes[5].data.template", "INVALID_TEMPLATE"),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_where_nothing_is_sent_out_is_refused() {
    let server = TestServer::start().await;
    let graph = chain(
        "f",
        &[("m", "transform", json!({"source": "{{ secrets.key }}"}))],
    );
    let mut mixed = graph.clone();
    mixed.edges.pop();
    mixed.edges[0].target = "nowhere".to_owned();

    assert_refused(
        &server,
        graph,
        &[("flow.nodes[2].data.source", "SECRET_NOT_ALLOWED_HERE")],
    )
    .await;
    let status = super::refusal(&server, mixed).await;
    crate::support::calls::assert_error(&status, tonic::Code::InvalidArgument, "INVALID_FLOW");
}

#[tokio::test(flavor = "multi_thread")]
async fn overrides_out_of_bounds_are_refused() {
    let server = TestServer::start().await;
    let time = |seconds, nanos| Some(Duration { seconds, nanos });
    let with = |id: &str, timeout, effect: i32| Node {
        id: id.to_owned(),
        r#type: "transform".to_owned(),
        timeout,
        effect,
        ..Node::default()
    };
    let policy = FlowPolicy {
        run_timeout: time(31 * 24 * 3600, 0),
        max_parallel_steps: -1,
        ..FlowPolicy::default()
    };
    let mut graph = flow_with_ends("f")
        .add(with("zero", time(0, 0), 0))
        .add(with("negative", time(-5, 0), 0))
        .add(with("long", time(i64::MAX, 0), 0))
        .add(with("odd", time(1, -1), 0))
        .add(with("unknown", None, 99))
        .add(with("strict", None, Effect::AtMostOnce.into()))
        .node(
            "call",
            "http_request",
            json!({"method": "POST", "url": "http://h.example/"}),
        )
        .effect(Effect::Pure)
        .policy(policy);
    for id in [
        "zero", "negative", "long", "odd", "unknown", "strict", "call",
    ] {
        graph = graph.edge("start", id).edge(id, "end");
    }

    let status = super::refusal(&server, graph.build()).await;

    let found = super::told(&status);
    let found: Vec<(&str, &str)> = found.iter().map(|one| (&*one.0, &*one.1)).collect();
    assert_eq!(found.len(), 8, "{found:?}");
    for expected in [
        ("flow.nodes[2].timeout", "OUT_OF_BOUNDS"),
        ("flow.nodes[6].effect", "UNKNOWN_ENUM_VALUE"),
        ("flow.nodes[8].effect", "EFFECT_NOT_STRICTER"),
        ("flow.policy.run_timeout", "OUT_OF_BOUNDS"),
        ("flow.policy.max_parallel_steps", "OUT_OF_BOUNDS"),
    ] {
        assert!(found.contains(&expected), "{expected:?} in {found:?}");
    }
    for node in [3, 4, 5] {
        let field = format!("flow.nodes[{node}].timeout");
        assert!(
            found.iter().any(|one| one.0 == field),
            "{field} in {found:?}"
        );
    }
    assert_unharmed(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn schemas_of_the_input_that_are_none_are_refused() {
    let server = TestServer::start().await;
    let with = |schema: Value| {
        flow_with_ends("f")
            .edge("start", "end")
            .input_schema(&schema)
            .build()
    };
    let mut deep = json!({});
    for _ in 0..31 {
        deep = json!({"not": deep});
    }

    for (schema, field, reason) in [
        (
            json!({"type": "thing"}),
            "flow.input_schema.type",
            "INVALID_SCHEMA",
        ),
        (
            json!({"$schema": "http://json-schema.org/draft-04/schema#"}),
            "flow.input_schema.$schema",
            "INVALID_SCHEMA",
        ),
        (
            json!({"properties": {"a": {"minLength": -1}}}),
            "flow.input_schema.properties.a.minLength",
            "INVALID_SCHEMA",
        ),
    ] {
        assert_refused(&server, with(schema), &[(field, reason)]).await;
    }
    for outward in [
        json!({"$ref": "http://127.0.0.1:1/x.json"}),
        json!({"$ref": "file:///etc/passwd"}),
    ] {
        let status = super::refusal(&server, with(outward)).await;
        assert_eq!(super::told(&status)[0].1, "INVALID_SCHEMA", "{status:?}");
    }
    let status = super::refusal(&server, with(deep)).await;
    assert!(
        super::told(&status).iter().all(|one| one.1 == "TOO_DEEP"),
        "{status:?}"
    );
    assert_unharmed(&server).await;
}
