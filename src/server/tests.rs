//! The transport with the health service alone, and with parts of the tests' own behind it.

mod slow;

use std::time::Duration;

use clap::Parser;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

use super::*;
use crate::cli::{Cli, Command};
use crate::proto::GetRunRequest;
use crate::proto::run_service_client::RunServiceClient;
use slow::Slow;

fn config(flags: &[&str]) -> Config {
    let fixed = [
        "synapps",
        "serve",
        "--listen=127.0.0.1:0",
        "--database-url=unused",
    ];
    let cli = Cli::parse_from([&fixed, flags].concat());
    let Command::Serve(serve) = cli.command else {
        panic!("serve was asked for");
    };
    serve.config()
}

struct Started {
    server: Server,
    database: watch::Sender<bool>,
}

async fn start(flags: &[&str], routes: Routes) -> Started {
    let (database, follows) = watch::channel(true);
    let parts = Parts {
        routes,
        database: follows,
        drain: Drain::new(|_| async {}),
        about: About {
            schema: String::new(),
            postgres: String::new(),
        },
    };
    let server = Server::start_with(&config(flags), async |_| Ok(parts)).await;
    Started {
        server: server.unwrap(),
        database,
    }
}

async fn channel(address: SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    endpoint.connect().await.unwrap()
}

async fn health_of(channel: Channel, service: &str) -> ServingStatus {
    let service = service.to_owned();
    let request = HealthCheckRequest { service };
    let answer = HealthClient::new(channel).check(request).await.unwrap();
    answer.into_inner().status()
}

/// Waits until health says so.
async fn becomes(channel: &Channel, service: &str, wanted: ServingStatus) {
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    let mut health = HealthClient::new(channel.clone());
    let mut changes = health.watch(request).await.unwrap().into_inner();
    while changes.message().await.unwrap().unwrap().status() != wanted {}
}

#[tokio::test]
async fn health_follows_start_database_and_drain() {
    let (release, held) = tokio::sync::oneshot::channel::<()>();
    let (database, follows) = watch::channel(true);
    let mut at = config(&[]);
    // A port that is known before the start is over.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    at.listen.listen = free.local_addr().unwrap();
    let address = at.listen.listen;
    drop(free);
    let starting = tokio::spawn(async move {
        let parts = async |_| {
            held.await.unwrap();
            Ok(Parts {
                routes: Routes::default(),
                database: follows,
                drain: Drain::new(|_| async {}),
                about: About {
                    schema: String::new(),
                    postgres: String::new(),
                },
            })
        };
        Server::start_with(&at, parts).await.unwrap()
    });
    let client = loop {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        if let Ok(channel) = endpoint.connect().await {
            break channel;
        }
    };

    assert_eq!(
        health_of(client.clone(), health::LIVENESS).await,
        ServingStatus::Serving
    );
    assert_eq!(
        health_of(client.clone(), "synapps.v1.RunService").await,
        ServingStatus::NotServing
    );
    let early = RunServiceClient::new(client.clone())
        .get_run(GetRunRequest::default())
        .await;
    let early = early.unwrap_err();
    assert_eq!(early.code(), Code::Unavailable);
    assert_eq!(early.get_details_error_info().unwrap().reason, "STARTING");
    assert!(early.get_details_retry_info().is_some());

    release.send(()).unwrap();
    let server = starting.await.unwrap();
    becomes(&client, "synapps.v1.RunService", ServingStatus::Serving).await;
    becomes(&client, "", ServingStatus::Serving).await;

    database.send_replace(false);
    becomes(&client, "synapps.v1.RunService", ServingStatus::NotServing).await;
    assert_eq!(
        health_of(client.clone(), health::LIVENESS).await,
        ServingStatus::Serving
    );
    database.send_replace(true);
    becomes(&client, "synapps.v1.RunService", ServingStatus::Serving).await;

    let mut open = HealthClient::new(client.clone());
    let service = "synapps.v1.RunService".to_owned();
    let request = HealthCheckRequest { service };
    let mut changes = open.watch(request).await.unwrap().into_inner();
    server.stop().await.unwrap();
    let mut last = None;
    while let Ok(Some(change)) = changes.message().await {
        last = Some(change.status());
    }
    assert_eq!(last, Some(ServingStatus::NotServing));
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let first = start(&[], Routes::default()).await;
    let address = first.server.address().to_string();

    let mut again = config(&[]);
    again.listen.listen = first.server.address();
    let error = Server::start_with(&again, async |_| std::future::pending().await)
        .await
        .unwrap_err();

    assert!(error.to_string().contains(&address), "{error}");
    assert!(error.to_string().contains("in use"), "{error}");
    first.server.stop().await.unwrap();
}

#[tokio::test]
async fn an_unknown_method_is_unimplemented_with_a_reason() {
    let started = start(&[], Routes::default()).await;
    let client = channel(started.server.address()).await;

    let error = RunServiceClient::new(client)
        .get_run(GetRunRequest::default())
        .await
        .unwrap_err();

    assert_eq!(error.code(), Code::Unimplemented);
    let info = error.get_details_error_info().unwrap();
    assert_eq!(info.reason, "UNKNOWN_METHOD");
    assert_eq!(info.metadata["method"], "/synapps.v1.RunService/GetRun");
    started.server.stop().await.unwrap();
}

#[tokio::test]
async fn one_connection_too_many_is_closed() {
    let started = start(&["--max-connections=1"], Routes::default()).await;
    let address = started.server.address();
    let first = channel(address).await;
    assert_eq!(
        health_of(first.clone(), health::LIVENESS).await,
        ServingStatus::Serving
    );

    let mut second = TcpStream::connect(address).await.unwrap();
    let read = tokio::io::AsyncReadExt::read(&mut second, &mut [0; 1]).await;

    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    assert_eq!(
        health_of(first, health::LIVENESS).await,
        ServingStatus::Serving
    );
    drop(started.database);
    started.server.stop().await.unwrap();
}

#[tokio::test]
async fn headers_over_the_limit_do_no_harm() {
    let started = start(&["--max-header-bytes=1024"], Routes::default()).await;
    let client = channel(started.server.address()).await;
    let mut request = Request::new(HealthCheckRequest::default());
    let large = "x".repeat(4_000).parse().unwrap();
    request.metadata_mut().insert("large", large);

    let refused = HealthClient::new(client.clone()).check(request).await;

    assert!(refused.is_err());
    assert_eq!(
        health_of(client, health::LIVENESS).await,
        ServingStatus::Serving
    );
    started.server.stop().await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_decoded_or_is_too_large_gets_a_reason() {
    let started = start(&[], Routes::default()).await;
    let client = channel(started.server.address()).await;
    let path = "/grpc.health.v1.Health/Check";

    // As a message, bytes are the field 1 that the request takes for text.
    let bytes = Request::new(vec![0xff_u8, 0xfe]);
    let malformed = slow::send(client.clone(), path, bytes).await.unwrap_err();
    let text = Request::new("x".repeat(5 << 20));
    let large = slow::send(client.clone(), path, text).await.unwrap_err();

    assert_eq!(malformed.code(), Code::InvalidArgument);
    let info = malformed.get_details_error_info().unwrap();
    assert_eq!(info.reason, "MALFORMED_REQUEST");
    assert_eq!(large.code(), Code::ResourceExhausted, "{large:?}");
    let info = large.get_details_error_info().unwrap();
    assert_eq!(info.reason, "MESSAGE_TOO_LARGE");
    assert_eq!(info.metadata["limitBytes"], "4194304");
    started.server.stop().await.unwrap();
}

#[tokio::test]
async fn a_deadline_drops_the_work_and_is_answered_with_its_code() {
    let slow = Slow::default();
    let started = start(&[], Routes::new(slow.clone())).await;
    let url = format!("http://{}/test.Slow/Unary", started.server.address());
    // Not by tonic's client, which has a timer of its own and does not wait for the answer.
    let client = reqwest::Client::builder()
        .http2_prior_knowledge()
        .no_proxy();

    let answer = client
        .build()
        .unwrap()
        .post(url)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", "200m")
        .body(vec![0; 5])
        .send()
        .await
        .unwrap();

    let status = tonic::Status::from_header_map(answer.headers()).unwrap();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.reason, "DEADLINE_EXCEEDED");
    assert_eq!(info.metadata["timeoutMillis"], "200");
    slow.dropped().await;
    started.server.stop().await.unwrap();
}

#[tokio::test]
async fn a_deadline_ends_a_stream_too() {
    let slow = Slow::default();
    let started = start(&[], Routes::new(slow.clone())).await;
    let client = channel(started.server.address()).await;
    let mut request = Request::new(());
    let timeout = "200m".parse().unwrap();
    request.metadata_mut().insert("grpc-timeout", timeout);

    let status = slow::call(client, "Stream", request).await.unwrap_err();

    assert_eq!(status.code(), Code::DeadlineExceeded);
    started.server.stop().await.unwrap();
}

#[tokio::test]
async fn a_panic_costs_one_call_its_answer() {
    let slow = Slow::default();
    let started = start(&[], Routes::new(slow.clone())).await;
    let client = channel(started.server.address()).await;

    let status = slow::call(client.clone(), "Panic", Request::new(()))
        .await
        .unwrap_err();

    assert_eq!(status.code(), Code::Internal);
    assert_eq!(status.get_details_error_info().unwrap().reason, "INTERNAL");
    assert_eq!(
        health_of(client, health::LIVENESS).await,
        ServingStatus::Serving
    );
    started.server.stop().await.unwrap();
}

#[tokio::test]
async fn a_connection_that_does_not_end_is_cut() {
    let slow = Slow::default();
    let started = start(&["--drain-timeout=1s"], Routes::new(slow.clone())).await;
    let client = channel(started.server.address()).await;
    let stuck = tokio::spawn(async move { slow::call(client, "Unary", Request::new(())).await });
    slow.begun().await;

    let stopping = std::time::Instant::now();
    started.server.stop().await.unwrap();

    assert!(stopping.elapsed() < Duration::from_secs(4));
    assert!(stuck.await.unwrap().is_err());
}
