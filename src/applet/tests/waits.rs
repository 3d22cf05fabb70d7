//! `wait_signal` and `approval`: what they wait for, and what comes out.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::at;
use crate::applet::trial::{complete, context, inspect, output, run_in, wrong};
use crate::applet::{Awaited, Completion, Context, Decision, Effect, Outcome, Wait, Woken};

async fn awaited(kind: &str, data: Value, input: Value) -> Wait {
    match complete(kind, data, context(input)).await {
        Ok(Completion::Wait(wait)) => wait,
        other => panic!("{other:?}"),
    }
}

async fn woken(kind: &str, data: Value, woken: Woken) -> Outcome {
    let context = Context {
        woken: Some(woken),
        ..context(json!({"n": 1}))
    };
    run_in(kind, data, context).await.unwrap()
}

fn is_in(until: Option<DateTime<Utc>>, seconds: u64) -> bool {
    let rest = until.unwrap() - Utc::now();
    let rest = rest.to_std().unwrap();
    rest <= Duration::from_secs(seconds) && rest > Duration::from_secs(seconds - 5)
}

#[tokio::test]
async fn a_signal_is_awaited_by_name_and_its_payload_goes_on() {
    let data = json!({"name": "paid-{{ input.n }}", "timeout": "{{ input.n * 60 }}"});

    let wait = awaited("wait_signal", data.clone(), json!({"n": 1})).await;
    let endless = awaited("wait_signal", json!({"name": "x"}), json!({})).await;
    let payload = Arc::new(json!({"amount": 5}));
    let received = woken("wait_signal", data.clone(), Woken::Signal(payload)).await;
    let expired = woken("wait_signal", data, Woken::Time).await;

    assert!(matches!(wait.awaited, Awaited::Signal(name) if name == "paid-1"));
    assert!(is_in(wait.until, 60));
    assert_eq!(endless.until, None);
    assert_eq!(received.port.as_deref(), Some("received"));
    assert_eq!(*received.output, json!({"amount": 5}));
    assert_eq!(received.details["signal"], json!("paid-1"));
    assert_eq!(expired.port.as_deref(), Some("expired"));
    assert_eq!(*expired.output, json!({"n": 1}));
}

#[tokio::test]
async fn a_signal_has_a_name_and_a_wait_its_bounds() {
    for (data, expected) in [
        (json!({}), at("name", "REQUIRED")),
        (json!({"name": ""}), at("name", "OUT_OF_BOUNDS")),
        (
            json!({"name": "x".repeat(201)}),
            at("name", "OUT_OF_BOUNDS"),
        ),
        (json!({"name": "a\nb"}), at("name", "INVALID_NAME")),
        (
            json!({"name": "x", "timeout": -1}),
            at("timeout", "OUT_OF_BOUNDS"),
        ),
        (
            json!({"name": "x", "timeout": 2_592_001}),
            at("timeout", "OUT_OF_BOUNDS"),
        ),
        (
            json!({"name": "x".repeat(200), "timeout": 2_592_000}),
            Vec::new(),
        ),
    ] {
        assert_eq!(wrong("wait_signal", data.clone()), expected, "{data}");
    }
    let rendered = json!({"name": "{{ input.name }}"});
    for name in [json!(""), json!("{{ x }}".repeat(40))] {
        let failed = output("wait_signal", rendered.clone(), json!({ "name": name })).await;
        assert_eq!(failed, Err("OUT_OF_BOUNDS".to_owned()));
    }
    let inspection = inspect("wait_signal", json!({"name": "x"}));
    let ports: Vec<_> = inspection.ports.iter().map(|port| &**port).collect();
    assert_eq!(ports, ["received", "expired"]);
    assert_eq!(inspection.effect, Some(Effect::Pure));
}

#[tokio::test]
async fn an_approval_says_what_is_to_be_decided() {
    let schema = json!({"type": "object", "title": "{{ not rendered }}"});
    let data = json!({
        "title": "Refund {{ input.n }}?", "description": "{{ content }}", "form_schema": schema,
        "expires_in": 3600, "default_decision": "rejected",
    });

    let wait = awaited("approval", data, json!({"n": 9})).await;
    let least = awaited("approval", json!({"title": "Go?"}), json!({})).await;

    assert!(is_in(wait.until, 3600));
    let Awaited::Approval(request) = wait.awaited else {
        panic!("{wait:?}");
    };
    assert_eq!(
        (&*request.title, &*request.description),
        ("Refund 9?", "{\"n\":9}")
    );
    assert_eq!(request.form_schema, Some(schema));
    assert_eq!(request.default_decision, Some(Decision::Rejected));
    assert_eq!(least.until, None);
}

#[tokio::test]
async fn a_decision_leaves_by_its_port_with_the_input() {
    let data = json!({"title": "Go?", "expires_in": 5});
    let answer =
        json!({"decision": "APPROVED", "values": {"a": 1}, "comment": "ok", "decided_by": "eve"});

    let approved = Woken::Approval(Decision::Approved, Arc::new(answer));
    let approved = woken("approval", data.clone(), approved).await;
    let rejected = Woken::Approval(
        Decision::Rejected,
        Arc::new(json!({"decision": "REJECTED"})),
    );
    let rejected = woken("approval", data, rejected).await;

    assert_eq!(approved.port.as_deref(), Some("approved"));
    let expected = json!({
        "decision": "APPROVED", "values": {"a": 1}, "comment": "ok", "decided_by": "eve", "input": {"n": 1},
    });
    assert_eq!(*approved.output, expected);
    assert_eq!(approved.details["decided_by"], json!("eve"));
    assert_eq!(rejected.port.as_deref(), Some("rejected"));
}

#[tokio::test]
async fn what_nobody_decides_expires_or_is_decided() {
    let expired = woken(
        "approval",
        json!({"title": "Go?", "expires_in": 5}),
        Woken::Time,
    )
    .await;
    let decided = json!({"title": "Go?", "expires_in": 5, "default_decision": "APPROVED"});
    let decided = woken("approval", decided, Woken::Time).await;

    assert_eq!(expired.port.as_deref(), Some("expired"));
    assert_eq!(
        *expired.output,
        json!({"decision": "EXPIRED", "input": {"n": 1}})
    );
    assert_eq!(decided.port.as_deref(), Some("approved"));
    assert_eq!(
        *decided.output,
        json!({"decision": "APPROVED", "values": {}, "comment": "", "decided_by": "", "input": {"n": 1}})
    );
}

#[tokio::test]
async fn an_approval_that_nobody_could_decide_is_refused() {
    for (data, expected) in [
        (json!({}), at("title", "REQUIRED")),
        (json!({"title": ""}), at("title", "OUT_OF_BOUNDS")),
        (
            json!({"title": "x".repeat(201)}),
            at("title", "OUT_OF_BOUNDS"),
        ),
        (
            json!({"title": "x", "description": "x".repeat(4_001)}),
            at("description", "OUT_OF_BOUNDS"),
        ),
        (
            json!({"title": "x", "form_schema": {"type": "x"}}),
            at("form_schema", "INVALID_EXPRESSION"),
        ),
        (
            json!({"title": "x", "form_schema": true}),
            at("form_schema", "WRONG_TYPE"),
        ),
        (
            json!({"title": "x", "expires_in": 2_592_001}),
            at("expires_in", "OUT_OF_BOUNDS"),
        ),
        (
            json!({"title": "x", "default_decision": "approved"}),
            at("expires_in", "REQUIRED"),
        ),
        (
            json!({"title": "x", "expires_in": 1, "default_decision": "maybe"}),
            at("default_decision", "UNKNOWN_VALUE"),
        ),
    ] {
        assert_eq!(wrong("approval", data.clone()), expected, "{data}");
    }
    let rendered = json!({"title": "{{ input }}"});
    let failed = output("approval", rendered, json!("x".repeat(201))).await;
    assert_eq!(failed, Err("OUT_OF_BOUNDS".to_owned()));
}
