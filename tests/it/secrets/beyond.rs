//! What comes after a step that knows a secret: programs, memories and waits keep no value either, not even one that
//! they put together themselves.

use serde_json::{Value, json};
use synapps::proto::on_error::Action;
use synapps::proto::{ApprovalDecision, ErrorPort, Flow, Run, RunState};

use super::echo::Echo;
use super::store;
use super::traces::{Hidden, assert_kept_nowhere, glance, look, values};
use crate::control::{a_signal, asked, decide, decision, signal};
use crate::support::binary::Binary;
use crate::support::flows::flow_with_ends;

/// A value in pieces that no search finds: its characters, and their numbers.
fn pieces(value: &str) -> Value {
    let codes: Vec<u32> = value.chars().map(u32::from).collect();
    let letters: Vec<String> = value.chars().map(String::from).collect();
    json!({"codes": codes, "letters": letters})
}

/// The value, put together again by a template.
const JOINED: &str = "{{ input.letters | join }}";

/// Nodes that follow a step with a secret: id, kind and config.
fn followers(name: &str) -> Vec<(&'static str, &'static str, Value)> {
    let template = format!("<{JOINED}> {{{{ content }}}}");
    let text = json!({"operation": "template", "template": template});
    let mut followers = vec![
        ("joined", "transform", text),
        (
            "chosen",
            "switch",
            json!({"source": JOINED, "cases": ["a"]}),
        ),
    ];
    let with_kind = |kind, nodes: Vec<(&'static str, Value)>| {
        nodes.into_iter().map(move |(id, data)| (id, kind, data))
    };
    followers.extend(with_kind("code", programs()));
    followers.extend(with_kind("memory", memories(name)));
    followers
}

/// Programs that show the value in all ways: id and config.
fn programs() -> Vec<(&'static str, Value)> {
    let begin = |language: &str| match language {
        "javascript" => "const text = String.fromCodePoint(...context.input.codes)",
        _ => "text = ''.join(map(chr, context['input']['codes']))",
    };
    let programs = [
        (
            "js",
            "javascript",
            "console.log(text); console.log(JSON.stringify(data)); result = {[text]: [text, data]}",
        ),
        ("js-throws", "javascript", "throw new Error(`not ${text}`)"),
        (
            "js-throws-much",
            "javascript",
            "throw new Error(`no ${text} `.repeat(9000))",
        ),
        ("py", "python", "print(text, data)\nresult = [text, data]"),
        ("py-raises", "python", "print(text)\nraise ValueError(text)"),
        (
            "py-raises-much",
            "python",
            "raise ValueError(f'no {text} ' * 9000)",
        ),
        (
            "py-exits",
            "python",
            "import sys\nsys.stderr.write(text)\nsys.exit(text)",
        ),
        // More than stands in details, and more than is kept.
        (
            "py-prints",
            "python",
            "print((text + ' ') * (40000 // len(text)))",
        ),
        (
            "py-prints-much",
            "python",
            "print((text + ' ') * (600000 // len(text)))",
        ),
    ];
    let programs = programs.map(|(id, language, rest)| {
        let code = format!("{}\n{rest}", begin(language));
        (id, json!({"language": language, "code": code}))
    });
    programs.into()
}

/// Memories of the value, and under its name: id and config.
fn memories(name: &str) -> Vec<(&'static str, Value)> {
    vec![
        (
            "echo",
            json!({"namespace": name, "key": "echo", "value": "{{ content }}"}),
        ),
        (
            "made",
            json!({"namespace": name, "key": "made", "value": {"a": JOINED, "b": [JOINED]}}),
        ),
        (
            "named",
            json!({"namespace": name, "key": JOINED, "tags": [JOINED, "t"], "value": 1}),
        ),
        (
            "asked",
            json!({"namespace": name, "operation": "search", "query": JOINED, "tags": [JOINED],
                         "include_metadata": true}),
        ),
        (
            "got",
            json!({"namespace": name, "operation": "retrieve", "key": JOINED, "query": JOINED}),
        ),
        (
            "gone",
            json!({"namespace": name, "operation": "delete", "key": JOINED}),
        ),
    ]
}

/// A flow in which they all see what a server has sent back.
fn following(echo: &Echo, name: &str) -> Flow {
    let mut flow = asking(echo, &format!("follow-{name}"), name);
    for (id, kind, data) in followers(name) {
        flow = flow
            .node(id, kind, data)
            .on_error(Action::Port(ErrorPort {}))
            .edge("ask", id)
            .edge_from(id, "error", "end");
        flow = match kind {
            "switch" => flow.edge_from(id, "default", "end"),
            _ => flow.edge(id, "end"),
        };
    }
    flow.build()
}

/// A flow that waits for somebody to say yes, and then for a signal.
fn waiting(echo: &Echo, name: &str) -> Flow {
    let approval = json!({
        "title": JOINED, "description": "{{ content.data.uri }} {{ content.data.query }}",
        "form_schema": {"type": "object", "properties": {"why": {"type": "string"}}},
    });
    asking(echo, &format!("wait-{name}"), name)
        .node("approve", "approval", approval)
        .on_error(Action::Port(ErrorPort {}))
        .node("listen", "wait_signal", json!({"name": JOINED}))
        .on_error(Action::Port(ErrorPort {}))
        .edge("ask", "approve")
        .edge_from("approve", "approved", "listen")
        .edge_from("approve", "error", "listen")
        .edge_from("listen", "received", "end")
        .edge_from("listen", "error", "end")
        .build()
}

fn asking(echo: &Echo, id: &str, name: &str) -> crate::support::flows::FlowBuilder {
    let secret = format!("{{{{ secrets.{name} }}}}");
    let data = json!({
        "url": echo.url("/json"), "method": "PUT", "query_params": {"q": secret}, "body_template": {"b": secret},
    });
    flow_with_ends(id)
        .node("ask", "http_request", data)
        .edge("start", "ask")
}

fn has_ended(run: &Run) -> bool {
    matches!(
        run.state(),
        RunState::Succeeded | RunState::Failed | RunState::Cancelled
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn no_value_is_in_what_programs_and_memories_make_of_it() {
    let hidden = Hidden::new();
    let echo = Echo::start().await;
    let server = Binary::start(&["--log=debug,synapps=trace"]).await;

    for (name, value) in values() {
        store(&server, name, &value).await;
        let flow = following(&echo, name);
        let run_id = server.save_and_start(flow, &pieces(value.trim())).await;
        let seen = look(&server, &run_id).await;
        hidden.assert_not_in(&format!("what is seen of {name}"), &seen);
        let run = server.get(&run_id).await;
        assert_eq!(run.state(), RunState::Succeeded, "{name}: {run:?}");
        for id in ["js", "js-throws", "py", "py-raises", "py-prints", "joined"] {
            let step = run.steps.iter().find(|step| step.node_id == id).unwrap();
            let shown = format!("{step:?} {:?}", run.results.get(id));
            assert!(shown.contains("[redacted]"), "{name}, {id}: {shown}");
        }
    }

    assert_kept_nowhere(&server, &hidden).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_value_is_in_what_a_run_waits_for() {
    let hidden = Hidden::new();
    let echo = Echo::start().await;
    let server = Binary::start(&["--log=debug,synapps=trace"]).await;

    for (name, value) in values() {
        store(&server, name, &value).await;
        let flow = waiting(&echo, name);
        let run_id = server.save_and_start(flow, &pieces(value.trim())).await;
        // A title or a name may be too long for it.
        let waits = |run: &Run| run.state() == RunState::Waiting || has_ended(run);
        server.run_once(&run_id, "a wait", waits).await;
        let seen = glance(&server, &run_id).await;
        hidden.assert_not_in(&format!("what is seen of {name} while it waits"), &seen);
        for approval in asked(&server, &run_id).await {
            assert_eq!(approval.title, "[redacted]");
            decide(&server, decision(&approval, ApprovalDecision::Approved))
                .await
                .unwrap();
        }
        // It may have ended, which then is what there is to see.
        drop(signal(&server, a_signal(&run_id, "[redacted]", &json!("on"))).await);
        let seen = look(&server, &run_id).await;
        hidden.assert_not_in(&format!("what is seen of {name} after its wait"), &seen);
        assert_eq!(server.get(&run_id).await.state(), RunState::Succeeded);
    }

    assert_kept_nowhere(&server, &hidden).await;
}
