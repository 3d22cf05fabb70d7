//! `ListApprovals` and `ResolveApproval`: who is asked, who decides, and that nobody decides twice.

use serde_json::{Value, json};
use synapps::proto::{
    Approval, ApprovalDecision, Flow, ListApprovalsRequest, ResolveApprovalRequest, RunState,
    WaitReason,
};
use tonic::Code;

use super::{asked, decide, decision, pause, times};
use crate::support::binary::Binary;
use crate::support::calls::{
    Calls, assert_error, assert_gapless, metadata, reason, violated_fields,
};
use crate::support::database::Database;
use crate::support::flows::{FlowBuilder, flow_with_ends};
use crate::support::server::TestServer;
use crate::support::wire;

use ApprovalDecision::{Approved, Rejected};

/// Asks, and ends with the decision whatever it is.
fn asking(id: &str, config: &Value) -> Flow {
    let flow = flow_with_ends(id)
        .node("ask", "approval", config.clone())
        .edge("start", "ask");
    let ports = ["approved", "rejected", "expired"];
    let to_end = |flow: FlowBuilder, port| flow.edge_from("ask", port, "end");
    ports.into_iter().fold(flow, to_end).build()
}

fn refund() -> Value {
    json!({
        "title": "Refund {{ input.amount }}?",
        "description": "For {{ input.who }}",
        "form_schema": { "type": "object", "properties": { "why": { "type": "string" } }, "required": ["why"] },
    })
}

async fn pending(server: &Calls, run_id: &str) -> Approval {
    server.run_in_state(run_id, RunState::Waiting).await;
    let mut asked = asked(server, run_id).await;
    assert_eq!(asked.len(), 1, "{asked:?}");
    asked.remove(0)
}

fn with(values: &Value, request: ResolveApprovalRequest) -> ResolveApprovalRequest {
    ResolveApprovalRequest {
        values: Some(wire::fields(values)),
        comment: "as agreed".to_owned(),
        ..request
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_is_listed_and_the_decision_goes_on_with_its_values() {
    let server = TestServer::start().await;
    server.save(asking("refund", &refund())).await;
    for what in [Approved, Rejected] {
        let input = json!({ "amount": 36, "who": "Ann" });
        let run_id = server.start("refund", &input).await;

        let approval = pending(&server, &run_id).await;
        assert_eq!(approval.flow_id, "refund");
        assert_eq!((&*approval.step_path, &*approval.node_id), ("ask", "ask"));
        assert_eq!(approval.attempt, 1);
        assert_eq!(approval.title, "Refund 36?");
        assert_eq!(approval.description, "For Ann");
        assert!(approval.form_schema.is_some() && approval.request_time.is_some());
        assert!(approval.expire_time.is_none());
        let run = server.get(&run_id).await;
        assert_eq!(run.wait_reason(), WaitReason::Approval);
        let values = json!({ "why": "late", "n": 1 });
        decide(&server, with(&values, decision(&approval, what)))
            .await
            .unwrap();

        let run = server.finished_run(&run_id).await;
        assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
        let name = what.as_str_name().trim_start_matches("APPROVAL_DECISION_");
        assert_eq!(
            wire::json(run.output.as_ref()),
            json!({
                "decision": name, "values": values, "comment": "as agreed", "decided_by": "ann@example.org", "input": input,
            })
        );
        assert!(asked(&server, &run_id).await.is_empty());
        let events = server.events_after(&run_id, 0).await;
        assert_gapless(&events);
        assert_eq!(times(&events, "approval_resolved ask"), 1);
        // Once is enough.
        let error = decide(&server, decision(&approval, Approved))
            .await
            .unwrap_err();
        assert_error(&error, Code::FailedPrecondition, "APPROVAL_DECIDED");
        assert_eq!(metadata(&error, "decision"), name);
        assert_eq!(metadata(&error, "decidedBy"), "ann@example.org");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_decisions_at_the_same_time_exactly_one_is_accepted() {
    let database = Database::migrated().await;
    let one = TestServer::builder().database(&database).start().await;
    let other = TestServer::builder().database(&database).start().await;
    one.save(asking("flow", &json!({ "title": "Go?" }))).await;
    for _ in 0..5 {
        let run_id = one.start("flow", &json!({})).await;
        let approval = pending(&one, &run_id).await;
        let calls = (0..6).map(|at| {
            let request = ResolveApprovalRequest {
                decided_by: at.to_string(),
                ..decision(&approval, if at % 2 == 0 { Approved } else { Rejected })
            };
            let server = if at % 3 == 0 { &one } else { &other };
            async move { (at, decide(server, request).await) }
        });

        let answers = futures_util::future::join_all(calls).await;

        let mut accepted = Vec::new();
        let mut said = Vec::new();
        for (at, answer) in answers {
            match answer {
                Ok(_) => accepted.push(at.to_string()),
                Err(error) => {
                    assert_error(&error, Code::FailedPrecondition, "APPROVAL_DECIDED");
                    said.push(metadata(&error, "decidedBy"));
                }
            }
        }
        assert_eq!(accepted.len(), 1);
        assert!(said.iter().all(|by| *by == accepted[0]), "{said:?}");
        let run = one.finished_run(&run_id).await;
        let output = wire::json(run.output.as_ref());
        assert_eq!(output["decided_by"], json!(accepted[0]));
        let events = one.events_after(&run_id, 0).await;
        assert_eq!(times(&events, "approval_resolved ask"), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_that_nobody_gives_expires_or_decides_itself() {
    let server = TestServer::start().await;
    let cases = [
        (
            "none",
            json!({ "title": "Go?", "expires_in": 1 }),
            "EXPIRED",
        ),
        (
            "default",
            json!({ "title": "Go?", "expires_in": 1, "default_decision": "approved" }),
            "APPROVED",
        ),
    ];
    for (id, config, outcome) in cases {
        let run_id = server.save_and_start(asking(id, &config), &json!({})).await;

        let run = server.finished_run(&run_id).await;

        assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
        let output = wire::json(run.output.as_ref());
        assert_eq!(output["decision"], json!(outcome));
        assert!(asked(&server, "").await.is_empty());
        let events = server.events_after(&run_id, 0).await;
        assert_eq!(times(&events, "step_expired ask"), 1);
        let late = ResolveApprovalRequest {
            run_id,
            step_path: "ask".to_owned(),
            etag: "4".to_owned(),
            decision: Approved.into(),
            decided_by: "somebody".to_owned(),
            ..ResolveApprovalRequest::default()
        };
        let error = decide(&server, late).await.unwrap_err();
        assert_error(&error, Code::FailedPrecondition, "APPROVAL_DECIDED");
        assert_eq!(metadata(&error, "decision"), "EXPIRED");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_that_was_acknowledged_wins_over_the_expiry() {
    let server = TestServer::start().await;
    let other = TestServer::builder()
        .database(server.database())
        .start()
        .await;
    server
        .save(asking("flow", &json!({ "title": "Go?", "expires_in": 1 })))
        .await;
    let runs = futures_util::future::join_all((0..20).map(|_| async {
        let run_id = server.start("flow", &json!({})).await;
        let waits = |event: &synapps::proto::RunEvent| event.node_id == "ask";
        server.event_once(&run_id, 0, waits).await;
        run_id
    }))
    .await;
    let deciding = runs.iter().enumerate().map(|(at, run_id)| {
        let on: &Calls = if at % 4 == 0 { &other } else { &server };
        async move {
            let found = asked(on, run_id).await.pop();
            // The race is moved over the moment when the wait ends.
            tokio::time::sleep(std::time::Duration::from_millis(850 + 15 * at as u64)).await;
            let answer = match found {
                Some(approval) => decide(on, decision(&approval, Approved)).await.map(drop),
                None => return (run_id, false),
            };
            match answer {
                Ok(()) => (run_id, true),
                Err(error) => {
                    assert_eq!(reason(&error), "APPROVAL_DECIDED", "{error:?}");
                    assert_eq!(metadata(&error, "decision"), "EXPIRED");
                    (run_id, false)
                }
            }
        }
    });

    let outcomes = futures_util::future::join_all(deciding).await;

    for (run_id, accepted) in outcomes {
        let run = server.finished_run(run_id).await;
        let output = wire::json(run.output.as_ref());
        let wanted = if accepted { "APPROVED" } else { "EXPIRED" };
        assert_eq!(output["decision"], json!(wanted), "{run:?}");
    }
    assert!(asked(&server, "").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_the_question_is_refused() {
    let server = TestServer::start().await;
    let run_id = server
        .save_and_start(asking("refund", &refund()), &json!({}))
        .await;
    let approval = pending(&server, &run_id).await;
    let fine = with(&json!({ "why": "x" }), decision(&approval, Approved));

    let misfit = with(&json!({ "why": 1 }), decision(&approval, Rejected));
    let error = decide(&server, misfit).await.unwrap_err();
    assert_error(&error, Code::InvalidArgument, "INVALID_VALUES");
    assert_eq!(violated_fields(&error), ["values.why"]);
    let error = decide(&server, decision(&approval, Approved)).await;
    assert_error(&error.unwrap_err(), Code::InvalidArgument, "INVALID_VALUES");
    let older = ResolveApprovalRequest {
        etag: "1".to_owned(),
        ..fine.clone()
    };
    let error = decide(&server, older).await.unwrap_err();
    assert_error(&error, Code::Aborted, "ETAG_MISMATCH");
    assert_eq!(metadata(&error, "etag"), approval.etag);
    let elsewhere = ResolveApprovalRequest {
        step_path: "start".to_owned(),
        ..fine.clone()
    };
    let error = decide(&server, elsewhere).await.unwrap_err();
    assert_error(&error, Code::NotFound, "APPROVAL_NOT_FOUND");
    let nobodys = ResolveApprovalRequest {
        run_id: uuid::Uuid::now_v7().to_string(),
        ..fine.clone()
    };
    let error = decide(&server, nobodys).await.unwrap_err();
    assert_error(&error, Code::NotFound, "RUN_NOT_FOUND");
    let large = with(&json!({ "why": "x".repeat(33_000) }), fine.clone());
    let nothing = ResolveApprovalRequest {
        run_id: "x".to_owned(),
        decided_by: "y".repeat(201),
        ..ResolveApprovalRequest::default()
    };
    let fields = ["run_id", "step_path", "etag", "decision", "decided_by"];
    for (request, fields) in [(large, &["values"][..]), (nothing, &fields[..])] {
        let error = decide(&server, request).await.unwrap_err();
        assert_error(&error, Code::InvalidArgument, "INVALID_REQUEST");
        assert_eq!(violated_fields(&error), fields);
    }

    decide(&server, fine).await.unwrap();
    let run = server.finished_run(&run_id).await;
    assert_eq!(run.state(), RunState::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_has_pages_oldest_first_and_forgets_what_has_ended() {
    let server = TestServer::start().await;
    server
        .save(asking("one", &json!({ "title": "One?" })))
        .await;
    server
        .save(asking("two", &json!({ "title": "Two?" })))
        .await;
    let mut runs = Vec::new();
    for flow in ["one", "two", "one", "one", "two"] {
        let run_id = server.start(flow, &json!({})).await;
        pending(&server, &run_id).await;
        runs.push(run_id);
    }

    let mut request = ListApprovalsRequest {
        flow_id: "one".to_owned(),
        page_size: 2,
        ..ListApprovalsRequest::default()
    };
    let mut pages = Vec::new();
    loop {
        let page = server.runs().list_approvals(request.clone()).await.unwrap();
        let page = page.into_inner();
        pages.push(
            page.approvals
                .into_iter()
                .map(|one| one.run_id)
                .collect::<Vec<_>>(),
        );
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(
        pages,
        [
            vec![runs[0].clone(), runs[2].clone()],
            vec![runs[3].clone()]
        ]
    );
    let all: Vec<_> = asked(&server, "")
        .await
        .into_iter()
        .map(|one| one.run_id)
        .collect();
    assert_eq!(all, runs);
    // Paused or not, somebody may decide; what is cancelled asks nothing any more.
    pause(&server, &runs[1], "").await.unwrap();
    assert_eq!(asked(&server, &runs[1]).await.len(), 1);
    for run_id in &runs {
        server.cancel(run_id).await.unwrap();
        server.finished_run(run_id).await;
    }
    assert!(asked(&server, "").await.is_empty());
    let rows = "SELECT count(*) FROM approvals";
    let rows: i64 = server
        .sql()
        .await
        .query_one(rows, &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(rows, 0);
    let unknown = ListApprovalsRequest {
        flow_id: "nobody".to_owned(),
        ..ListApprovalsRequest::default()
    };
    let empty = server.runs().list_approvals(unknown).await.unwrap();
    assert!(empty.into_inner().approvals.is_empty());
    request.flow_id = "two".to_owned();
    request.page_token = "x".to_owned();
    let error = server.runs().list_approvals(request).await.unwrap_err();
    assert_error(&error, Code::InvalidArgument, "INVALID_PAGE_TOKEN");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_outlasts_a_kill_and_may_be_given_while_nobody_is_there() {
    let database = Database::migrated().await;
    let mut binary = Binary::start_on(&database, &[]).await;
    let flow = asking("flow", &json!({ "title": "Go?" }));
    let run_id = binary.save_and_start(flow, &json!({})).await;
    pending(&binary, &run_id).await;

    binary.kill().await;
    let other = TestServer::builder().database(&database).start().await;
    let approval = asked(&other, &run_id).await.remove(0);
    decide(&other, decision(&approval, Rejected)).await.unwrap();

    let run = other.finished_run(&run_id).await;
    assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
    assert_eq!(
        wire::json(run.output.as_ref())["decision"],
        json!("REJECTED")
    );
}
