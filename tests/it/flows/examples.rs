//! The flows in `examples/` are saved as they are, and do what they say.

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::{Value, json};
use synapps::proto::{
    ApprovalDecision, FILE_DESCRIPTOR_SET, Flow, ResolveApprovalRequest, RunState, WaitReason,
};

use crate::control;
use crate::secrets;
use crate::support::http_bin::{Answer, HttpBin};
use crate::support::server::TestServer;
use crate::support::wire;

/// The flow of an example, in the JSON form of its message.
fn read(text: &str) -> Flow {
    let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap();
    let flow = pool.get_message_by_name("synapps.v1.Flow").unwrap();
    let mut json = serde_json::Deserializer::from_str(text);
    let message = DynamicMessage::deserialize(flow, &mut json).unwrap();
    json.end().unwrap();
    Flow::decode(&*message.encode_to_vec()).unwrap()
}

/// The flow of an example, by the name of its file.
pub fn read_file(name: &str) -> Flow {
    let path = format!("{}/examples/{name}.json", env!("CARGO_MANIFEST_DIR"));
    read(&std::fs::read_to_string(path).unwrap())
}

/// What each example is tried with, and what comes out.
fn trials(shop: &HttpBin) -> Vec<(&'static str, Value, Value)> {
    let order = |delivery: &str| json!({"delivery": delivery, "shop": shop.url(""), "item": "lamp", "quantity": 3});
    let offer = json!({"item": "lamp", "quantity": 3, "available": true, "total": 28.5});
    vec![
        ("hello", json!({"name": "Ada"}), json!("Hello, Ada!")),
        ("delay", json!({"x": 1}), json!({"x": 1})),
        (
            "code-javascript",
            priced_order(),
            json!({"lines": [{"item": "lamp", "kind": "lights", "price": 10, "quantity": 2, "total": 24}], "total": 24}),
        ),
        (
            "code-python",
            json!({"values": [1, "2.5", 4]}),
            json!({"count": 3, "mean": 2.5, "median": 2.5, "largest": 4}),
        ),
        ("parallel", json!(7), json!([7, 7, 7])),
        ("branch-and-merge", order("express"), offer),
        ("for-each", order_lines(), json!(12)),
        ("price-line", json!({"price": 2, "quantity": 3}), json!(6)),
        (
            "sub-flow",
            json!({"gift": 3, "lines": [{"price": 2, "quantity": 3}, {"price": 1, "quantity": 1}]}),
            json!(10),
        ),
        (
            "retry",
            json!({"shop": shop.url(""), "item": "lamp"}),
            json!({"item": "lamp", "available": true}),
        ),
        (
            "retry",
            json!({"shop": shop.url(""), "item": "nothing"}),
            json!({"item": "nothing", "available": false}),
        ),
        (
            "error-port",
            json!({"amount": 3, "rate": 4}),
            json!({"priced": {"price": 12}}),
        ),
        (
            "error-port",
            json!({"amount": 3}),
            json!({"priced": {"price": 6}}),
        ),
        (
            "error-port",
            json!({}),
            json!({"unpriced": "no price: there is nothing at $.amount"}),
        ),
        (
            "one-at-a-time",
            json!({"customer": "Ada", "seconds": 0.1}),
            json!({"customer": "Ada", "seconds": 0.1}),
        ),
        (
            "secret-header",
            json!({"shop": shop.url("")}),
            json!({"known": "[redacted]"}),
        ),
        (
            "branch-and-merge",
            order("post"),
            json!("3 x lamp, delivered some day"),
        ),
    ]
}

fn priced_order() -> Value {
    json!({
        "rates": {"lights": 0.2},
        "lines": [{"item": "lamp", "kind": "lights", "price": 10, "quantity": 2}],
    })
}

fn order_lines() -> Value {
    json!({"lines": [
        {"item": "lamp", "price": 2, "quantity": 3},
        {"item": "gift", "quantity": 1},
        {"item": "bulb", "price": 1, "quantity": 1},
        {"item": "shade", "price": 5, "quantity": 1},
    ]})
}

/// Examples that wait for somebody, and are tried with what is said to them.
const ANSWERED: [&str; 2] = ["approval", "signal"];

/// Examples that ask providers or remember, which have tests beside their applets'.
const ELSEWHERE: [&str; 9] = [
    "chat",
    "image",
    "image-artist",
    "llm",
    "llm-fallback",
    "llm-json",
    "memory",
    "memory-search",
    "writer",
];

/// Saves all examples, each under the name of its file, and gives their ids.
async fn save_all(server: &TestServer) -> Vec<String> {
    let mut saved = Vec::new();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            let flow = server
                .save(read(&std::fs::read_to_string(&path).unwrap()))
                .await;
            assert_eq!(path.file_stem().unwrap().to_str(), Some(flow.id.as_str()));
            saved.push(flow.id);
        }
    }
    saved
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_is_saved_and_runs() {
    let server = TestServer::start().await;
    let shop = HttpBin::start().await;
    for (path, body) in [
        ("/stock/lamp", r#"{"units": 5}"#),
        ("/price/lamp", r#"{"price": 9.5}"#),
        ("/account", r#"{"known": "shop-token-4711"}"#),
    ] {
        let answer = Answer::status(200).header("content-type", "application/json");
        shop.answer(path, answer.body(body));
    }
    shop.answer("/stock/nothing", Answer::status(404));
    secrets::store(&server, "shop-token", "shop-token-4711").await;
    let saved = save_all(&server).await;
    let trials = trials(&shop);
    for id in &saved {
        let tried = trials.iter().any(|trial| trial.0 == id);
        assert!(
            tried || ANSWERED.contains(&id.as_str()) || ELSEWHERE.contains(&id.as_str()),
            "{id} is not tried"
        );
    }

    let all = trials.iter().map(async |(id, input, expected)| {
        let run_id = server.start(id, input).await;
        let run = server.finished_run(&run_id).await;
        assert_eq!(run.state(), RunState::Succeeded, "{id}: {run:?}");
        assert_eq!(&wire::json(run.output.as_ref()), expected, "{id}");
    });
    futures_util::future::join_all(all).await;
}

/// Waits until a run is in this state for this reason.
async fn waits(server: &TestServer, run_id: &str, reason: WaitReason) {
    let waiting = server.run_in_state(run_id, RunState::Waiting).await;
    assert_eq!(waiting.wait_reason(), reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_of_a_signal_goes_on_when_it_comes() {
    let server = TestServer::start().await;
    save_all(&server).await;
    let run_id = server.start("signal", &json!({"parcel": 17})).await;
    waits(&server, &run_id, WaitReason::Signal).await;

    let arrived = control::a_signal(&run_id, "arrived", &json!({"by": "Ada"}));
    control::signal(&server, arrived).await.unwrap();
    let run = server.finished_run(&run_id).await;

    assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
    assert_eq!(wire::json(run.output.as_ref()), json!("thank you, Ada"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_of_an_approval_goes_on_as_it_is_decided() {
    let server = TestServer::start().await;
    save_all(&server).await;

    for (decision, expected) in [
        (ApprovalDecision::Approved, "paid by 4711, says Bob"),
        (ApprovalDecision::Rejected, "not paid"),
    ] {
        let input = json!({"amount": 36, "to": "Ada", "what": "a lamp"});
        let run_id = server.start("approval", &input).await;
        waits(&server, &run_id, WaitReason::Approval).await;
        let asked = control::asked(&server, &run_id).await.remove(0);
        assert_eq!(
            (&*asked.title, &*asked.description),
            ("Pay 36 to Ada?", "a lamp")
        );

        let request = ResolveApprovalRequest {
            values: Some(wire::fields(&json!({"cost_centre": "4711"}))),
            decided_by: "Bob".to_owned(),
            ..control::decision(&asked, decision)
        };
        control::decide(&server, request).await.unwrap();
        let run = server.finished_run(&run_id).await;

        assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
        assert_eq!(wire::json(run.output.as_ref()), json!(expected));
    }
}
