//! Tests of CEL.

use serde_json::json;

use super::*;
use crate::template::tests::scope;

fn evaluate(text: &str) -> Result<Value, Error> {
    Program::parse(text, &["source"])?.evaluate(&scope())
}

#[test]
fn names_and_operators_work() {
    for (text, expected) in [
        ("input.n + 1", json!(4)),
        ("input.n > 2 && input.flag", json!(true)),
        ("input.half * 2.0", json!(1)),
        ("input.n > input.half", json!(true)),
        ("content.map(x, x * 10)", json!([10, 20])),
        ("content.filter(x, x > 1)", json!([2])),
        ("content.exists(x, x == 2)", json!(true)),
        ("content.all(x, x > 0)", json!(true)),
        ("content.exists_one(x, x == 2)", json!(true)),
        ("has(input.gone)", json!(false)),
        ("has(input.user.name)", json!(true)),
        ("size(input.user.tags)", json!(2)),
        ("results['fetch-1'].output['items'][0].sku", json!("A1")),
        ("{'a': [input.n], 'b': null}", json!({"a": [3], "b": null})),
        ("input.user.name + '!'", json!("Ada!")),
        (
            "content.map(x, content.map(y, x * y))",
            json!([[1, 2], [2, 4]]),
        ),
        ("type(input.n) == int", json!(true)),
        ("input.user.name.startsWith('A')", json!(true)),
        ("source", json!("src")),
        ("index", json!(4)),
        ("node.id", json!("here")),
        ("[1, 2].map(x, x > 1, x + 1)", json!([3])),
    ] {
        assert_eq!(evaluate(text), Ok(expected), "{text}");
    }
}

#[test]
fn reads_are_known() {
    let reads = |text| Program::parse(text, &[]).unwrap().reads().clone();

    let read = reads("results.a.output + results['b-c'].output");
    assert_eq!(read.nodes.len(), 2);
    assert!(!read.all_nodes);
    assert!(reads("results.map(x, x)").all_nodes);
    assert!(reads("[1].map(results, results.a)").nodes.is_empty());
    assert_eq!(reads("secrets.key").secrets.len(), 1);
    assert!(matches!(Program::parse("nope", &[]), Err(Error::Name(_))));
}

#[test]
fn what_is_missing_or_wrong_fails() {
    for text in [
        "input.gone",
        "input.n + 'x'",
        "results.nobody.output",
        "1 / 0",
        "content[9]",
        "size",
    ] {
        assert!(evaluate(text).is_err(), "{text}");
    }
    assert!(matches!(evaluate("1 +"), Err(Error::Syntax { .. })));
    assert!(matches!(evaluate("1.0 / 0.0"), Err(Error::Failed { .. })));
}

#[test]
fn macros_nest_twice_at_most() {
    assert!(evaluate("[1].map(a, [1].map(b, [1].map(c, c)))").is_err());
    assert!(evaluate("[1].map(a, [1].map(b, b)).map(c, c)").is_ok());
}

fn with_list(length: usize, text: &str) -> Result<Value, Error> {
    let mut scope = scope();
    scope.content = Arc::new(json!(vec![1; length]));
    Program::parse(text, &[])?.evaluate(&scope)
}

#[test]
fn macros_go_over_so_many_items_in_all() {
    assert!(with_list(10_000, "content.all(x, x > 0)").is_ok());
    assert!(matches!(
        with_list(10_001, "content.all(x, x > 0)"),
        Err(Error::TooExpensive { .. })
    ));
    assert!(with_list(99, "content.all(x, content.all(y, y > 0))").is_ok());
    assert!(matches!(
        with_list(100, "content.all(x, content.all(y, y > 0))"),
        Err(Error::TooExpensive { .. })
    ));
    assert!(
        with_list(
            1_000,
            "true || content.exists(x, content.exists(y, content[0] == 2))"
        )
        .is_ok()
    );
    assert!(matches!(
        with_list(
            1_000,
            "content.exists(x, content.exists(y, y == 2)) || true"
        ),
        Err(Error::TooExpensive { .. })
    ));
}

#[test]
fn copies_are_bounded() {
    let mut scope = scope();
    scope.input = Arc::new(json!("x".repeat(1_000_000)));
    scope.content = Arc::new(json!(vec![1; 1_000]));
    for text in [
        "input + ".repeat(40) + "input",
        "content.map(x, input)".to_owned(),
        "content.map(x, {'a': input + 'y'})".to_owned(),
        format!("[{}]", vec!["input"; 150].join(",")),
    ] {
        let program = Program::parse(&text, &[]).unwrap();
        let result = limits::on_large_stack(|| program.evaluate(&scope)).unwrap();

        assert!(matches!(result, Err(Error::TooExpensive { .. })), "{text}");
    }
}

/// Compiling happens on ordinary threads, evaluating on those of `Cpu`.
#[test]
fn hostile_expressions_do_not_overflow_the_stack() {
    let repeat = |piece: &str| piece.repeat(1_900 / piece.len());
    let hostile = [
        format!("{}1{}", "(".repeat(16), ")".repeat(16)),
        format!("{}1{}", "[".repeat(16), "]".repeat(16)),
        format!("{}1{}", "{'a':".repeat(16), "}".repeat(16)),
        repeat("1+") + "1",
        repeat("1-") + "1",
        repeat("true||") + "true",
        repeat("true?1:") + "1",
        repeat("!") + "true",
        repeat("-") + "1",
        format!("input{}", repeat(".a")),
        format!("input{}", repeat("[0]")),
        format!("input{}", repeat(".size()")),
        repeat("1<") + "1",
        repeat("(1)+") + "1",
        "1+".repeat(195) + "1",
        "input".to_owned() + &".a".repeat(195),
        "1+(".repeat(16) + &"1+".repeat(180) + "1" + &")".repeat(16),
    ];
    let compile = move || {
        hostile
            .iter()
            .filter_map(|text| Program::parse(text, &[]).ok())
            .collect::<Vec<_>>()
    };
    let on_stack = std::thread::Builder::new().stack_size(512 * 1024);
    let programs = on_stack.spawn(compile).unwrap().join().unwrap();
    limits::on_large_stack(|| {
        for program in programs {
            drop(program.evaluate(&scope()));
        }
    })
    .unwrap();
}
