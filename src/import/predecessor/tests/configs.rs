use super::*;

#[test]
fn every_spelling_of_a_key_becomes_its_own() {
    let done = alone(
        "transform",
        json!({
            "operation": "regex", "input": "{{content}}", "pattern": "a", "regexReplacement": "b", "regexFlags": "i",
            "regexCount": "2", "returnList": "true",
        }),
    );

    assert_eq!(
        *done.data("n"),
        json!({
            "operation": "regex_replace", "source": "{{ content }}", "regex_pattern": "a", "regex_replacement": "b",
            "regex_flags": "i", "regex_count": 2, "return_list": true,
        })
    );
    assert_eq!(
        done.reasons("n"),
        [
            "VALUE_CHANGED operation",
            "KEY_RENAMED input",
            "KEY_RENAMED pattern",
            "KEY_RENAMED regexReplacement",
            "KEY_RENAMED regexFlags",
            "KEY_RENAMED regexCount",
            "VALUE_CHANGED regexCount",
            "KEY_RENAMED returnList",
            "VALUE_CHANGED returnList",
        ]
    );
}

#[test]
fn a_key_in_its_own_spelling_counts_before_the_others() {
    let done = alone(
        "merge",
        json!({"mergeStrategy": "concat", "strategy": "First", "join_delimiter": ";"}),
    );

    assert_eq!(
        *done.data("n"),
        json!({"strategy": "first_wins", "delimiter": ";"})
    );
    assert!(
        done.reasons("n")
            .contains(&"KEY_DROPPED mergeStrategy".to_owned())
    );
}

#[test]
fn words_lose_case_and_hyphens() {
    let done = chain(&[
        (
            "t",
            "transform",
            json!({"operation": "JSON-Path", "path": "a"}),
        ),
        (
            "i",
            "condition",
            json!({"condition": "matches", "left": 1, "expected": 2, "not": "yes"}),
        ),
        (
            "h",
            "http",
            json!({"url": "http://a.example", "method": "post", "bodyType": "JSON"}),
        ),
        (
            "c",
            "code-node",
            json!({"runtime": "Node", "code": "result = 1"}),
        ),
    ]);

    assert_eq!(
        *done.data("t"),
        json!({"operation": "json_path", "json_path": "a"})
    );
    assert_eq!(
        *done.data("i"),
        json!({"operation": "regex", "source": 1, "value": 2, "negate": true})
    );
    assert_eq!(
        *done.data("h"),
        json!({"url": "http://a.example", "method": "POST", "body_type": "json", "fail_on_status": false})
    );
    assert_eq!(
        *done.data("c"),
        json!({"language": "javascript", "code": "result = 1"})
    );
    assert_eq!(done.node("i").kind, "if_else");
    assert_eq!(done.reasons("h")[0], "KIND_RENAMED type");
}

#[test]
fn labels_become_names_and_unknown_keys_are_told() {
    let done = alone(
        "transform",
        json!({"label": " My step ", "template": "x", "colour": "red", "nothing": null}),
    );

    assert_eq!(done.node("n").display_name, "My step");
    assert_eq!(*done.data("n"), json!({"template": "x"}));
    assert_eq!(done.reasons("n"), ["KEY_MOVED label", "KEY_DROPPED colour"]);
}

#[test]
fn imported_requests_do_not_fail_on_status() {
    let plain = alone("http_request", json!({"url": "http://a.example"}));
    let decided = alone(
        "http_request",
        json!({"url": "http://a.example", "fail_on_status": true}),
    );

    assert_eq!(plain.data("n")["fail_on_status"], false);
    assert_eq!(plain.reasons("n"), ["DEFAULT_SET data"]);
    assert_eq!(decided.data("n")["fail_on_status"], true);
}

#[test]
fn what_the_editor_gave_start_is_its_default_input() {
    let document = json!({
        "nodes": [
            {"id": "s", "type": "start", "data": {"parsedInputData": {"a": "{{ b c }}"}, "timeout_seconds": 3}},
        ],
    });

    let done = import(&document);

    assert_eq!(
        *done.data("s"),
        json!({"default_input": {"a": "{{ '{{' }} b c }}"}})
    );
    assert_eq!(done.node("s").timeout, None);
    assert_eq!(
        done.reasons("s"),
        [
            "KEY_DROPPED timeout_seconds",
            "KEY_MOVED parsedInputData",
            "BRACES_ESCAPED a"
        ]
    );
}

#[test]
fn memory_takes_the_keys_of_its_first_form() {
    let done = alone(
        "MemoryApplet",
        json!({
            "memoryKey": "k", "memoryNamespace": "ns", "topK": 3, "includeMetadata": true, "tags": "a", "backend": "chroma",
            "persistPath": "/x", "collectionName": "c", "migration_source": "T-056",
        }),
    );

    assert_eq!(done.node("n").kind, "memory");
    assert_eq!(
        *done.data("n"),
        json!({"key": "k", "namespace": "ns", "top_k": 3, "include_metadata": true, "tags": ["a"]})
    );
    assert!(
        done.reasons("n")
            .contains(&"KEY_DROPPED backend".to_owned())
    );
}

#[test]
fn writer_and_artist_stay_while_they_have_only_their_own_keys() {
    let done = chain(&[
        ("w", "writer", json!({"systemPrompt": "Be short."})),
        (
            "a",
            "artist",
            json!({"image_generator": "DALL-E-3", "style": "ink"}),
        ),
    ]);

    assert_eq!(done.node("w").kind, "writer");
    assert_eq!(*done.data("w"), json!({"system_prompt": "Be short."}));
    assert_eq!(done.node("a").kind, "artist");
    assert_eq!(
        *done.data("a"),
        json!({"generator": "openai", "style": "ink"})
    );
}

#[test]
fn with_more_keys_they_become_what_the_predecessor_made_of_them() {
    let done = chain(&[
        (
            "w",
            "writer",
            json!({"systemPrompt": "Be short.", "maxTokens": 50}),
        ),
        (
            "a",
            "artist",
            json!({"generator": "flux", "size": "512x512"}),
        ),
    ]);

    assert_eq!(done.node("w").kind, "llm");
    assert_eq!(
        *done.data("w"),
        json!({
            "system_prompt": "Be short.", "max_tokens": 50, "provider": "openai", "model": "gpt-4o", "temperature": 0.7,
        })
    );
    assert_eq!(done.node("a").kind, "image");
    assert_eq!(
        *done.data("a"),
        json!({
            "provider": "flux", "model": "flux-1.1-pro", "size": "512x512", "style": "photorealistic",
            "quality": "standard", "n": 1,
        })
    );
    assert!(done.reasons("a").contains(&"KIND_CHANGED data".to_owned()));
}

#[test]
fn an_unknown_kind_keeps_its_config_and_is_told() {
    let done = alone("custom", json!({"a": "{{ run_id }}", "label": "L"}));

    assert_eq!(done.node("n").kind, "custom");
    assert_eq!(*done.data("n"), json!({"a": "{{ run.id }}"}));
    assert!(done.reasons("n").contains(&"UNKNOWN_KIND type".to_owned()));
}

#[test]
fn code_that_reads_results_is_told_of() {
    let reads = alone(
        "code",
        json!({"code": "result = context['results']['a']['output']['result']"}),
    );
    let plain = alone("code", json!({"code": "result = data"}));

    assert_eq!(reads.reasons("n"), ["MEANING_DIFFERS code"]);
    assert_eq!(plain.reasons("n"), Vec::<String>::new());
}
