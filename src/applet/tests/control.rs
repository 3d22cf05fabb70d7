//! `start`, `end`, `switch`, `merge` and `delay`.

use std::time::Duration;

use chrono::Utc;
use serde_json::json;

use super::at;
use crate::applet::trial::{complete, context, context_of, output, port, run_in, wrong};
use crate::applet::{Awaited, Completion, Context, Wait, Woken};

#[tokio::test]
async fn start_outputs_the_input_or_its_default() {
    let data = json!({"default_input": {"a": 1}});

    for empty in [json!({}), json!(null)] {
        let found = output("start", data.clone(), empty).await;
        assert_eq!(found, Ok(json!({"a": 1})));
    }
    let found = output("start", data, json!({"b": 2})).await;
    assert_eq!(found, Ok(json!({"b": 2})));
    assert_eq!(output("start", json!({}), json!({})).await, Ok(json!({})));
}

#[tokio::test]
async fn end_outputs_what_reaches_it() {
    assert_eq!(output("end", json!({}), json!([1])).await, Ok(json!([1])));
}

#[tokio::test]
async fn switch_takes_the_first_case_that_is_equal() {
    let data =
        json!({"source": "{{ content }}", "cases": ["Open", 1, true, "1"], "case_sensitive": true});
    for (input, expected) in [
        (json!("Open"), "case:Open"),
        (json!("open"), "default"),
        (json!(1.0), "case:1"),
        (json!(true), "case:true"),
        (json!(null), "default"),
    ] {
        let mut data = data.clone();
        data["cases"] = json!(["Open", 1, true]);
        assert_eq!(port("switch", data, input).await.as_deref(), Some(expected));
    }
    let loose = json!({"cases": ["Open"]});
    assert_eq!(
        port("switch", loose, json!("OPEN")).await.as_deref(),
        Some("case:Open")
    );
    assert_eq!(wrong("switch", data), at("cases[3]", "DUPLICATE"));
    assert_eq!(
        wrong("switch", json!({"cases": ["a", "A"]})),
        at("cases[1]", "DUPLICATE")
    );
    assert_eq!(
        wrong("switch", json!({"cases": []})),
        at("cases", "OUT_OF_BOUNDS")
    );
    assert_eq!(
        wrong("switch", json!({"cases": ["a", null]})),
        at("cases[1]", "WRONG_TYPE")
    );
    assert_eq!(
        wrong("switch", json!({"cases": ["a".repeat(201)]})),
        at("cases[0]", "OUT_OF_BOUNDS")
    );
    let many: Vec<_> = (0..101).collect();
    assert_eq!(
        wrong("switch", json!({"cases": many})),
        at("cases", "OUT_OF_BOUNDS")
    );
}

#[tokio::test]
async fn merge_keeps_the_order_of_the_edges() {
    let inputs = [json!(["a"]), json!(null), json!({"text": "t"})];
    for (data, expected) in [
        (json!({}), json!([["a"], null, {"text": "t"}])),
        (json!({"strategy": "concatenate"}), json!("[\"a\"]\n\nt")),
        (json!({"strategy": "first_wins"}), json!(["a"])),
        (
            json!({"strategy": "object"}),
            json!({"n0": ["a"], "n1": null, "n2": {"text": "t"}}),
        ),
    ] {
        let outcome = run_in("merge", data.clone(), context_of(&inputs))
            .await
            .unwrap();

        assert_eq!(*outcome.output, expected, "{data}");
        assert_eq!(outcome.details["sources"], json!(["n0", "n1", "n2"]));
    }
    let large = vec![json!("x".repeat(9_000_000)); 2];
    let error = run_in("merge", json!({}), context_of(&large))
        .await
        .unwrap_err();
    assert_eq!(error.reason, "RENDERED_TOO_LARGE");
    let fits = run_in("merge", json!({}), context_of(&large[..1])).await;
    assert!(fits.is_ok());
}

#[tokio::test]
async fn delay_waits_once_and_outputs_its_input() {
    let begun = Utc::now();

    let completion = complete(
        "delay",
        json!({"seconds": "{{ input }}"}),
        context(json!(90.5)),
    )
    .await;

    let Ok(Completion::Wait(Wait {
        until: Some(time),
        awaited: Awaited::Time,
    })) = completion
    else {
        panic!("{completion:?}");
    };
    let waited = (time - begun).to_std().unwrap();
    assert!(waited >= Duration::from_millis(90_500) && waited < Duration::from_secs(100));
    let again = Context {
        woken: Some(Woken::Time),
        ..context(json!(90.5))
    };
    let outcome = run_in("delay", json!({"seconds": 90.5}), again)
        .await
        .unwrap();
    assert_eq!(*outcome.output, json!(90.5));
    for none in [
        json!({"seconds": 0}),
        json!({"until": "2020-01-01T00:00:00+01:00"}),
    ] {
        assert_eq!(output("delay", none, json!(1)).await, Ok(json!(1)));
    }
}

#[tokio::test]
async fn a_delay_has_bounds() {
    for (data, expected) in [
        (json!({}), at("seconds", "REQUIRED")),
        (
            json!({"seconds": 1, "until": "2030-01-01T00:00:00Z"}),
            at("until", "CONFLICT"),
        ),
        (json!({"seconds": -1}), at("seconds", "OUT_OF_BOUNDS")),
        (
            json!({"seconds": 2_592_001}),
            at("seconds", "OUT_OF_BOUNDS"),
        ),
        (json!({"seconds": 2_592_000}), Vec::new()),
        (json!({"seconds": "5"}), at("seconds", "WRONG_TYPE")),
        (json!({"until": "tomorrow"}), at("until", "INVALID_TIME")),
        (json!({"until": "{{ input.time }}"}), Vec::new()),
    ] {
        assert_eq!(wrong("delay", data.clone()), expected, "{data}");
    }
    let far = json!({"until": "{{ input }}"});
    let failed = output("delay", far.clone(), json!("2100-01-01T00:00:00Z")).await;
    assert_eq!(failed, Err("OUT_OF_BOUNDS".to_owned()));
    assert_eq!(
        output("delay", far, json!(5)).await,
        Err("INVALID_TIME".to_owned())
    );
    let nan = output("delay", json!({"seconds": "{{ input }}"}), json!(-1)).await;
    assert_eq!(nan, Err("OUT_OF_BOUNDS".to_owned()));
}
