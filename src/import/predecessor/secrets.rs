//! Keys and passwords that stood in a node's `data`: they are left out, and what is said of them does not show them.
//!
//! What a template yields is no inline key, so that a `{{ … }}` stays.

use serde_json::{Map, Value};

use super::kinds::Kind;
use crate::import::notes::{Notes, Place};

/// Names under which a text is a secret, in lower case with `_` for `-`.
const NAMES: &[&str] = &[
    "api_key",
    "apikey",
    "api_token",
    "access_key",
    "access_token",
    "auth_token",
    "auth_value",
    "authvalue",
    "authorization",
    "bearer_token",
    "client_secret",
    "cookie",
    "passwd",
    "password",
    "private_key",
    "proxy_authorization",
    "secret",
    "secret_key",
    "token",
];

/// Ends of such names: `x-api-key`, `stripe_secret`.
const ENDS: &[&str] = &[
    "_api_key",
    "_apikey",
    "_access_key",
    "_auth_token",
    "_access_token",
    "_secret",
    "_password",
    "_secret_key",
    "_private_key",
];

/// How keys of well-known services begin.
const BEGINNINGS: &[&str] = &[
    "sk-",
    "sk_live_",
    "sk_test_",
    "AIza",
    "AKIA",
    "ghp_",
    "gho_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
];

/// Takes all secrets out of a config.
pub(super) fn take_out(
    kind: Option<Kind>,
    data: &mut Map<String, Value>,
    place: &Place,
    notes: &mut Notes,
) {
    take_from(data, kind, place, notes);
    if kind == Some(Kind::HttpRequest) {
        url_secrets(data, place, notes);
    }
}

fn take_from(
    entries: &mut Map<String, Value>,
    kind: Option<Kind>,
    place: &Place,
    notes: &mut Notes,
) {
    let keys: Vec<String> = entries.keys().cloned().collect();
    for key in keys {
        let Some(value) = entries.get_mut(&key) else {
            continue;
        };
        let place = place.key(&key);
        let is_secret = match &*value {
            // Source text is not looked into.
            Value::String(_) if key == "code" => false,
            Value::String(text) => (is_name(&key) && is_literal(text)) || looks_like_key(text),
            Value::Number(_) => is_name(&key),
            _ => false,
        };
        if is_secret {
            entries.remove(&key);
            notes.add(&place, "SECRET_REMOVED", advice(kind, &key));
        } else {
            take_inside(value, kind, &place, notes);
        }
    }
}

fn take_inside(value: &mut Value, kind: Option<Kind>, place: &Place, notes: &mut Notes) {
    match value {
        Value::Object(entries) => take_from(entries, kind, place, notes),
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                let place = place.item(index);
                if item.as_str().is_some_and(looks_like_key) {
                    *item = Value::String(String::new());
                    notes.add(&place, "SECRET_REMOVED", advice(kind, ""));
                } else {
                    take_inside(item, kind, &place, notes);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn advice(kind: Option<Kind>, key: &str) -> String {
    let what = match kind {
        Some(Kind::Llm | Kind::Image | Kind::Writer | Kind::Artist) if is_name(key) => {
            "the key of a provider belongs into the server's environment, or into a secret that a template names"
        }
        Some(Kind::Start) => "a run's input brings it along each time",
        _ => "store it as a secret and name it in a template",
    };
    format!("a secret stood here and is left out: {what} ({{{{ secrets.<name> }}}})")
}

fn is_name(key: &str) -> bool {
    let mut name = String::with_capacity(key.len() + 2);
    let mut after_lower = false;
    for letter in key.trim().chars() {
        if letter.is_ascii_uppercase() && after_lower {
            name.push('_');
        }
        after_lower = letter.is_ascii_lowercase() || letter.is_ascii_digit();
        name.push(if letter == '-' {
            '_'
        } else {
            letter.to_ascii_lowercase()
        });
    }
    NAMES.contains(&name.as_str()) || ENDS.iter().any(|end| name.ends_with(end))
}

/// Whether a text holds more than a template, and perhaps the word that says how a header is to be read.
fn is_literal(text: &str) -> bool {
    let text = text.trim();
    let rest = ["Bearer ", "Basic ", "Token ", "bearer ", "basic ", "token "]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme))
        .unwrap_or(text)
        .trim();
    let is_template = rest.starts_with("{{") && rest.ends_with("}}");
    !rest.is_empty() && !is_template
}

/// Whether a text is a key by its looks: the beginning that a service gives its keys, or a signed token.
fn looks_like_key(text: &str) -> bool {
    const SHORTEST: usize = 20;
    let text = text.trim();
    let text = text.strip_prefix("Bearer ").unwrap_or(text).trim();
    let is_word = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"_-.+/=".contains(&byte));
    let is_signed = text.starts_with("eyJ") && text.matches('.').count() == 2;
    text.len() >= SHORTEST
        && is_word
        && (is_signed || BEGINNINGS.iter().any(|begin| text.starts_with(begin)))
}

/// User and password of a URL, and what its query calls a secret.
fn url_secrets(data: &mut Map<String, Value>, place: &Place, notes: &mut Notes) {
    let Some(Value::String(url)) = data.get_mut("url") else {
        return;
    };
    let place = place.key("url");
    if let Some(start) = url.find("://").map(|at| at + 3) {
        let end = url[start..]
            .find(['/', '?', '#'])
            .map_or(url.len(), |at| start + at);
        if let Some(at) = url[start..end].rfind('@') {
            url.replace_range(start..=start + at, "");
            let description = "user and password stood in the URL and are left out: set auth_type to basic and auth_value to \
                               a secret that a template names ({{ secrets.<name> }})";
            notes.add(&place, "SECRET_REMOVED", description);
        }
    }
    let Some((base, query)) = url.split_once('?') else {
        return;
    };
    let (query, fragment) = query
        .split_once('#')
        .map_or((query, None), |(query, fragment)| (query, Some(fragment)));
    let is_kept = |pair: &&str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        !((is_name(name) && is_literal(value)) || looks_like_key(value))
    };
    let kept: Vec<&str> = query.split('&').filter(is_kept).collect();
    if kept.len() == query.split('&').count() {
        return;
    }
    let mut rest = base.to_owned();
    if !kept.is_empty() {
        rest = format!("{rest}?{}", kept.join("&"));
    }
    if let Some(fragment) = fragment {
        rest = format!("{rest}#{fragment}");
    }
    *url = rest;
    let description = "a secret stood in the query of the URL and is left out: store it as a secret and name it in \
                       query_params ({{ secrets.<name> }})";
    notes.add(&place, "SECRET_REMOVED", description);
}
