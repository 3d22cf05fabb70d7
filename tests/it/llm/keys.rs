//! Keys go only where they may, and show nowhere.

use serde_json::{Value, json};
use synapps::proto::secret_service_client::SecretServiceClient;
use synapps::proto::{CreateFlowRequest, CreateSecretRequest, Flow};
use tonic::Status;

use super::model::ModelServer;
use super::{asked, asking, error};
use crate::support::calls::violated_fields;
use crate::support::server::TestServer;
use crate::support::wire;

/// 32 bytes that secrets are sealed with.
const SEALING_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

async fn server(usual: &ModelServer) -> TestServer {
    TestServer::builder()
        .flag(&format!("--openai-base-url={}", usual.url("/v1")))
        .flag("--openai-api-key=sk-of-the-server")
        .flag(&format!("--secrets-key={SEALING_KEY}"))
        .start()
        .await
}

async fn refused(server: &TestServer, config: Value) -> Status {
    let flow: Flow = asking("refused", &config);
    let request = CreateFlowRequest {
        flow: Some(flow),
        ..CreateFlowRequest::default()
    };
    server.flows().create_flow(request).await.unwrap_err()
}

async fn keep(server: &TestServer, name: &str, value: &str, hosts: &[&str]) {
    let request = CreateSecretRequest {
        name: name.to_owned(),
        value: value.to_owned(),
        hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        ..CreateSecretRequest::default()
    };
    let mut secrets = SecretServiceClient::new(server.channel());
    secrets.create_secret(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_key_never_goes_to_an_address_of_the_nodes() {
    let (usual, other) = (ModelServer::start().await, ModelServer::start().await);
    let server = server(&usual).await;

    for config in [
        json!({"provider": "openai", "base_url": other.url("/v1")}),
        json!({"provider": "openai", "fallback": [{"provider": "openai", "base_url": other.url("/v1")}]}),
        json!({"provider": "openai", "api_key": "sk-literal"}),
        json!({"provider": "openai", "headers": {"Authorization": "Bearer {{ secrets.key }}"}}),
        json!({"provider": "openai", "extra": {"model": "other"}}),
        json!({"provider": "openai", "system_prompt": "{{ secrets.key }}"}),
    ] {
        let status = refused(&server, config.clone()).await;
        assert_eq!(violated_fields(&status).len(), 1, "{config}: {status:?}");
    }
    // Only the run knows what a template gives.
    let config = json!({"provider": "openai", "base_url": "{{ input.url }}"});
    let config = {
        let mut config = config;
        config["api_key"] = json!("");
        config
    };
    let (run, _) = asked(&server, &config, &json!({"url": other.url("/v1")})).await;
    assert_eq!(error(run).code, "KEY_NOT_FOR_BASE_URL");
    assert_eq!((usual.seen().len(), other.seen().len()), (0, 0));

    usual.says(&["Hello"]);
    let (run, _) = asked(&server, &config, &json!({"url": usual.url("/v1/")})).await;
    assert_eq!(
        wire::json(run.output.as_ref()),
        json!("Hello"),
        "{:?}",
        run.error
    );
    assert_eq!(
        usual.seen()[0].headers["authorization"],
        "Bearer sk-of-the-server"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_out_of_a_secret_goes_where_its_flow_and_its_hosts_say() {
    let (usual, other) = (ModelServer::start().await, ModelServer::start().await);
    let server = server(&usual).await;
    keep(&server, "own", "sk-own-secret-key", &["127.0.0.1"]).await;
    keep(
        &server,
        "elsewhere",
        "sk-elsewhere-key",
        &["api.openai.com"],
    )
    .await;
    let config = |secret: &str| json!({"provider": "openai", "base_url": other.url("/v1"), "api_key": format!("{{{{ secrets.{secret} }}}}")});

    other.says(&["Your key is sk-own-", "secret-key, is it?"]);
    let (run, _) = asked(&server, &config("own"), &json!("Hi")).await;
    assert_eq!(
        wire::json(run.output.as_ref()),
        json!("Your key is [redacted], is it?")
    );
    assert_eq!(
        other.seen()[0].headers["authorization"],
        "Bearer sk-own-secret-key"
    );

    let (run, _) = asked(&server, &config("elsewhere"), &json!("Hi")).await;
    assert_eq!(error(run).code, "SECRET_NOT_FOR_HOST");
    assert_eq!(other.seen().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_repeats_the_servers_key_does_not_show_it() {
    let usual = ModelServer::start().await;
    let server = server(&usual).await;
    let config = json!({"provider": "openai"});

    usual.refuses(
        401,
        &[],
        &json!({"error": {"message": "Incorrect API key provided: sk-of-the-server"}}),
    );
    let (run, step) = asked(&server, &config, &json!("Hi")).await;
    let text = format!("{run:?} {step:?}");
    assert!(
        text.contains("[redacted]") && !text.contains("sk-of-the-server"),
        "{text}"
    );

    usual.says(&["It is sk-of-", "the-server"]);
    let (run, _) = asked(&server, &config, &json!("Hi")).await;
    assert_eq!(wire::json(run.output.as_ref()), json!("It is [redacted]"));
}
