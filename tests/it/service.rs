//! What surrounds the services: health, reflection, compression, deadlines, limits of connections.

use serde_json::json;
use synapps::proto::{ListFlowsRequest, RunState, WatchRunRequest};
use tonic::codec::CompressionEncoding;
use tonic::transport::Endpoint;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_reflection::pb::{v1, v1alpha};
use tonic_types::StatusExt;

use crate::support::calls::{Calls, assert_error, reason};
use crate::support::database::Database;
use crate::support::flows::chain;
use crate::support::proxy::Proxy;
use crate::support::server::TestServer;
use crate::support::within;

const SERVICES: [&str; 4] = [
    "synapps.v1.AppletService",
    "synapps.v1.FlowService",
    "synapps.v1.RunService",
    "synapps.v1.SecretService",
];

/// What a client wants described that uses any of it.
const SYMBOLS: [&str; 7] = [
    "synapps.v1.FlowService",
    "synapps.v1.RunService.ExecuteRun",
    "synapps.v1.Flow",
    "google.protobuf.Struct",
    "google.rpc.ErrorInfo",
    "google.rpc.BadRequest",
    "grpc.health.v1.Health",
];

async fn health(server: &Calls, service: &str) -> Result<ServingStatus, tonic::Status> {
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    let answer = server.health().check(request).await?;
    Ok(answer.into_inner().status())
}

#[tokio::test(flavor = "multi_thread")]
async fn health_follows_the_database_for_all_but_the_process() {
    let proxy = Proxy::start().await;
    let database = Database::migrated().await;
    let builder = TestServer::builder().database(&database);
    let server = builder.url(proxy.url(&database)).start().await;

    for service in SERVICES.into_iter().chain(["", "liveness"]) {
        assert_eq!(
            health(&server, service).await.unwrap(),
            ServingStatus::Serving
        );
    }
    let unknown = health(&server, "synapps.v1.Nothing").await.unwrap_err();
    assert_error(&unknown, Code::NotFound, "NOT_FOUND");

    proxy.close();
    for service in SERVICES.into_iter().chain([""]) {
        server
            .health_becomes(service, ServingStatus::NotServing)
            .await;
    }
    assert_eq!(
        health(&server, "liveness").await.unwrap(),
        ServingStatus::Serving
    );
    let mut flows = server.flows();
    let refused = flows.list_flows(ListFlowsRequest::default());
    let refused = within("an answer", refused).await.unwrap_err();
    assert_error(&refused, Code::Unavailable, "DATABASE_UNAVAILABLE");
    assert!(refused.get_details_retry_info().is_some());

    proxy.open();
    for service in SERVICES.into_iter().chain([""]) {
        server.health_becomes(service, ServingStatus::Serving).await;
    }
    let listed = server.flows().list_flows(ListFlowsRequest::default()).await;
    listed.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_lists_the_services_and_describes_all_messages() {
    use v1::server_reflection_request::MessageRequest;
    use v1::server_reflection_response::MessageResponse;
    let server = TestServer::start().await;
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(server.channel());
    let ask = |what| v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(what),
    };
    let mut requests = vec![ask(MessageRequest::ListServices(String::new()))];
    for symbol in SYMBOLS {
        requests.push(ask(MessageRequest::FileContainingSymbol(symbol.to_owned())));
    }

    let answers = client
        .server_reflection_info(tokio_stream::iter(requests))
        .await;
    let mut answers = answers.unwrap().into_inner();

    let first = answers.message().await.unwrap().unwrap().message_response;
    let Some(MessageResponse::ListServicesResponse(list)) = first else {
        panic!("{first:?}");
    };
    let names: Vec<String> = list.service.into_iter().map(|one| one.name).collect();
    for service in SERVICES {
        assert!(names.contains(&service.to_owned()), "{names:?}");
    }
    for symbol in SYMBOLS {
        let answer = answers.message().await.unwrap().unwrap().message_response;
        let described = matches!(answer, Some(MessageResponse::FileDescriptorResponse(_)));
        assert!(described, "{symbol}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn older_tools_get_the_same_by_the_alpha_of_reflection() {
    use v1alpha::server_reflection_request::MessageRequest;
    use v1alpha::server_reflection_response::MessageResponse;
    let server = TestServer::start().await;
    let mut client =
        v1alpha::server_reflection_client::ServerReflectionClient::new(server.channel());
    let ask = |what| v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(what),
    };
    let mut requests = vec![ask(MessageRequest::ListServices(String::new()))];
    for symbol in SYMBOLS {
        requests.push(ask(MessageRequest::FileContainingSymbol(symbol.to_owned())));
    }

    let answers = client
        .server_reflection_info(tokio_stream::iter(requests))
        .await;
    let mut answers = answers.unwrap().into_inner();

    let first = answers.message().await.unwrap().unwrap().message_response;
    let Some(MessageResponse::ListServicesResponse(list)) = first else {
        panic!("{first:?}");
    };
    let names: Vec<String> = list.service.into_iter().map(|one| one.name).collect();
    for service in SERVICES {
        assert!(names.contains(&service.to_owned()), "{names:?}");
    }
    for symbol in SYMBOLS {
        let answer = answers.message().await.unwrap().unwrap().message_response;
        let described = matches!(answer, Some(MessageResponse::FileDescriptorResponse(_)));
        assert!(described, "{symbol}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_answers_may_be_packed() {
    let server = TestServer::start().await;
    let mut flow = chain("packed", &[]);
    flow.description = "x".repeat(4_000);
    let mut client = server
        .flows()
        .send_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Gzip);
    let request = synapps::proto::CreateFlowRequest {
        flow: Some(flow.clone()),
        validate_only: false,
    };

    let answer = client.create_flow(request).await.unwrap();

    let encoding = answer.metadata().get("grpc-encoding");
    assert_eq!(encoding.map(|one| one.to_str().unwrap()), Some("gzip"));
    assert_eq!(
        answer.into_inner().flow.unwrap().description,
        flow.description
    );
    let plain = server.flows().list_flows(ListFlowsRequest::default()).await;
    assert!(plain.unwrap().metadata().get("grpc-encoding").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_at_the_deadline_of_its_caller() {
    let server = TestServer::start().await;
    let flow = chain("f", &[("wait", "delay", json!({"seconds": 3600}))]);
    let run_id = server.save_and_start(flow, &json!({})).await;
    server.run_in_state(&run_id, RunState::Waiting).await;
    let mut request = Request::new(WatchRunRequest {
        run_id: run_id.clone(),
        ..WatchRunRequest::default()
    });
    // The client's own timer, which does not wait for the server's word, is only for the beginning of the answer.
    request
        .metadata_mut()
        .insert("grpc-timeout", "500m".parse().unwrap());

    let mut watch = server.runs().watch_run(request).await.unwrap().into_inner();
    let end = async {
        loop {
            match watch.message().await {
                Ok(message) => assert!(message.is_some(), "it ended without a word"),
                Err(status) => return status,
            }
        }
    };
    let status = within("the deadline", end).await;

    assert_error(&status, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    let run = server.get(&run_id).await;
    assert_eq!(
        run.state(),
        RunState::Waiting,
        "the end of a watch ends nothing else"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_waits_for_the_database_ends_at_its_deadline() {
    let proxy = Proxy::start().await;
    let database = Database::migrated().await;
    let builder = TestServer::builder().database(&database);
    let server = builder.url(proxy.url(&database)).start().await;
    // Not by tonic's client, which has a timer of its own and does not wait for the answer.
    let client = reqwest::Client::builder()
        .http2_prior_knowledge()
        .no_proxy();
    let client = client.build().unwrap();
    let url = format!(
        "http://{}/synapps.v1.FlowService/ListFlows",
        server.address()
    );
    proxy.silence();

    let call = client
        .post(url)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", "300m")
        .body(vec![0; 5])
        .send();
    let answer = within("the deadline", call).await.unwrap();

    let status = tonic::Status::from_header_map(answer.headers()).unwrap();
    assert_error(&status, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    proxy.open();
    server.health_becomes("", ServingStatus::Serving).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_too_many_is_turned_away_and_the_others_stay() {
    let server = TestServer::builder()
        .flag("--max-connections=2")
        .start()
        .await;
    let url = format!("http://{}", server.address());
    let endpoint = Endpoint::from_shared(url).unwrap();
    // The first is that of the calls.
    assert_eq!(health(&server, "").await.unwrap(), ServingStatus::Serving);
    let second = endpoint.connect().await.unwrap();
    let mut second = tonic_health::pb::health_client::HealthClient::new(second);
    second.check(HealthCheckRequest::default()).await.unwrap();

    let third = async {
        let mut third =
            tonic_health::pb::health_client::HealthClient::new(endpoint.connect().await?);
        third.check(HealthCheckRequest::default()).await?;
        Ok::<_, Box<dyn std::error::Error>>(())
    };
    let third = within("an end of the third", third).await;

    assert!(third.is_err());
    second.check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(health(&server, "").await.unwrap(), ServingStatus::Serving);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_over_the_limit_cost_one_call_only() {
    let server = TestServer::start().await;
    let mut request = Request::new(ListFlowsRequest::default());
    let large = "x".repeat(64 << 10).parse().unwrap();
    request.metadata_mut().insert("large", large);

    let refused = server.flows().list_flows(request).await.unwrap_err();

    assert_ne!(refused.code(), Code::Ok, "{}", reason(&refused));
    let fine = server.flows().list_flows(ListFlowsRequest::default()).await;
    fine.unwrap();
}
