//! Bytes that are no message, messages that are too large, and methods that there are not.

use bytes::{Buf, BufMut};
use tonic::client::Grpc;
use tonic::codec::CompressionEncoding;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Request, Status};

use super::assert_unharmed;
use crate::support::calls::{Calls, assert_error, metadata};
use crate::support::server::TestServer;

/// Bytes as they are; of answers nothing is read.
#[derive(Clone, Copy, Debug, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        buffer.advance(buffer.remaining());
        Ok(Some(()))
    }
}

/// Sends bytes to a method.
async fn send(server: &Calls, path: &'static str, bytes: Vec<u8>) -> Result<(), Status> {
    let mut client = Grpc::new(server.channel());
    client.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static(path);
    client.unary(Request::new(bytes), path, Raw).await?;
    Ok(())
}

const METHODS: [&str; 4] = [
    "/synapps.v1.FlowService/CreateFlow",
    "/synapps.v1.FlowService/ValidateFlow",
    "/synapps.v1.RunService/StartRun",
    "/synapps.v1.RunService/WatchRun",
];

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_message_are_refused() {
    let server = TestServer::start().await;
    let bodies: [&[u8]; 5] = [
        // No tag at all; a length beyond the end; a wire type that there is not; text that is no UTF-8; a group.
        &[
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        ],
        &[0x0a, 0x7f, 0x01],
        &[0x0f],
        &[0x0a, 0x04, 0x0a, 0x02, 0xc3, 0x28],
        &[0x0b, 0x0b, 0x0b],
    ];

    for path in METHODS {
        for body in bodies {
            let sent = send(&server, path, body.to_vec()).await;
            let refused = sent.expect_err("it was taken");
            assert_eq!(
                refused.code(),
                Code::InvalidArgument,
                "{path} {body:?}: {refused:?}"
            );
        }
        let sent = send(&server, path, bodies[0].to_vec()).await;
        assert_error(
            &sent.unwrap_err(),
            Code::InvalidArgument,
            "MALFORMED_REQUEST",
        );
    }
    assert_unharmed(&server).await;
}

/// A start of a run whose input is `levels` lists in each other, written without recursion.
fn nested_start(levels: usize) -> Vec<u8> {
    // The tags of `Value.list_value`, `ListValue.values` and `StartRunRequest.input`.
    const LIST: u8 = 0x32;
    const ITEM: u8 = 0x0a;
    const INPUT: u8 = 0x1a;
    let wrapped = |tag: u8, inner: Vec<u8>| {
        let mut outer = vec![tag];
        prost::encoding::encode_varint(inner.len() as u64, &mut outer);
        outer.extend(inner);
        outer
    };
    let mut value = vec![0x20, 0x01];
    for _ in 0..levels {
        value = wrapped(LIST, wrapped(ITEM, value));
    }
    wrapped(INPUT, value)
}

#[tokio::test(flavor = "multi_thread")]
async fn nesting_beyond_any_stack_is_refused() {
    let server = TestServer::start().await;

    for levels in [51, 1_000, 5_000] {
        let sent = send(
            &server,
            "/synapps.v1.RunService/StartRun",
            nested_start(levels),
        )
        .await;
        let refused = sent.expect_err("it was taken");
        assert_error(&refused, Code::InvalidArgument, "MALFORMED_REQUEST");
        assert!(refused.message().contains("nest"), "{refused:?}");
    }
    assert_unharmed(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_over_four_mebibytes_is_refused_packed_or_not() {
    let server = TestServer::start().await;
    for path in METHODS {
        let refused = send(&server, path, vec![0; (4 << 20) + 1])
            .await
            .unwrap_err();
        assert_error(&refused, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
        assert_eq!(metadata(&refused, "sizeBytes"), ((4 << 20) + 1).to_string());
    }
    let mut packed = server.flows().send_compressed(CompressionEncoding::Gzip);
    let flow = synapps::proto::Flow {
        description: "x".repeat(64 << 20),
        ..synapps::proto::Flow::default()
    };
    let request = synapps::proto::CreateFlowRequest {
        flow: Some(flow),
        validate_only: true,
    };

    let refused = packed.create_flow(request).await.unwrap_err();

    assert_error(&refused, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
    assert_unharmed(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_offered_is_unimplemented() {
    let server = TestServer::start().await;
    for path in [
        "/synapps.v1.FlowService/Frobnicate",
        "/synapps.v1.ScheduleService/CreateSchedule",
        "/synapps.v9.FlowService/CreateFlow",
        "/",
    ] {
        let refused = send(&server, path, Vec::new()).await.unwrap_err();
        assert_error(&refused, Code::Unimplemented, "UNKNOWN_METHOD");
        assert_eq!(metadata(&refused, "method"), path);
    }
    assert_unharmed(&server).await;
}
