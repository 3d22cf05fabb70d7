//! The examples that ask models.

use serde_json::{Value, json};

use super::model::{ModelServer, spoken};
use crate::flows::examples::read_file;
use crate::support::server::TestServer;
use crate::support::wire;

async fn output(server: &TestServer, example: &str, input: &Value) -> Value {
    server.save(read_file(example)).await;
    let run_id = server.start(example, input).await;
    let run = server.finished_run(&run_id).await;
    assert!(run.error.is_none(), "{example}: {:?}", run.error);
    wire::json(run.output.as_ref())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_of_models_do_what_they_say() {
    let model = ModelServer::start().await;
    let server = TestServer::builder()
        .flag(&format!("--openai-base-url={}", model.url("/v1")))
        .flag("--openai-api-key=sk-of-the-server")
        .flag(&format!("--custom-llm-base-url={}", model.url("/v1")))
        .flag(&format!("--anthropic-base-url={}", model.url("")))
        .flag("--anthropic-api-key=key")
        .start()
        .await;

    model.says(&["A lease is ", "a promise."]);
    let answer = output(&server, "llm", &json!({"question": "What is a lease?"})).await;
    assert_eq!(answer, "A lease is a promise.");

    model.says(&["{\"customer\": \"Ada\", \"total\": 36, \"urgent\": true}"]);
    let order = output(
        &server,
        "llm-json",
        &json!({"mail": "36 euros, quickly! Ada"}),
    )
    .await;
    assert_eq!(
        order,
        json!({"customer": "Ada", "total": 36, "urgent": true})
    );

    model.refuses(429, &[("retry-after", "9")], &json!({}));
    model.sends(&spoken("/v1/messages", &["From the other one."]));
    let answer = output(
        &server,
        "llm-fallback",
        &json!({"question": "Who are you?"}),
    )
    .await;
    assert_eq!(answer, "From the other one.");

    model.says(&["You said lamp."]);
    let history = json!([{"role": "user", "content": "I want a lamp."}, {"role": "assistant", "content": "Noted."}]);
    let chat = json!({"history": history, "message": "What did I say?"});
    assert_eq!(output(&server, "chat", &chat).await, "You said lamp.");
    let messages = &model.seen().pop().unwrap().body["messages"];
    assert_eq!(messages.as_array().unwrap().len(), 4);
    assert_eq!(messages[3]["content"], "What did I say?");

    model.says(&["Once upon a time."]);
    assert_eq!(
        output(&server, "writer", &json!({"prompt": "a fox"})).await,
        "Once upon a time."
    );
}
