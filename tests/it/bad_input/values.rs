//! Numbers that JSON does not have or clients would lose, and nesting, in configs.

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use serde_json::json;
use synapps::proto::{Flow, Position};

use super::{assert_refused, assert_unharmed, refusal, told};
use crate::support::flows::chain;
use crate::support::server::TestServer;
use crate::support::wire;

fn with_source(source: Value) -> Flow {
    let mut flow = chain("f", &[("x", "transform", json!({"template": "t"}))]);
    let data = flow.nodes[2].data.get_or_insert_default();
    data.fields.insert("source".to_owned(), source);
    flow
}

pub(super) fn number(number: f64) -> Value {
    Value {
        kind: Some(Kind::NumberValue(number)),
    }
}

/// `levels` lists in each other.
pub(super) fn nested_lists(levels: usize) -> Value {
    let mut value = number(1.0);
    for _ in 0..levels {
        let values = vec![value];
        value = Value {
            kind: Some(Kind::ListValue(ListValue { values })),
        };
    }
    value
}

/// `levels` objects in each other.
pub(super) fn nested_objects(levels: usize) -> Value {
    let mut value = number(1.0);
    for _ in 0..levels {
        let fields = [("k".to_owned(), value)].into();
        value = Value {
            kind: Some(Kind::StructValue(Struct { fields })),
        };
    }
    value
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_are_none_are_refused_with_their_place() {
    let server = TestServer::start().await;
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut source = wire::value(&json!({"list": [1, 2]}));
        let Some(Kind::StructValue(object)) = &mut source.kind else {
            panic!("it is an object");
        };
        let list = ListValue {
            values: vec![number(1.0), number(bad)],
        };
        let list = Value {
            kind: Some(Kind::ListValue(list)),
        };
        object.fields.insert("list".to_owned(), list);
        let place = "flow.nodes[2].data.source.list[1]";

        assert_refused(&server, with_source(source), &[(place, "NOT_A_NUMBER")]).await;

        let mut flow = with_source(number(1.0));
        flow.nodes[1].position = Some(Position { x: bad, y: 0.0 });
        assert_refused(
            &server,
            flow,
            &[("flow.nodes[1].position", "OUT_OF_BOUNDS")],
        )
        .await;
    }
    assert_unharmed(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn integers_beyond_what_clients_can_read_are_refused() {
    let server = TestServer::start().await;
    let most = 9_007_199_254_740_992.0;

    server.save(with_source(number(-most))).await;
    for bad in [most + 2.0, -most - 2.0, 1e300] {
        let place = "flow.nodes[2].data.source";
        assert_refused(
            &server,
            with_source(number(bad)),
            &[(place, "NUMBER_OUT_OF_RANGE")],
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn configs_that_nest_too_deep_are_refused() {
    let server = TestServer::start().await;

    // The config itself is a level too.
    let kept = server
        .save(Flow {
            id: "kept".to_owned(),
            ..with_source(nested_lists(29))
        })
        .await;
    assert_eq!(
        kept.nodes[2].data.as_ref().unwrap().fields["source"],
        nested_lists(29)
    );
    for deep in [nested_lists(30), nested_objects(30), nested_lists(40)] {
        let status = refusal(&server, with_source(deep)).await;
        let told = told(&status);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].0.starts_with("flow.nodes[2].data.source"),
            "{told:?}"
        );
        assert_eq!(told[0].1, "TOO_DEEP");
    }
    // Deeper than the decoder goes.
    for deep in [nested_lists(60), nested_objects(60)] {
        let status = refusal(&server, with_source(deep)).await;
        crate::support::calls::assert_error(
            &status,
            tonic::Code::InvalidArgument,
            "MALFORMED_REQUEST",
        );
    }
    assert_unharmed(&server).await;
}
