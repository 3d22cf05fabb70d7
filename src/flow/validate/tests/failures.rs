//! What nodes say about their failures, and what a flow says about its open runs.

use super::*;
use crate::flow::{OnConflict, OnError, RetryPolicy};

fn failing(id: &str, kind: &str, on_error: OnError) -> Node {
    Node {
        on_error: Some(on_error),
        ..node(id, kind)
    }
}

fn to(id: &str) -> OnError {
    OnError::Fallback(id.into())
}

fn retrying(retry: RetryPolicy) -> Draft {
    let node = Node {
        retry: Some(retry),
        ..node("a", "transform")
    };
    draft(vec![node], &[])
}

#[test]
fn a_retry_policy_has_bounds() {
    let wrong = RetryPolicy {
        max_attempts: 101,
        initial_interval: Duration::ZERO,
        coefficient: f64::NAN,
        max_interval: Duration::from_secs(86_401),
        jitter: 1.1,
        non_retryable_reasons: vec![String::new(), "x".repeat(101), "a\0".to_owned()],
        safe_on: vec!["X".to_owned(); 51],
        total_timeout: Some(Duration::from_hours(30 * 24 + 1)),
    };
    let widest = RetryPolicy {
        max_attempts: 100,
        initial_interval: Duration::from_hours(24),
        coefficient: 100.0,
        max_interval: Duration::from_nanos(1),
        jitter: 1.0,
        non_retryable_reasons: vec!["x".repeat(100)],
        safe_on: vec!["X".to_owned(); 50],
        total_timeout: Some(Duration::from_hours(30 * 24)),
    };
    let none = RetryPolicy {
        max_attempts: 0,
        coefficient: 0.9,
        jitter: -0.1,
        total_timeout: Some(Duration::ZERO),
        ..RetryPolicy::default()
    };

    assert_eq!(
        said(&retrying(wrong)),
        [
            "flow.nodes[0].retry.max_attempts OUT_OF_BOUNDS",
            "flow.nodes[0].retry.initial_interval OUT_OF_BOUNDS",
            "flow.nodes[0].retry.max_interval OUT_OF_BOUNDS",
            "flow.nodes[0].retry.coefficient OUT_OF_BOUNDS",
            "flow.nodes[0].retry.jitter OUT_OF_BOUNDS",
            "flow.nodes[0].retry.total_timeout OUT_OF_BOUNDS",
            "flow.nodes[0].retry.non_retryable_reasons[0] REQUIRED",
            "flow.nodes[0].retry.non_retryable_reasons[1] TOO_LONG",
            "flow.nodes[0].retry.non_retryable_reasons[2] NUL_CHARACTER",
            "flow.nodes[0].retry.safe_on OUT_OF_BOUNDS",
        ]
    );
    assert_eq!(
        said(&retrying(none)),
        [
            "flow.nodes[0].retry.max_attempts OUT_OF_BOUNDS",
            "flow.nodes[0].retry.coefficient OUT_OF_BOUNDS",
            "flow.nodes[0].retry.jitter OUT_OF_BOUNDS",
            "flow.nodes[0].retry.total_timeout OUT_OF_BOUNDS",
        ]
    );
    assert_eq!(said(&retrying(RetryPolicy::default())), [""; 0]);
    let valid = validate(retrying(widest), &Limits::default(), applets()).unwrap();
    let kept = valid.definition.nodes[0].retry.as_ref().unwrap();
    assert_eq!(kept.max_interval, Duration::from_millis(1));
}

#[test]
fn failures_leave_by_the_port_error_where_the_node_says_so() {
    let of = |on_error: Option<OnError>, kind: &str, edges: &[&str]| {
        let first = Node {
            on_error,
            ..node("a", kind)
        };
        said(&draft(
            vec![first, node("b", "end"), node("c", "end")],
            edges,
        ))
    };
    let port = || Some(OnError::ErrorPort);

    assert_eq!(of(port(), "transform", &["a->b", "a:error->c"]), [""; 0]);
    assert_eq!(of(port(), "transform", &["a->b"]), [""; 0]);
    assert_eq!(of(port(), "if_else", &["a:true->b", "a:error->c"]), [""; 0]);
    for (on_error, kind) in [(None, "transform"), (Some(to("c")), "if_else")] {
        assert_eq!(
            of(on_error, kind, &["a:error->b"]),
            ["flow.edges[0].source_handle UNKNOWN_HANDLE"]
        );
    }
    assert_eq!(
        of(port(), "if_else", &["a->b"]),
        ["flow.edges[0].source_handle HANDLE_REQUIRED"]
    );
}

#[test]
fn a_fallback_counts_as_reached_and_as_downstream() {
    let fallback = with_data("f", "transform", json!({"reads": "s"}));
    let after = with_data("after", "transform", json!({"reads": "a"}));
    let nodes = vec![
        node("s", "start"),
        failing("a", "transform", to("f")),
        fallback,
        after,
    ];
    let draft = draft(nodes, &["s->a", "f->after"]);

    let report = report(&draft);

    assert_eq!(report.violations, []);
    let layers: Vec<_> = report
        .layers
        .iter()
        .map(|layer| layer[0].as_str())
        .collect();
    assert_eq!(layers, ["s", "a", "f", "after"]);
}

#[test]
fn a_fallback_is_another_node_of_the_graph_and_closes_no_cycle() {
    let of = |fallback: &str, edges: &[&str]| {
        let nodes = vec![
            node("s", "start"),
            failing("a", "transform", to(fallback)),
            node("b", "transform"),
        ];
        said(&draft(nodes, edges))
    };
    let edges = ["s->a", "s->b"];

    assert_eq!(of("b", &edges), [""; 0]);
    for (fallback, reason) in [
        ("gone", "UNKNOWN_FALLBACK"),
        ("a", "SELF_LOOP"),
        ("s", "EDGE_INTO_START"),
    ] {
        let expected = format!("flow.nodes[1].on_error.fallback.node_id {reason}");
        assert_eq!(of(fallback, &edges), [expected]);
    }
    let cycle = of("b", &["s->b", "b->a"]);
    assert_eq!(cycle.len(), 1);
    assert!(cycle[0].ends_with(" CYCLE"), "{cycle:?}");
}

#[test]
fn a_cycle_that_a_fallback_closes_is_told_at_the_fallback() {
    let nodes = vec![node("a", "transform"), failing("b", "transform", to("a"))];

    assert_eq!(
        said(&draft(nodes, &["a->b"])),
        ["flow.nodes[1].on_error.fallback.node_id CYCLE"]
    );
}

#[test]
fn a_default_output_can_be_kept_and_has_one_way_out() {
    let of = |kind: &str, output: Value| {
        let node = failing("a", kind, OnError::DefaultOutput(output));
        said(&draft(vec![node], &[]))
    };

    assert_eq!(of("transform", json!({"any": [null]})), [""; 0]);
    assert_eq!(
        of("transform", json!({"a": ["x\0"]})),
        ["flow.nodes[0].on_error.default_output.a[0] NUL_CHARACTER"]
    );
    assert_eq!(
        of("if_else", json!(1)),
        ["flow.nodes[0].on_error.default_output SEVERAL_HANDLES"]
    );
}

#[test]
fn a_concurrency_key_reads_the_input_and_nothing_else() {
    let of = |max_open_runs, key: &str, on_conflict| {
        let mut draft = draft(vec![node("a", "transform")], &[]);
        draft.definition.policy = Policy {
            max_open_runs,
            concurrency_key: key.to_owned(),
            on_conflict,
            ..Policy::default()
        };
        let limit = draft.definition.policy.open_run_limit();
        (said(&draft), limit)
    };
    let fine = |limit| (Vec::new(), limit);

    assert_eq!(of(None, "", None), fine(None));
    assert_eq!(of(Some(3), "", None), fine(Some(3)));
    let key = "{{ input.user }}/{{ input.kind | lower }}";
    assert_eq!(of(None, key, Some(OnConflict::Reject)), fine(Some(1)));
    assert_eq!(of(Some(5), key, Some(OnConflict::Queue)), fine(Some(5)));
    for (runs, key, action, expected) in [
        (
            Some(1_000_001),
            "",
            None,
            "policy.max_open_runs OUT_OF_BOUNDS",
        ),
        (
            None,
            "{{ run.id }}",
            None,
            "policy.concurrency_key UNKNOWN_NAME",
        ),
        (
            None,
            "{{ input. }}",
            None,
            "policy.concurrency_key INVALID_TEMPLATE",
        ),
        (None, "a\0", None, "policy.concurrency_key NUL_CHARACTER"),
        (
            None,
            "",
            Some(OnConflict::Queue),
            "policy.max_open_runs REQUIRED",
        ),
    ] {
        assert_eq!(of(runs, key, action).0, [format!("flow.{expected}")]);
    }
    let long = of(None, &"x".repeat(1_001), None).0;
    assert_eq!(long, ["flow.policy.concurrency_key TOO_LONG"]);
}
