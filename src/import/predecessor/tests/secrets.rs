use super::*;

const KEY: &str = "sk-0123456789abcdef0123456789";

/// Neither the flow nor what is said of it shows a secret.
fn assert_hidden(done: &Done, secret: &str) {
    let flow = crate::flow::document::write(&done.draft).to_string();
    assert!(!flow.contains(secret), "{flow}");
    let told = format!("{:?}", done.warnings);
    assert!(!told.contains(secret), "{told}");
    let removed = done
        .warnings
        .iter()
        .filter(|one| one.reason == "SECRET_REMOVED");
    assert!(removed.count() > 0);
}

#[test]
fn keys_are_left_out_wherever_they_stand() {
    for (kind, data) in [
        ("llm", json!({"api_key": KEY})),
        ("llm", json!({"apiKey": "short"})),
        ("llm", json!({"extra": {"nested": [{"api_key": "short"}]}})),
        ("image", json!({"headers": {"X-Api-Key": "short"}})),
        (
            "http",
            json!({"url": "u", "auth_type": "bearer", "auth_value": "short"}),
        ),
        (
            "http",
            json!({"url": "u", "headers": {"Authorization": "Bearer short"}}),
        ),
        (
            "http",
            json!({"url": "u", "params": {"access_token": "short"}}),
        ),
        (
            "http",
            json!({"url": "u", "body": {"user": "a", "password": "short"}}),
        ),
        ("http", json!({"url": "u", "headers": {"X-Custom": KEY}})),
        ("http", json!({"url": "https://me:short@a.example/x"})),
        (
            "http",
            json!({"url": "https://a.example/x?a=1&api_key=short#f"}),
        ),
        (
            "code",
            json!({"code": "result = 1", "env": {"ANYTHING": KEY}}),
        ),
        ("start", json!({"parsedInputData": {"token": "short"}})),
        ("custom", json!({"client_secret": "short"})),
    ] {
        let done = alone(kind, data.clone());

        let secret = if data.to_string().contains(KEY) {
            KEY
        } else {
            "short"
        };
        assert_hidden(&done, secret);
    }
}

#[test]
fn the_rest_of_a_url_stays() {
    let done = alone(
        "http",
        json!({"url": "https://me:pw@a.example/x?a=1&token=t&b={{input.b}}#f"}),
    );

    assert_eq!(
        done.data("n")["url"],
        "https://a.example/x?a=1&token={{ secrets.n_token }}&b={{ input.b }}#f"
    );
}

#[test]
fn what_a_template_yields_stays() {
    let done = alone(
        "http",
        json!({
            "url": "https://a.example?token={{input.t}}", "auth_type": "bearer", "auth_value": "{{ secrets.t }}",
            "headers": {"Authorization": "Bearer {{input.token}}"}, "max_tokens": 5,
        }),
    );

    let data = done.data("n");
    assert_eq!(data["auth_value"], "{{ secrets.t }}");
    assert_eq!(data["headers"]["Authorization"], "Bearer {{ input.token }}");
    assert_eq!(data["url"], "https://a.example?token={{ input.t }}");
    assert!(
        done.warnings
            .iter()
            .all(|one| one.reason != "SECRET_REMOVED")
    );
}

#[test]
fn where_the_applet_takes_secrets_one_is_named_in_place_of_the_key() {
    let done = alone(
        "http",
        json!({
            "url": "https://a.example/x", "auth_type": "bearer", "auth_value": "short",
            "headers": {"Authorization": "Bearer short", "X-Api-Key": 12345},
            "params": {"access_token": "short"}, "body": {"keys": [KEY]},
        }),
    );

    let data = done.data("n");
    assert_eq!(data["auth_value"], "{{ secrets.n_auth_value }}");
    assert_eq!(
        data["headers"],
        json!({
            "Authorization": "Bearer {{ secrets.n_Authorization }}",
            "X-Api-Key": "{{ secrets.n_X-Api-Key }}",
        })
    );
    assert_eq!(
        data["query_params"],
        json!({"access_token": "{{ secrets.n_access_token }}"})
    );
    assert_eq!(
        data["body_template"],
        json!({"keys": ["{{ secrets.n_keys_0 }}"]})
    );
    let named = done
        .warnings
        .iter()
        .find(|one| one.field.ends_with("auth_value"))
        .unwrap();
    assert!(named.description.contains("n_auth_value"), "{named:?}");
}
