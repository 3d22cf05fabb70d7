//! `TestApplet`: one node tried out, outside any run.

use serde_json::{Value, json};
use synapps::proto::{
    ListRunsRequest, Node, StepState, TestAppletRequest, TestAppletResponse, WaitReason,
};
use tonic::{Code, Status};

use crate::support::calls::{Calls, assert_error, violated_fields};
use crate::support::http_bin::{Answer, HttpBin};
use crate::support::server::TestServer;
use crate::support::wire;

fn node(kind: &str, data: &Value) -> Node {
    Node {
        id: "here".to_owned(),
        r#type: kind.to_owned(),
        data: Some(wire::fields(data)),
        ..Node::default()
    }
}

fn request(kind: &str, data: &Value, input: &Value) -> TestAppletRequest {
    TestAppletRequest {
        node: Some(node(kind, data)),
        input: Some(wire::value(input)),
        ..TestAppletRequest::default()
    }
}

async fn test(server: &Calls, request: TestAppletRequest) -> Result<TestAppletResponse, Status> {
    Ok(server.applets().test_applet(request).await?.into_inner())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_gets_the_input_and_gives_output_port_and_details() {
    let server = TestServer::start().await;
    let data = json!({"operation": "equals", "source": "{{ content.n }}", "value": 5});

    let answer = test(&server, request("if_else", &data, &json!({"n": 5}))).await;

    let answer = answer.unwrap();
    assert_eq!(answer.state(), StepState::Succeeded, "{answer:?}");
    assert_eq!(wire::json(answer.output.as_ref()), json!({"n": 5}));
    assert_eq!(answer.output_size_bytes, 7);
    assert_eq!(answer.ports, ["true"]);
    assert!(answer.details.is_some() && answer.duration.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn templates_read_the_runs_input_and_results_that_are_given() {
    let server = TestServer::start().await;
    let text =
        "{{ input.a }} {{ content }} {{ results.first.output.b }} {{ results.second.output }}";
    let data = json!({"operation": "template", "template": text});
    let mut asked = request("transform", &data, &json!("in"));
    asked.run_input = Some(wire::value(&json!({"a": "run"})));
    for (id, output) in [("first", json!({"b": 1})), ("second", json!([2]))] {
        asked.results.insert(id.to_owned(), wire::value(&output));
    }

    let answer = test(&server, asked.clone()).await.unwrap();
    assert_eq!(
        wire::json(answer.output.as_ref()),
        json!("run in 1 [2]"),
        "{answer:?}"
    );

    asked.results.remove("second");
    let refused = test(&server, asked).await.unwrap_err();
    assert_error(&refused, Code::InvalidArgument, "INVALID_REQUEST");
    assert_eq!(violated_fields(&refused), ["node.data"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_saving_would_refuse_is_refused_with_the_nodes_own_fields() {
    let server = TestServer::start().await;

    let wrong = request(
        "transform",
        &json!({"operation": "template", "nonsense": 1}),
        &json!({}),
    );
    let unknown = request("no_such_kind", &json!({}), &json!({}));
    let wrong = test(&server, wrong).await.unwrap_err();
    let unknown = test(&server, unknown).await.unwrap_err();
    let nothing = test(&server, TestAppletRequest::default())
        .await
        .unwrap_err();

    assert_eq!(wrong.code(), Code::InvalidArgument);
    assert!(
        violated_fields(&wrong).contains(&"node.data.nonsense".to_owned()),
        "{wrong:?}"
    );
    assert_eq!(violated_fields(&unknown), ["node.type"]);
    assert_eq!(violated_fields(&nothing), ["node"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_an_answer_and_leaves_no_run() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    bin.answer("/gone", Answer::status(404));
    let data = json!({"url": bin.url("/gone"), "method": "POST"});

    let answer = test(&server, request("http_request", &data, &json!({}))).await;

    let answer = answer.unwrap();
    assert_eq!(answer.state(), StepState::Failed);
    assert_eq!(answer.error.unwrap().code, "HTTP_4XX");
    assert_eq!(bin.count("/gone"), 1);
    let runs = server.runs().list_runs(ListRunsRequest::default()).await;
    assert!(runs.unwrap().into_inner().runs.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_wait_says_for_what() {
    let server = TestServer::start().await;
    let waits = [
        ("delay", json!({"seconds": 3600}), WaitReason::Delay),
        ("wait_signal", json!({"name": "go"}), WaitReason::Signal),
        ("approval", json!({"title": "Sure?"}), WaitReason::Approval),
    ];

    for (kind, data, reason) in waits {
        let answer = test(&server, request(kind, &data, &json!({})))
            .await
            .unwrap();
        assert_eq!(answer.state(), StepState::Waiting, "{kind}: {answer:?}");
        assert_eq!(answer.wait_reason(), reason, "{kind}");
    }
    let body = json!({"nodes": [{"id": "in", "type": "transform", "data": {"operation": "template", "template": "x"}}]});
    let looped = json!({"array_source": "{{ content }}", "body": body});
    let answer = test(&server, request("for_each", &looped, &json!([1, 2])))
        .await
        .unwrap();
    assert_eq!(answer.state(), StepState::Waiting, "{answer:?}");
    assert_eq!(wire::json(answer.output.as_ref()), json!([1, 2]));
}

#[tokio::test(flavor = "multi_thread")]
async fn code_and_memory_are_tried_out_too_and_a_start_has_no_predecessor() {
    let server = TestServer::start().await;
    let code =
        json!({"language": "javascript", "code": "console.log('hello'); result = data.n * 2"});
    let store = json!({"operation": "store", "key": "tried"});
    let default = json!({"default_input": {"x": 1}});

    let code = test(&server, request("code", &code, &json!({"n": 21})))
        .await
        .unwrap();
    let stored = test(&server, request("memory", &store, &json!("kept")))
        .await
        .unwrap();
    let started = test(&server, request("start", &default, &json!({})))
        .await
        .unwrap();

    assert_eq!(wire::json(code.output.as_ref()), json!(42), "{code:?}");
    let details = wire::object_of(code.details.as_ref().unwrap());
    assert_eq!(details["stdout"], "hello\n");
    assert_eq!(wire::json(stored.output.as_ref())["status"], "stored");
    assert_eq!(wire::json(started.output.as_ref()), json!({"x": 1}));
}
