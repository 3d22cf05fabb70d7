//! The keys of models and images show nowhere, whatever their providers repeat of them.

use serde_json::{Value, json};
use synapps::proto::on_error::Action;
use synapps::proto::{ErrorPort, Flow, Node, RetryPolicy, RunState, TestAppletRequest};

use super::parrot::Parrot;
use super::traces::{Hidden, SERVER_KEY, assert_kept_nowhere, look, values};
use super::{create, failure, ran, store};
use crate::image::painter::{PNG, Painter, within};
use crate::support::binary::Binary;
use crate::support::flows::{chain, flow_with_ends};
use crate::support::server::TestServer;
use crate::support::wire;

/// Whether a value can stand in a header.
fn fits_a_header(value: &str) -> bool {
    !value.trim().chars().any(char::is_control)
}

/// Nodes that send a secret to a provider that repeats it: id, kind and config.
fn nodes(parrot: &Parrot, name: &str, value: &str) -> Vec<(String, &'static str, Value)> {
    let secret = format!("{{{{ secrets.{name} }}}}");
    let node = |kind, provider: &str, way: &str, more: Value| {
        let path = match provider {
            "openai" | "anthropic" | "custom" | "flux" => "/v1",
            "google" => "/v1beta",
            _ => "",
        };
        let mut data = json!({
            "provider": provider, "model": "m", "api_key": secret, "base_url": parrot.url(way) + path,
        });
        if fits_a_header(value) {
            data["headers"] = json!({"X-Secret": secret});
        }
        data.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        (format!("{kind}-{provider}-{way}"), kind, data)
    };
    let mut nodes = Vec::new();
    for provider in ["custom", "openai", "anthropic", "google", "ollama"] {
        nodes.push(node("llm", provider, "says", json!({})));
    }
    let schema = json!({"type": "integer", "maximum": 3});
    nodes.extend([
        node("llm", "custom", "json", json!({"structured_output": true})),
        node("llm", "custom", "quotes", json!({"structured_output": true, "json_schema": schema})),
        node("llm", "custom", "breaks", json!({})),
        node("llm", "openai", "refuses", json!({})),
        node("llm", "google", "refuses", json!({})),
        node("llm", "custom", "rambles", json!({})),
        node("llm", "custom", "babbles", json!({})),
        node("llm", "custom", "fails", json!({"fallback": [
            {"provider": "custom", "model": "n", "api_key": secret, "base_url": parrot.url("refuses"),
             "on": ["PROVIDER_UNAVAILABLE"]},
            {"provider": "custom", "model": "o", "api_key": secret, "base_url": parrot.url("says"),
             "on": ["AUTHENTICATION_FAILED"]},
        ]})),
        node("image", "openai", "draws", json!({})),
        node("image", "openai", "refuses", json!({})),
        node("image", "openai", "rambles", json!({})),
        node("image", "openai", "babbles", json!({})),
        node("image", "openai", "places", json!({})),
        node("image", "stability", "draws", json!({})),
        node("image", "stability", "fails", json!({})),
        node("image", "flux", "waits", json!({})),
    ]);
    nodes
}

/// A flow of these nodes side by side, each of which may fail, and after them what the server's own key is for.
fn flow(id: &str, nodes: Vec<(String, &'static str, Value)>) -> Flow {
    let once = RetryPolicy {
        max_attempts: 1,
        ..RetryPolicy::default()
    };
    let mut flow = flow_with_ends(id).node("all", "merge", json!({"strategy": "array"}));
    for (id, kind, data) in nodes {
        flow = flow
            .node(&id, kind, data)
            .retry(once.clone())
            .on_error(Action::Port(ErrorPort {}))
            .edge("start", &id)
            .edge(&id, "all")
            .edge_from(&id, "error", "all");
    }
    for (id, kind, data) in [
        ("writer", "writer", json!({})),
        ("silent", "writer", json!({"system_prompt": "refuse"})),
        ("artist", "artist", json!({"generator": "stability"})),
        (
            "idle",
            "artist",
            json!({"generator": "stability", "style": "refuse"}),
        ),
    ] {
        flow = flow
            .node(id, kind, data)
            .retry(once.clone())
            .on_error(Action::Port(ErrorPort {}))
            .edge("start", id)
            .edge(id, "end")
            .edge_from(id, "error", "end");
    }
    flow.edge("all", "end").build()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_key_is_seen_again_whatever_its_provider_says() {
    let hidden = Hidden::new();
    let parrot = Parrot::start().await;
    let server = Binary::start(&[
        "--log=debug,synapps=trace,hyper=trace,h2=debug",
        &format!("--openai-api-key={SERVER_KEY}"),
        &format!("--openai-base-url={}", parrot.url("asked/v1")),
        &format!("--stability-api-key={SERVER_KEY}"),
        &format!("--stability-base-url={}", parrot.url("asked")),
    ])
    .await;

    let mut runs = Vec::new();
    for (name, value) in values() {
        store(&server, name, &value).await;
        let flow = flow(&format!("models-{name}"), nodes(&parrot, name, &value));
        let input = json!({"text": "What is my key?"});
        runs.push((name, value, server.save_and_start(flow, &input).await));
    }
    for (name, value, run_id) in runs {
        let seen = look(&server, &run_id).await;
        hidden.assert_not_in(&format!("what is seen of the models of {name}"), &seen);
        let run = server.get(&run_id).await;
        assert_eq!(run.state(), RunState::Succeeded, "{name}: {run:?}");
        // The keys were sent, came back, and were found.
        let sent = parrot.seen().iter().any(|key| key == value.trim());
        assert_eq!(sent, fits_a_header(&value), "{name}");
        for (id, _, _) in nodes(&parrot, name, &value) {
            let step = run.steps.iter().find(|step| step.node_id == id).unwrap();
            let shown = format!("{step:?} {:?}", run.results.get(&id));
            let repeats = !["image-stability-draws", "image-openai-places"].contains(&id.as_str());
            assert!(
                !fits_a_header(&value) || !repeats || shown.contains("[redacted]"),
                "{name}: {shown}"
            );
        }
    }
    assert!(parrot.seen().iter().any(|key| key == SERVER_KEY));
    assert_kept_nowhere(&server, &hidden).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_tried_out_tells_no_key() {
    let hidden = Hidden::new();
    let parrot = Parrot::start().await;
    let server = Binary::start(&["--log=debug,synapps=trace"]).await;

    let some = ["plain", "odd", "number", "long"];
    for (name, value) in values().into_iter().filter(|(name, _)| some.contains(name)) {
        store(&server, name, &value).await;
        for (id, kind, data) in nodes(&parrot, name, &value) {
            let node = Node {
                id: id.clone(),
                r#type: kind.to_owned(),
                data: Some(wire::fields(&data)),
                ..Node::default()
            };
            let request = TestAppletRequest {
                node: Some(node),
                input: Some(wire::value(&json!("What is my key?"))),
                ..TestAppletRequest::default()
            };
            let tried = server.applets().test_applet(request).await.unwrap();
            let tried = format!("{:?}", tried.into_inner());
            hidden.assert_not_in(&format!("a try of {id} with {name}"), &tried);
        }
    }

    assert!(!parrot.seen().is_empty());
    assert_kept_nowhere(&server, &hidden).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_an_image_arrives_and_goes_to_no_host_but_its_own() {
    let painter = Painter::start(|_, _| within(PNG)).await;
    let server = TestServer::start().await;
    create(&server, "own", "sk-own-of-images", &["127.0.0.1"])
        .await
        .unwrap();
    create(&server, "other", "sk-of-another", &["api.openai.com"])
        .await
        .unwrap();
    let draw = |id: &str, data: Value| {
        let mut whole = json!({"provider": "openai", "prompt": "a fox", "base_url": painter.url()});
        whole
            .as_object_mut()
            .unwrap()
            .extend(data.as_object().unwrap().clone());
        chain(id, &[("draw", "image", whole)])
    };

    let own = ran(
        &server,
        draw("own", json!({"api_key": "{{ secrets.own }}"})),
    )
    .await;
    let other = ran(
        &server,
        draw("other", json!({"api_key": "{{ secrets.other }}"})),
    )
    .await;
    let header =
        json!({"api_key": "{{ secrets.own }}", "headers": {"X-Key": "{{ secrets.other }}"}});
    let header = ran(&server, draw("header", header)).await;

    assert_eq!(own.state(), RunState::Succeeded, "{own:?}");
    assert_eq!(failure(&other), "SECRET_NOT_FOR_HOST");
    assert_eq!(failure(&header), "SECRET_NOT_FOR_HOST");
    assert_eq!(
        painter.only().header("authorization"),
        Some("Bearer sk-own-of-images")
    );
}
