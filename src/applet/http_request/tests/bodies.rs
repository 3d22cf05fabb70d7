//! What is sent: bodies, headers, queries, credentials.

use super::*;

#[tokio::test]
async fn a_body_is_written_as_its_type_says() {
    let object = json!({"a": 1, "b": {"c": [1, 2]}, "d": null, "e": "x y&z"});
    let form_type = "application/x-www-form-urlencoded";
    let text_type = "text/plain; charset=utf-8";
    let cases = [
        (
            "auto",
            object.clone(),
            object.to_string(),
            "application/json",
        ),
        ("auto", json!([1]), "[1]".to_owned(), "application/json"),
        ("auto", json!("as it is"), "as it is".to_owned(), text_type),
        ("auto", json!(1.5), "1.5".to_owned(), text_type),
        (
            "json",
            json!("text"),
            "\"text\"".to_owned(),
            "application/json",
        ),
        (
            "text",
            json!({"a": true}),
            r#"{"a":true}"#.to_owned(),
            text_type,
        ),
        (
            "form",
            object,
            "a=1&b=%7B%22c%22%3A%5B1%2C2%5D%7D&d=&e=x+y%26z".to_owned(),
            form_type,
        ),
        (
            "form",
            json!(["x"]),
            "value=%5B%22x%22%5D".to_owned(),
            form_type,
        ),
    ];
    for (body_type, template, body, content_type) in cases {
        let config = json!({"method": "POST", "body_type": body_type, "body_template": template});

        let seen = arriving(config, json!("input")).await;

        assert_eq!(seen.body, body);
        assert_eq!(seen.header("content-type"), Some(content_type), "{body}");
    }
}

#[tokio::test]
async fn without_a_template_the_input_is_the_body_except_for_get() {
    for (method, body) in [
        ("POST", "in"),
        ("PUT", "in"),
        ("PATCH", "in"),
        ("DELETE", "in"),
        ("GET", ""),
    ] {
        let seen = arriving(
            json!({"method": method, "body_template": null}),
            json!("in"),
        )
        .await;

        assert_eq!((seen.method.as_str(), seen.body.as_str()), (method, body));
    }
    let with_template = json!({"method": "GET", "body_template": "q"});
    assert_eq!(arriving(with_template, json!("in")).await.body, "q");
    let none = json!({"method": "POST", "body_type": "none"});
    let seen = arriving(none, json!("in")).await;
    assert_eq!(
        (seen.body.as_str(), seen.header("content-type")),
        ("", None)
    );
    let null = arriving(json!({"method": "POST"}), Value::Null).await;
    assert_eq!(
        (null.body.as_str(), null.header("content-length")),
        ("", Some("0"))
    );
}

#[tokio::test]
async fn headers_and_queries_leave_out_nulls_and_write_objects_as_json() {
    let config = json!({
        "url": "/path?first=1",
        "headers": {"X-Text": "t", "X-Object": {"a": [1]}, "X-Number": 3, "X-Null": null, " ": "blank",
                    "Content-Type": "text/csv"},
        "query_params": {"q": "a b&c", "list": [1, "two", null], "no": null, "object": {"a": 1}, "yes": true},
        "method": "PUT",
        "body_template": {"a": 1},
    });

    let seen = arriving(config, Value::Null).await;

    let query = "first=1&list=1&list=two&object=%7B%22a%22%3A1%7D&q=a+b%26c&yes=true";
    assert_eq!(seen.target, format!("/path?{query}"));
    assert_eq!(seen.header("x-text"), Some("t"));
    assert_eq!(seen.header("x-object"), Some(r#"{"a":[1]}"#));
    assert_eq!(seen.header("x-number"), Some("3"));
    assert_eq!(seen.header("x-null"), None);
    assert_eq!(seen.header("content-type"), Some("text/csv"));
}

#[tokio::test]
async fn credentials_go_into_their_header_unless_it_is_set() {
    let cases = [
        (
            json!({"auth_type": "bearer", "auth_value": "t0k"}),
            "authorization",
            Some("Bearer t0k"),
        ),
        (
            json!({"auth_type": "basic", "auth_value": "u:p"}),
            "authorization",
            Some("Basic dTpw"),
        ),
        (
            json!({"auth_type": "api_key", "auth_value": "k"}),
            "x-api-key",
            Some("k"),
        ),
        (
            json!({"auth_type": "api_key", "auth_value": "k", "auth_header_name": "X-Mine"}),
            "x-mine",
            Some("k"),
        ),
        (
            json!({"auth_type": "bearer", "auth_value": "t", "headers": {"AUTHORIZATION": "own"}}),
            "authorization",
            Some("own"),
        ),
        (json!({"auth_type": "bearer"}), "authorization", None),
        (json!({"auth_value": "t"}), "authorization", None),
    ];
    for (config, name, expected) in cases {
        let seen = arriving(config.clone(), Value::Null).await;

        assert_eq!(seen.header(name), expected, "{config}");
    }
}

#[test]
fn a_config_does_not_show_its_credentials() {
    let config =
        config(json!({"url": "http://a.test/", "auth_type": "bearer", "auth_value": "hush"}));

    assert!(!format!("{config:?}").contains("hush"));
}
