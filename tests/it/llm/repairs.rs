//! Answers that are to be JSON.

use serde_json::json;
use synapps::proto::RunState;

use super::model::ModelServer;
use super::{asked, error, server_with};
use crate::support::wire;

#[tokio::test(flavor = "multi_thread")]
async fn json_is_the_output_and_one_that_does_not_fit_is_asked_for_once_more() {
    let model = ModelServer::start().await;
    let server = server_with(&model).await;
    let schema = json!({"type": "object", "required": ["total"], "properties": {"total": {"type": "number"}}});
    let config = json!({"structured_output": true, "json_schema": schema});

    model.says(&["```json\n{\"to", "tal\": 5}\n```"]);
    let (run, _) = asked(&server, &config, &json!("Add")).await;
    assert_eq!(
        wire::json(run.output.as_ref()),
        json!({"total": 5}),
        "{:?}",
        run.error
    );

    model.says(&["{\"total\": \"five\"}"]);
    model.says(&["{\"total\": 5}"]);
    let (run, step) = asked(&server, &config, &json!("Add")).await;
    assert_eq!(
        wire::json(run.output.as_ref()),
        json!({"total": 5}),
        "{:?}",
        run.error
    );
    assert_eq!(
        run.usage.unwrap().input_tokens,
        22,
        "both answers are paid for"
    );
    let details = wire::object_of(step.details.as_ref().unwrap());
    assert_eq!(details["repaired"], true);
    let asked_again = model.seen().pop().unwrap().body["messages"].clone();
    assert_eq!(
        asked_again[1],
        json!({"role": "assistant", "content": "{\"total\": \"five\"}"})
    );
    assert!(
        asked_again[2]["content"]
            .as_str()
            .unwrap()
            .contains("/total")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn json_that_stays_wrong_fails_and_tells_what_it_has_used() {
    let model = ModelServer::start().await;
    let server = server_with(&model).await;
    let schema = json!({"type": "object", "required": ["total"]});

    for (schema, answers, reason) in [
        (json!(null), ["five", "still five"], "NOT_JSON"),
        (schema.clone(), ["{}", "[]"], "SCHEMA_MISMATCH"),
    ] {
        for answer in answers {
            model.says(&[answer]);
        }
        let config = json!({"structured_output": true, "json_schema": schema});
        let (run, _) = asked(&server, &config, &json!("Add")).await;
        assert_eq!(run.usage.unwrap().output_tokens, 10);
        assert_eq!(error(run).code, reason);
    }

    model.sends("data: {\"choices\":[{\"delta\":{\"content\":\"{\\\"a\"},\"finish_reason\":\"length\"}]}\n\n");
    let (run, _) = asked(&server, &json!({"structured_output": true}), &json!("Add")).await;
    assert_eq!(error(run).code, "TRUNCATED");
    assert_eq!(
        model.seen().len(),
        5,
        "what has no room is not asked for again"
    );

    model.says(&["text"]);
    let (run, _) = asked(&server, &json!({"json_schema": schema}), &json!("Add")).await;
    assert_eq!(run.state(), RunState::Succeeded);
    assert_eq!(wire::json(run.output.as_ref()), json!("text"));
}
