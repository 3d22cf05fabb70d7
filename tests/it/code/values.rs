//! What goes into a program and what comes out.

use serde_json::{Value, json};
use synapps::proto::RunState;

use super::{run, run_with, set_timeout};
use crate::support::flows::flow_with_ends;
use crate::support::server::TestServer;
use crate::support::wire;

/// What both languages do alike: JavaScript, Python, input, output.
fn pairs() -> Vec<(&'static str, &'static str, Value, Value)> {
    let sample = json!({
        "text": "näïve ✓ \u{1f600}", "n": 3, "half": 0.5, "yes": true, "no": null,
        "list": [1, [2, {"deep": []}]], "empty": {}, "large": 9_007_199_254_740_992_i64,
    });
    vec![
        ("result = data", "result = data", sample.clone(), sample),
        ("", "pass", json!(5), Value::Null),
        (
            "result = data.map((x) => x * 2)",
            "result = [x * 2 for x in data]",
            json!([1, 2.5, -3]),
            json!([2, 5, -6]),
        ),
        (
            "result = {big: 2n ** 64n, small: -(2n ** 3n)}",
            "result = {'big': 2 ** 64, 'small': -(2 ** 3)}",
            json!({}),
            json!({"big": "18446744073709551616", "small": -8}),
        ),
        (
            "result = [typeof require, typeof process].filter((kind) => kind !== 'undefined')",
            "import os\nresult = sorted(name for name in os.environ if not name.startswith('LC_'))",
            json!({}),
            json!([]),
        ),
        (
            "const lines = []; for (const x of data) lines.push(`${x}!`); result = lines.join()",
            "result = ','.join(f'{x}!' for x in data)",
            json!(["a", "b"]),
            json!("a!,b!"),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_is_what_the_program_makes_of_its_input() {
    let server = TestServer::start().await;

    for (javascript, python, input, expected) in pairs() {
        for (language, code) in [("javascript", javascript), ("python", python)] {
            if code.is_empty() {
                continue;
            }
            let ended = run(&server, language, code, &input).await;
            assert_eq!(ended.output(), expected, "{language}: {code}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_context_has_the_runs_input_and_other_nodes_outputs() {
    let server = TestServer::start().await;
    let of = |language: &str, code: &str| {
        flow_with_ends(&format!("context-{language}"))
            .node("first", "transform", json!({"template": "{{ content.x }}"}))
            .node("second", "transform", json!({"template": "two"}))
            .node("code", "code", json!({"language": language, "code": code}))
            .edge("start", "first")
            .edge("first", "second")
            .edge("second", "code")
            .edge("code", "end")
            .build()
    };
    let javascript = "result = [data, context.input.x, context.results.first.output, \
                      Object.keys(context.results).includes('code')]";
    let python = "result = [data, context['input']['x'], context['results']['first']['output'], \
                  'code' in context['results']]";

    for (language, code) in [("javascript", javascript), ("python", python)] {
        let ended = run_with(&server, of(language, code), &json!({"x": "one"})).await;
        assert_eq!(ended.output(), json!(["two", "one", "one", false]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_printed_is_in_the_details() {
    let server = TestServer::start().await;
    let javascript = "console.log('out', 1, {a: [2n]}); console.error('err'); result = 0";
    let python = "import sys\nprint('out', 1)\nprint('err', file=sys.stderr)\nresult = 0";

    for (language, code, stdout) in [
        ("javascript", javascript, "out 1 {\"a\":[\"2n\"]}\n"),
        ("python", python, "out 1\n"),
    ] {
        let details = run(&server, language, code, &json!(null)).await.details;

        assert_eq!(details["language"], language);
        assert_eq!(details["stdout"], stdout);
        assert_eq!(details["stderr"], "err\n");
        assert_eq!(details["exit_code"], 0);
        assert_eq!(details["stdout_truncated"], false);
        assert!(details["duration_ms"].is_u64() && details["cpu_ms"].is_u64());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_printed_at_length_is_kept_as_a_file_up_to_the_bound() {
    let server = TestServer::start().await;
    let code = "print('x' * 99_999)\nresult = 1";
    let flow =
        |most: u32| super::program("long", "python", code, &json!({"max_output_bytes": most}));

    let whole = run_with(&server, flow(200_000), &json!({})).await.details;
    let cut = run_with(&server, flow(30_000), &json!({})).await.details;

    assert_eq!(whole["stdout_file"]["size_bytes"], 100_000);
    assert_eq!(
        whole["stdout_file"]["media_type"],
        "text/plain; charset=utf-8"
    );
    assert_eq!(
        whole["stdout_truncated"], true,
        "what stands in the details is"
    );
    assert!(whole["stdout"].as_str().unwrap().len() < 30_000);
    assert_eq!(cut["stdout_file"]["size_bytes"], 30_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn javascript_runs_its_timers_and_promises_to_their_end() {
    let server = TestServer::start().await;
    let code = "
        result = [];
        setTimeout((x) => result.push(x), 20, 'later');
        setTimeout(() => result.push('soon'), 1);
        clearTimeout(setTimeout(() => result.push('never'), 5));
        (async () => { await null; result.push('promise'); })();
        result.push('first');
    ";

    let ended = run(&server, "javascript", code, &json!(null)).await;

    assert_eq!(ended.output(), json!(["first", "promise", "soon", "later"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn python_has_its_library() {
    let server = TestServer::start().await;
    let code = "
import base64, collections, csv, datetime, decimal, difflib, fractions, functools, hashlib, hmac, html, io, itertools
import json, math, operator, random, re, statistics, string, textwrap, unicodedata, urllib.parse, uuid, zlib
import xml.etree.ElementTree, zoneinfo
from dataclasses import dataclass

@dataclass
class Point:
    x: int

def later():
    return helper() + Point(1).x

def helper():
    return 41

result = [
    later(),
    hashlib.sha256(b'x').hexdigest()[:8],
    base64.b64encode(b'hi').decode(),
    datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc).isoformat(),
    statistics.mean([1, 2, 3]),
    len(str(uuid.uuid4())),
    (1, 2),
    0.1 + 0.2,
]
";

    let ended = run(&server, "python", code, &json!(null)).await;

    let expected = json!([
        42,
        "2d711642",
        "aGk=",
        "2026-01-02T00:00:00+00:00",
        2,
        36,
        [1, 2],
        0.300_000_000_000_000_04
    ]);
    assert_eq!(ended.output(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_values_go_in_and_out() {
    let server = TestServer::start().await;
    let flow = |language: &str, make: &str, measure: &str| {
        let node = |code: &str| json!({"language": language, "code": code, "cpu_time_seconds": 20});
        flow_with_ends(&format!("large-{language}"))
            .node("make", "code", node(make))
            .with(|node| set_timeout(node, 110, 0))
            .node("code", "code", node(measure))
            .with(|node| set_timeout(node, 110, 0))
            .edge("start", "make")
            .edge("make", "code")
            .edge("code", "end")
            .build()
    };
    let javascript = flow(
        "javascript",
        "result = new Array(50000).fill(null).map((_, i) => ({i, text: 'é'.repeat(30)}))",
        "result = data.length + data[49999].i",
    );
    let python = flow(
        "python",
        "result = [{'i': i, 'text': 'é' * 30} for i in range(50000)]",
        "result = len(data) + data[49999]['i']",
    );

    for flow in [javascript, python] {
        let run_id = server.save_and_start(flow, &json!(null)).await;
        let run = server.finished_run(&run_id).await;

        assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
        assert_eq!(wire::json(run.output.as_ref()), json!(99_999));
    }
}
