use super::*;

/// The template after a chain of one node of each kind.
fn rewritten(template: &str) -> (String, Vec<String>) {
    let done = chain(&[
        ("http", "http_request", json!({"url": "http://a.example"})),
        (
            "t",
            "transform",
            json!({"source": "{{results.http.output.data}}"}),
        ),
        ("c", "code", json!({"code": "result = 1"})),
        ("m", "merge", json!({})),
        ("loop", "for_each", json!({})),
        ("l", "llm", json!({})),
        ("here", "transform", json!({"template": template})),
    ]);
    let text = done.data("here")["template"].as_str().unwrap().to_owned();
    let reasons = done
        .warnings
        .iter()
        .filter(|one| one.field.ends_with("data.template"))
        .map(|one| one.reason.to_owned())
        .collect();
    (text, reasons)
}

fn of(template: &str) -> String {
    rewritten(template).0
}

#[test]
fn wrappers_are_taken_off() {
    for (there, here) in [
        ("{{results.t.output.output}}", "{{ results.t.output }}"),
        (
            "{{results.t.output.output.a.0}}",
            "{{ results.t.output.a.0 }}",
        ),
        (
            "{{results.t.output.input.x}}",
            "{{ results.http.output.data.x }}",
        ),
        ("{{results.c.output.result.a}}", "{{ results.c.output.a }}"),
        ("{{results.c.output.ok}}", "{{ true }}"),
        ("{{results.m.output.inputs.1}}", "{{ results.m.output.1 }}"),
        (
            "{{results.m.output.count}}",
            "{{ results.m.output | length }}",
        ),
        (
            "{{results.loop.output.results.2.output.a}}",
            "{{ results.loop.output.2.a }}",
        ),
        (
            "{{results.loop.output.results}}",
            "{{ results.loop.output }}",
        ),
        ("{{results.http.input.a}}", "{{ input.a }}"),
        ("{{results.http.status}}", "{{ 'success' }}"),
    ] {
        assert_eq!(of(there), here);
    }
}

#[test]
fn what_is_the_same_here_is_no_change() {
    for template in [
        "{{ input.a }}",
        "a {{ content }} b",
        "{{ results.http.output.data.x }}",
        "{{ results.l.output }}",
        "{{ source }} {{ value.a }}",
        "{{ results.start.output.a }}",
    ] {
        assert_eq!(rewritten(template), (template.to_owned(), vec![]));
    }
}

#[test]
fn the_shared_context_becomes_the_nodes_that_wrote_it() {
    for (there, here) in [
        ("{{context.input.a}}", "{{ input.a }}"),
        (
            "{{context.results.t.output.output}}",
            "{{ results.t.output }}",
        ),
        (
            "{{context.last_http_response.data.a}}",
            "{{ results.http.output.data.a }}",
        ),
        (
            "{{context.last_transform_response.output}}",
            "{{ results.t.output }}",
        ),
        (
            "{{context.last_code_response.result}}",
            "{{ results.c.output }}",
        ),
        (
            "{{context.last_llm_response.content}}",
            "{{ results.l.output }}",
        ),
        (
            "{{context.for_each_results.0.output}}",
            "{{ results.loop.output.0 }}",
        ),
        ("{{run_id}} {{context.run_id}}", "{{ run.id }} {{ run.id }}"),
        ("{{node_id}}", "{{ node.id }}"),
        ("{{metadata.node_id}}", "{{ node.id }}"),
    ] {
        assert_eq!(of(there), here);
        assert!(
            rewritten(there)
                .1
                .iter()
                .all(|reason| reason == "TEMPLATE_REWRITTEN")
        );
    }
}

#[test]
fn the_nearest_node_counts_and_of_two_as_near_none() {
    let node = |id: &str, kind: &str, data: Value| json!({"id": id, "type": kind, "data": data});
    let http = || json!({"url": "http://a.example"});
    let template = json!({"template": "{{context.last_http_response.data}}"});
    let edge = |source: &str, target: &str| json!({"source": source, "target": target});
    let nodes = json!([
        node("s", "start", json!({})),
        node("a", "http", http()),
        node("b", "http", http()),
        node("after-b", "transform", template.clone()),
        node("c", "http", http()),
        node("after-both", "transform", template),
    ]);
    let document = json!({"nodes": nodes, "edges": [
        edge("s", "a"), edge("a", "b"), edge("b", "after-b"), edge("a", "c"), edge("b", "after-both"), edge("c", "after-both"),
    ]});

    let done = import(&document);

    assert_eq!(
        done.data("after-b")["template"],
        "{{ results.b.output.data }}"
    );
    assert_eq!(
        done.data("after-both")["template"],
        "{{ context.last_http_response.data }}"
    );
    assert_eq!(done.reasons("after-both"), ["TEMPLATE_DIFFERS template"]);
}

#[test]
fn what_cannot_be_carried_over_stays_and_is_told() {
    for template in [
        "{{ results.t.output }}",
        "{{ results.c.output.stdout }}",
        "{{ results.http.output.request.url }}",
        "{{ results }}",
        "{{ context.memory_key }}",
        "{{ metadata.node_data.url }}",
        "{{ context.last_if_else_response.branch }}",
    ] {
        assert_eq!(
            rewritten(template),
            (template.to_owned(), vec!["TEMPLATE_DIFFERS".to_owned()])
        );
    }
}

#[test]
fn what_led_nowhere_stays_text_alone_and_nothing_in_text() {
    let nowhere = || vec!["TEMPLATE_LED_NOWHERE".to_owned()];

    assert_eq!(
        rewritten("{{name}}"),
        ("{{ '{{name}}' }}".to_owned(), nowhere())
    );
    assert_eq!(rewritten("a {{name}}b"), ("a b".to_owned(), nowhere()));
    assert_eq!(of("a{{results.nobody.output}}b"), "ab");
    assert_eq!(of("a{{1.x}}b"), "ab");
    assert_eq!(of("a{{input..x}}b"), "ab");
}

#[test]
fn braces_that_were_text_stay_text() {
    let (text, reasons) = rewritten("{{ a | upper }} {{input.x}} {{");

    assert_eq!(text, "{{ '{{' }} a | upper }} {{ input.x }} {{");
    assert_eq!(reasons, ["BRACES_ESCAPED"]);
    assert_eq!(of(r#"{"a":{{input.x}}}"#), r#"{"a":{{ input.x }}}"#);
    assert_eq!(of("{{{input.x}}}"), "{{{ input.x }}}");
    assert_eq!(of("{{{results.c.output.ok}}}"), "{{ '{' }}{{ true }}}");
}

#[test]
fn texts_in_lists_and_objects_are_templates_and_delimiters_are_not() {
    let done = chain(&[
        (
            "h",
            "http",
            json!({"url": "u", "body": {"a": ["{{run_id}}"]}, "headers": {"X-{{run_id}}": "{{run_id}}"}}),
        ),
        (
            "j",
            "transform",
            json!({"operation": "join", "joiner": "{{run_id}}"}),
        ),
    ]);

    assert_eq!(
        done.data("h")["body_template"],
        json!({"a": ["{{ run.id }}"]})
    );
    assert_eq!(
        done.data("h")["headers"],
        json!({"X-{{run_id}}": "{{ run.id }}"})
    );
    assert_eq!(done.data("j")["join_delimiter"], "{{ '{{' }}run_id}}");
}
