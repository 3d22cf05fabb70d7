use super::*;
use crate::flow::document;

#[test]
fn bounds_are_said_though_the_document_did_not() {
    let done = alone("foreach", json!({}));

    assert_eq!(done.node("n").kind, "for_each");
    assert_eq!(
        *done.data("n"),
        json!({"array_source": "{{ input }}", "concurrency": 1, "max_items": 1000, "on_excess": "truncate"})
    );
}

#[test]
fn parallel_is_concurrency() {
    let of = |data: Value| alone("for_each", data).data("n")["concurrency"].clone();

    assert_eq!(of(json!({"parallel": true})), 10);
    assert_eq!(of(json!({"parallel": true, "concurrencyLimit": "3"})), 3);
    assert_eq!(of(json!({"parallel": false, "concurrency_limit": 3})), 1);
}

#[test]
fn the_recorded_cases_become_loops() {
    #[derive(serde::Deserialize)]
    struct Case {
        applet: String,
        config: Value,
    }
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("../../../../tests/conformance/applets.json")).unwrap();
    let mut found = 0;
    for case in cases.into_iter().filter(|case| case.applet == "for_each") {
        found += 1;
        let source = case.config["array_source"].as_str().unwrap();
        let source = source.replace("{{", "{{ ").replace("}}", " }}");
        let concurrency = case
            .config
            .get("concurrency_limit")
            .cloned()
            .unwrap_or(json!(1));

        let done = alone("for_each", case.config);

        assert_eq!(
            *done.data("n"),
            json!({
                "array_source": source, "concurrency": concurrency, "max_items": 1000, "on_excess": "truncate",
            })
        );
    }
    assert_eq!(found, 5);
}

#[test]
fn sub_nodes_become_a_body_in_which_each_feeds_the_next() {
    let done = alone(
        "for_each",
        json!({
            "arraySource": "{{input.items}}",
            "maxIterations": 5,
            "sub_nodes": [
                {"id": "fetch", "type": "http", "data": {"url": "http://a.example/{{content.sku}}", "timeout_seconds": 3}},
                {"type": "transform", "data": {"jsonPath": "a", "operation": "extract", "source": "{{input.data}}"}},
                {"id": "check", "type": "if_else", "data": {"value": "{{content.output.b}}", "true_target": "x"}},
                "nonsense",
                {"id": "start", "type": "merge"},
            ],
        }),
    );

    let data = done.data("n");
    assert_eq!(data["array_source"], "{{ input.items }}");
    assert_eq!(data["max_items"], 5);
    let body = document::read_body(&data["body"]).unwrap();
    let ids: Vec<_> = body.nodes.iter().map(|node| node.id.as_str()).collect();
    assert_eq!(ids, ["fetch", "n-2", "check", "start-2"]);
    assert_eq!(body.nodes[0].kind, "http_request");
    assert_eq!(
        body.nodes[0].timeout,
        Some(std::time::Duration::from_secs(3))
    );
    assert_eq!(
        body.nodes[0].data["url"],
        "http://a.example/{{ content.sku }}"
    );
    assert_eq!(
        body.nodes[1].data,
        json!({"operation": "json_path", "json_path": "a", "source": "{{ content.data }}"})
    );
    assert_eq!(body.nodes[2].data, json!({"value": "{{ content.b }}"}));
    let edges: Vec<_> = body
        .edges
        .iter()
        .map(|edge| format!("{} {} {}", edge.source, edge.source_handle, edge.target))
        .collect();
    assert_eq!(
        edges,
        [
            "fetch  n-2",
            "n-2  check",
            "check true start-2",
            "check false start-2"
        ]
    );
    assert!(
        done.reasons("start-2")
            .contains(&"NODE_RENAMED id".to_owned())
    );
    assert!(
        done.reasons("n")
            .contains(&"NODE_DROPPED sub_nodes[3]".to_owned())
    );
}

#[test]
fn what_a_loop_told_its_nodes_has_names_of_its_own() {
    let done = alone(
        "for_each",
        json!({"sub_nodes": [{"id": "t", "type": "transform", "data": {
            "template": "{{context.for_each_index}} {{context.for_each_item.a}} {{metadata.for_each_item}} {{context.input.b}} {{metadata.parent_node_id}}",
        }}]}),
    );

    let body = &done.data("n")["body"];
    assert_eq!(
        body["nodes"][0]["data"]["template"],
        "{{ index }} {{ item.a }} {{ item }} {{ input.b }} n"
    );
}

#[test]
fn loops_in_loops_read_what_reaches_them() {
    let done = alone(
        "for_each",
        json!({"sub_nodes": [{"id": "inner", "type": "loop", "data": {"sub_nodes": [{"type": "merge"}]}}]}),
    );

    let inner = &done.data("n")["body"]["nodes"][0];
    assert_eq!(inner["data"]["array_source"], "{{ content }}");
    assert_eq!(inner["data"]["body"]["nodes"][0]["id"], "inner-1");
}
