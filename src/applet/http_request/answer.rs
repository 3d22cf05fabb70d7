//! From an answer to an output.

use http::header::{CONTENT_TYPE, HeaderMap, SET_COOKIE};
use serde_json::{Map, Value, json};

use crate::egress::Answer;

/// What travels along the edges.
pub(super) fn output(answer: &Answer, with_headers: bool) -> Value {
    let mut output = json!({
        "status_code": answer.status.as_u16(),
        "ok": answer.status.as_u16() < 400,
        "url": answer.url.as_str(),
        "method": answer.method.as_str(),
        "data": data(answer),
    });
    if with_headers {
        output["headers"] = Value::Object(headers(&answer.headers));
    }
    output
}

/// What is kept with the step.
pub(super) fn details(answer: &Answer) -> Map<String, Value> {
    Map::from_iter([
        ("status_code".to_owned(), answer.status.as_u16().into()),
        ("response_bytes".to_owned(), answer.body.len().into()),
        ("redirects".to_owned(), answer.redirects.into()),
    ])
}

/// The body as JSON if it is JSON, whatever it is called; otherwise as text.
pub(super) fn data(answer: &Answer) -> Value {
    if answer.body.is_empty() {
        return Value::String(String::new());
    }
    let text = text(answer);
    // serde_json knows no byte order mark.
    match serde_json::from_str(text.trim_start_matches('\u{feff}')) {
        Ok(value) => value,
        Err(_) => Value::String(text),
    }
}

/// The body as text: as Latin-1 where the content type says so, otherwise as UTF-8, with a replacement character for
/// what is none.
pub(super) fn text(answer: &Answer) -> String {
    let content_type = answer.headers.get(CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let charset = content_type.and_then(|value| {
        let mut parameters = value.split(';').skip(1);
        parameters.find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            let value = value.trim().trim_matches('"').to_ascii_lowercase();
            name.trim().eq_ignore_ascii_case("charset").then_some(value)
        })
    });
    match charset.as_deref() {
        Some("iso-8859-1" | "latin1" | "latin-1" | "windows-1252" | "us-ascii") => {
            answer.body.iter().copied().map(char::from).collect()
        }
        _ => String::from_utf8_lossy(&answer.body).into_owned(),
    }
}

/// Headers by their names in lower case. What came several times is joined by `, `, except cookies, which may hold
/// commas themselves: `set-cookie` is always a list.
pub(super) fn headers(headers: &HeaderMap) -> Map<String, Value> {
    let mut output = Map::new();
    for name in headers.keys() {
        let values = headers.get_all(name);
        let texts: Vec<_> = values
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect();
        let value = match name {
            name if *name == SET_COOKIE => texts.into(),
            _ => texts.join(", ").into(),
        };
        output.insert(name.as_str().to_owned(), value);
    }
    output
}
