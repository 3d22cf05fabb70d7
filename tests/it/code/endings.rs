//! How programs fail, and what is told then.

use serde_json::json;
use synapps::proto::ValidateFlowRequest;

use super::{program, run, run_with, set_timeout};
use crate::support::server::TestServer;

#[tokio::test(flavor = "multi_thread")]
async fn an_exception_has_its_type_message_line_and_stack() {
    let server = TestServer::start().await;
    let javascript = "console.log('before');\nfunction f() {\n  null.x;\n}\nf();";
    let python = "print('before')\ndef f():\n  return data['x']\nf()";

    for (language, code, kind) in [
        ("javascript", javascript, "TypeError"),
        ("python", python, "KeyError"),
    ] {
        let ended = run(&server, language, code, &json!({})).await;

        assert_eq!(ended.reason, "CODE_FAILED", "{ended:?}");
        assert!(ended.message.contains(kind), "{ended:?}");
        assert!(ended.message.contains("line 3"), "{ended:?}");
        let exception = &ended.details["exception"];
        assert_eq!(exception["type"], kind);
        assert_eq!(exception["line"], 3);
        assert!(
            exception["stack"].as_str().unwrap().contains("<code>"),
            "{exception}"
        );
        assert!(
            !exception["stack"].as_str().unwrap().contains("bootstrap"),
            "{exception}"
        );
        assert_eq!(ended.details["stdout"], "before\n");
        assert_eq!(ended.details["exit_code"], 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_is_none_is_told_with_its_line() {
    let server = TestServer::start().await;

    for (language, code) in [
        ("javascript", "const a = 1;\n\nconst = 5;"),
        ("python", "a = 1\n\ndef = 5"),
    ] {
        let ended = run(&server, language, code, &json!({})).await;

        assert_eq!(ended.reason, "CODE_SYNTAX", "{ended:?}");
        assert_eq!(ended.details["exception"]["line"], 3, "{ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_keeps_what_was_printed() {
    let server = TestServer::start().await;

    for (language, code) in [
        (
            "javascript",
            "console.log('so far'); setTimeout(() => {}, 100000)",
        ),
        ("python", "import time\nprint('so far')\ntime.sleep(100)"),
    ] {
        // Long enough for a process to be started on a busy machine.
        let mut flow = program("slow", language, code, &json!({}));
        let node = flow.nodes.iter_mut().find(|node| node.id == "code");
        set_timeout(node.unwrap(), 3, 0);
        let ended = run_with(&server, flow, &json!({})).await;

        assert_eq!(ended.reason, "TIMEOUT", "{ended:?}");
        assert_eq!(ended.details["stdout"], "so far\n", "{ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_those_of_the_node() {
    let server = TestServer::start().await;
    let hoard = "hoard = bytearray(150_000_000)\nresult = len(hoard)";
    let spend = "import time\nbegun = time.process_time()\n\
                 while time.process_time() < begun + 1.6:\n    pass\nresult = 'done'";

    let small = program("small", "python", hoard, &json!({"memory_limit_mb": 64}));
    let large = program("large", "python", hoard, &json!({"memory_limit_mb": 512}));
    let short = program("short", "python", spend, &json!({"cpu_time_seconds": 1}));
    let long = program("long", "python", spend, &json!({"cpu_time_seconds": 10}));

    let small = run_with(&server, small, &json!({})).await;
    assert_eq!(small.reason, "CODE_MEMORY_EXCEEDED", "{small:?}");
    let large = run_with(&server, large, &json!({})).await;
    assert_eq!(large.output(), json!(150_000_000));
    let short = run_with(&server, short, &json!({})).await;
    assert_eq!(short.reason, "CODE_CPU_EXCEEDED", "{short:?}");
    let long = run_with(&server, long, &json!({})).await;
    assert_eq!(long.output(), json!("done"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exit_that_is_asked_for_is_no_failure_unless_it_says_so() {
    let server = TestServer::start().await;

    let good = run(
        &server,
        "python",
        "import sys\nresult = 1\nsys.exit()",
        &json!({}),
    )
    .await;
    let bad = run(&server, "python", "import sys\nsys.exit(3)", &json!({})).await;

    assert_eq!(good.output(), json!(1));
    assert_eq!(bad.reason, "CODE_FAILED");
    assert_eq!(bad.details["exit_code"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn configs_are_checked_when_they_are_saved() {
    let server = TestServer::start().await;
    let long = "x".repeat(200_001);

    for (data, expected) in [
        (json!({"code": " \n"}), vec!["code"]),
        (json!({"code": long}), vec!["code"]),
        (json!({"code": "1", "language": "ruby"}), vec!["language"]),
        (
            json!({"code": "1", "cpu_time_seconds": 61, "memory_limit_mb": 63, "max_output_bytes": 1023}),
            vec!["cpu_time_seconds", "memory_limit_mb", "max_output_bytes"],
        ),
        (
            json!({"code": "1", "timeout_seconds": 5}),
            vec!["timeout_seconds"],
        ),
        (
            json!({"code": "{{ not a template", "language": "javascript"}),
            vec![],
        ),
    ] {
        let flow = crate::support::flows::chain("checked", &[("code", "code", data.clone())]);
        let request = ValidateFlowRequest { flow: Some(flow) };
        let answer = server.flows().validate_flow(request).await.unwrap();
        let violations = answer.into_inner().violations;

        let fields: Vec<_> = violations
            .iter()
            .map(|violation| violation.field.rsplit('.').next().unwrap_or_default())
            .collect();
        assert_eq!(fields, expected, "{data}: {violations:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_is_switched_off_or_has_no_interpreter_says_so() {
    let off = TestServer::builder()
        .flag("--code-sandbox=off")
        .start()
        .await;
    let bare = TestServer::builder()
        .flag("--python=/nowhere/python3")
        .start()
        .await;

    let switched_off = run(&off, "javascript", "result = 1", &json!({})).await;
    let missing = run(&bare, "python", "result = 1", &json!({})).await;
    let present = run(&bare, "javascript", "result = 1", &json!({})).await;

    assert_eq!(switched_off.reason, "SANDBOX_UNAVAILABLE");
    assert_eq!(missing.reason, "RUNTIME_NOT_FOUND");
    assert!(missing.message.contains("/nowhere/python3"), "{missing:?}");
    assert_eq!(present.output(), json!(1));
}
