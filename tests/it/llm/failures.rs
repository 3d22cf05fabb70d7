//! Failures have their reason, are retried where that helps, or lead to another model.

use prost_types::Duration;
use serde_json::{Value, json};
use synapps::proto::{RetryPolicy, RunState};

use super::model::{ModelServer, spoken};
use super::{asked, error, server_with};
use crate::support::flows::{chain, flow_with_ends};
use crate::support::server::TestServer;
use crate::support::wire;

fn details(error: &synapps::proto::RunError) -> Value {
    wire::object_of(error.details.as_ref().unwrap())
}

/// What a server is told to answer.
type Told = fn(&ModelServer);

#[tokio::test(flavor = "multi_thread")]
async fn failures_have_their_reason() {
    let model = ModelServer::start().await;
    let server = server_with(&model).await;
    let told: [(&str, Told); 10] = [
        ("AUTHENTICATION_FAILED", |model| {
            model.refuses(401, &[], &json!({"error": {"message": "no"}}));
        }),
        ("MODEL_NOT_FOUND", |model| {
            model.refuses(404, &[], &json!({"error": {"code": "model_not_found"}}));
        }),
        ("CONTEXT_TOO_LONG", |model| {
            model.refuses(
                400,
                &[],
                &json!({"error": {"code": "context_length_exceeded"}}),
            );
        }),
        ("INVALID_REQUEST", |model| {
            model.refuses(400, &[], &json!({"error": "stop is wrong"}));
        }),
        ("PROVIDER_UNAVAILABLE", |model| {
            model.refuses(503, &[], &json!({}));
        }),
        ("QUOTA_EXHAUSTED", |model| {
            model.refuses(429, &[], &json!({"error": {"code": "insufficient_quota"}}));
        }),
        ("STREAM_CUT", |model| model.speech().say("He")),
        ("ANSWER_MALFORMED", |model| model.sends("data: {oops}\n\n")),
        ("EMPTY_ANSWER", |model| model.says(&[" "])),
        ("CONTENT_FILTERED", |model| {
            model.sends(
                "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"content_filter\"}]}\n\n",
            );
        }),
    ];
    for (reason, tell) in told {
        tell(&model);
        let (run, _) = asked(&server, &json!({}), &json!("Hi")).await;
        let error = error(run);
        assert_eq!(error.code, reason, "{}", error.message);
        assert_eq!(details(&error)["provider"], "custom");
    }
    for (reason, config, input) in [
        ("EMPTY_PROMPT", json!({}), json!("  ")),
        (
            "INVALID_MESSAGES",
            json!({"messages": "$.m"}),
            json!({"m": [{"role": "dog", "content": "wuff"}]}),
        ),
        ("PATH_MISSING", json!({"messages": "$.m"}), json!({})),
        (
            "PROVIDER_NOT_CONFIGURED",
            json!({"provider": "anthropic"}),
            json!("Hi"),
        ),
    ] {
        let (run, _) = asked(&server, &config, &input).await;
        assert_eq!(error(run).code, reason);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_asked_to_wait_waits_and_tries_again() {
    let model = ModelServer::start().await;
    let server = server_with(&model).await;
    model.refuses(
        429,
        &[("retry-after", "1")],
        &json!({"error": {"message": "slow down"}}),
    );
    model.says(&["Hello"]);
    let policy = RetryPolicy {
        max_attempts: 2,
        initial_interval: Some(Duration {
            seconds: 0,
            nanos: 1_000_000,
        }),
        ..RetryPolicy::default()
    };
    let config = json!({"provider": "custom", "model": "m"});
    let flow = flow_with_ends("patient")
        .node("ask", "llm", config)
        .retry(policy)
        .edge("start", "ask")
        .edge("ask", "end")
        .build();
    let began = std::time::Instant::now();

    let run_id = server.save_and_start(flow, &json!("Hi")).await;
    let run = server.finished_run(&run_id).await;

    assert_eq!(
        wire::json(run.output.as_ref()),
        json!("Hello"),
        "{:?}",
        run.error
    );
    assert!(began.elapsed() >= std::time::Duration::from_secs(1));
    assert_eq!(model.seen().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_model_is_asked_for_the_reasons_that_it_is_there_for() {
    let model = ModelServer::start().await;
    let server = server_with(&model).await;
    let fallback = json!([
        {"provider": "custom", "model": "for-errors", "on": ["INVALID_REQUEST"]},
        {"provider": "custom", "model": "for-trouble"},
        {"provider": "custom", "model": "last", "on": ["STREAM_CUT"]},
    ]);
    model.refuses(503, &[], &json!({}));
    model.speech().say("It beg");
    model.says(&["Hello"]);

    let (run, step) = asked(&server, &json!({"fallback": fallback}), &json!("Hi")).await;

    assert_eq!(run.state(), RunState::Succeeded, "{:?}", run.error);
    let models: Vec<_> = model
        .seen()
        .into_iter()
        .map(|seen| seen.body["model"].clone())
        .collect();
    assert_eq!(models, ["some-model", "for-trouble", "last"]);
    let details = wire::object_of(step.details.as_ref().unwrap());
    let reasons: Vec<_> = details["tries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["reason"])
        .collect();
    assert_eq!(
        reasons,
        [
            &json!("PROVIDER_UNAVAILABLE"),
            &json!("STREAM_CUT"),
            &Value::Null
        ]
    );
    assert_eq!(details["model"], "last");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_model_leaves_time_for_another() {
    let model = ModelServer::start().await;
    let server = server_with(&model).await;
    let _silent = model.speech();
    model.says(&["Hello"]);
    let config = json!({
        "provider": "custom", "model": "m", "fallback": [{"provider": "custom", "model": "n"}],
    });
    let flow = flow_with_ends("hasty")
        .node("ask", "llm", config)
        .with(|node| {
            node.timeout = Some(Duration {
                seconds: 2,
                nanos: 0,
            });
        })
        .edge("start", "ask")
        .edge("ask", "end")
        .build();

    let run_id = server.save_and_start(flow, &json!("Hi")).await;
    let run = server.finished_run(&run_id).await;

    assert_eq!(
        wire::json(run.output.as_ref()),
        json!("Hello"),
        "{:?}",
        run.error
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_the_server_hold_for_all_runs() {
    let model = ModelServer::start().await;
    let server = TestServer::builder()
        .flag(&format!("--custom-llm-base-url={}", model.url("/v1")))
        .flag("--provider-limits=custom=requests:1")
        .start()
        .await;
    model.sends(&spoken("", &["Hello"]));
    let (first, _) = asked(&server, &json!({}), &json!("Hi")).await;
    let flow = chain(
        "again",
        &[("ask", "llm", json!({"provider": "custom", "model": "m"}))],
    );
    let mut flow = flow;
    flow.nodes[2].timeout = Some(Duration {
        seconds: 1,
        nanos: 0,
    });

    let run_id = server.save_and_start(flow, &json!("Hi")).await;
    let second = error(server.finished_run(&run_id).await);

    assert_eq!(first.state(), RunState::Succeeded);
    assert_eq!(second.code, "RATE_LIMITED");
    assert!(details(&second)["retry_after_seconds"].as_f64().unwrap() > 30.0);
    assert_eq!(model.seen().len(), 1);
}
