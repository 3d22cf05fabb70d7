//! What steps do with secrets: send them where they may, and fail where they cannot.

use serde_json::{Value, json};
use synapps::proto::on_error::Action;
use synapps::proto::{ErrorPort, RunState, ValidateFlowRequest};
use tonic::Code;

use super::echo::Echo;
use super::service::{add, delete, disable, enable};
use super::{asking, create, failure, ran, store};
use crate::support::calls::{assert_error, violated_fields};
use crate::support::flows::{chain, flow_with_ends};
use crate::support::server::TestServer;
use crate::support::wire;

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_enabled_version_is_sent_and_what_comes_back_is_redacted() {
    let (server, echo) = (TestServer::start().await, Echo::start().await);
    store(&server, "token", "first-token-1").await;
    let flow = |id| {
        let data = json!({"url": echo.url("/json"), "auth_type": "bearer", "auth_value": "{{ secrets.token }}"});
        asking(id, data)
    };

    let first = ran(&server, flow("a")).await;
    add(&server, "token", "second-token-2").await.unwrap();
    ran(&server, flow("b")).await;
    disable(&server, "token", 2).await.unwrap();
    ran(&server, flow("c")).await;
    disable(&server, "token", 0).await.unwrap();
    let disabled = ran(&server, flow("d")).await;
    enable(&server, "token", 0).await.unwrap();
    ran(&server, flow("e")).await;
    delete(&server, "token").await.unwrap();
    let deleted = ran(&server, flow("f")).await;

    let seen = echo.seen();
    let sent: Vec<_> = seen
        .iter()
        .map(|request| request.contains("Bearer second-token-2"))
        .collect();
    assert_eq!(sent, [false, true, false, true]);
    assert!(seen[0].contains("Bearer first-token-1"));
    assert_eq!(first.state(), RunState::Succeeded, "{first:?}");
    let output = wire::json(first.output.as_ref());
    assert_eq!(
        output["data"]["headers"]["authorization"],
        json!("Bearer [redacted]")
    );
    assert_eq!(failure(&disabled), "SECRET_DISABLED");
    assert_eq!(failure(&deleted), "SECRET_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_comes_later_is_no_reason_to_refuse_the_flow() {
    let (server, echo) = (TestServer::start().await, Echo::start().await);
    let flow = asking(
        "early",
        json!({"url": echo.url("/json?k={{ secrets.later }}")}),
    );
    let saved = server.save(flow.clone()).await;
    let report = ValidateFlowRequest { flow: Some(flow) };
    let report = server.flows().validate_flow(report).await.unwrap();

    let run_id = server.start(&saved.id, &json!({})).await;
    let before = server.finished_run(&run_id).await;
    store(&server, "later", "now-it-is-there").await;
    let run_id = server.start(&saved.id, &json!({})).await;
    let after = server.finished_run(&run_id).await;

    assert_eq!(report.into_inner().secrets, ["later"]);
    assert_eq!(failure(&before), "SECRET_NOT_FOUND");
    assert_eq!(after.state(), RunState::Succeeded, "{after:?}");
    assert!(echo.seen()[0].contains("k=now-it-is-there"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_where_nothing_is_sent_is_refused_with_the_field() {
    let server = TestServer::start().await;

    for (kind, data, field) in [
        ("transform", json!({"source": "{{ secrets.a }}"}), "source"),
        (
            "transform",
            json!({"operation": "template", "template": "x{{ secrets.a }}"}),
            "template",
        ),
        (
            "transform",
            json!({"operation": "cel", "expression": "secrets.a"}),
            "expression",
        ),
        (
            "http_request",
            json!({"url": "http://a.example/{{ secrets.a | upper }}"}),
            "url",
        ),
    ] {
        let flow = chain("misplaced", &[("n", kind, data)]);
        let request = synapps::proto::CreateFlowRequest {
            flow: Some(flow),
            ..Default::default()
        };
        let refused = server.flows().create_flow(request).await.unwrap_err();

        assert_error(&refused, Code::InvalidArgument, "INVALID_FLOW");
        let fields = violated_fields(&refused);
        assert!(fields[0].ends_with(field), "{fields:?}");
        assert!(refused.message().contains("secrets.a"), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_with_hosts_goes_nowhere_else() {
    let server = TestServer::start().await;
    let (own, other) = (Echo::start().await, Echo::start().await);
    create(&server, "bound", "bound-secret-1", &[&own.host()])
        .await
        .unwrap();
    let ask = |id: &str, url: String, more: Value| {
        let mut data = json!({"url": url});
        data.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        asking(id, data)
    };
    let header = json!({"headers": {"X-Key": "{{ secrets.bound }}"}});
    let body = json!({"method": "PUT", "body_template": {"key": "{{ secrets.bound }}"}});
    let elsewhere = other.url("/json");
    let redirect = own.url(&format!("/redirect?to={elsewhere}"));

    let home = ran(&server, ask("home", own.url("/json"), header.clone())).await;
    let away = ran(&server, ask("away", elsewhere.clone(), header.clone())).await;
    let in_body = ran(&server, ask("in-body", redirect.clone(), body)).await;
    let in_header = ran(&server, ask("in-header", redirect, header)).await;

    assert_eq!(home.state(), RunState::Succeeded, "{home:?}");
    assert_eq!(failure(&away), "SECRET_NOT_FOR_HOST");
    assert_eq!(failure(&in_body), "SECRET_NOT_FOR_HOST");
    // A header stays behind where a redirect leads to another origin, whatever it is called.
    assert_eq!(in_header.state(), RunState::Succeeded, "{in_header:?}");
    assert_eq!(other.seen().len(), 1);
    assert!(
        !other.seen()[0].contains("bound-secret-1"),
        "{:?}",
        other.seen()
    );
    assert!(own.seen()[0].contains("bound-secret-1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_not_told_to_name_servers() {
    let server = TestServer::start().await;
    store(&server, "host", "Hidden-Host").await;

    let run = ran(
        &server,
        asking("dns", json!({"url": "http://{{ secrets.host }}.example/"})),
    )
    .await;

    assert_eq!(failure(&run), "URL_INVALID");
    assert!(!format!("{run:?}").to_lowercase().contains("hidden-host"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_that_is_passed_on_holds_no_value() {
    let (server, echo) = (TestServer::start().await, Echo::start().await);
    store(&server, "token", "passed-on-token").await;
    let data = json!({
        "url": echo.url("/status/418?q={{ secrets.token }}"), "method": "PUT",
        "body_template": {"a": "{{ secrets.token }}"},
    });
    let flow = flow_with_ends("passed")
        .node("ask", "http_request", data)
        .on_error(Action::Port(ErrorPort {}))
        .edge("start", "ask")
        .edge("ask", "end")
        .edge_from("ask", "error", "end")
        .build();

    let run = ran(&server, flow).await;

    assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
    let output = wire::json(run.output.as_ref());
    assert_eq!(output["error"]["code"], "HTTP_4XX");
    assert!(output.to_string().contains("[redacted]"), "{output}");
    assert!(!format!("{run:?}").contains("passed-on-token"));
}
