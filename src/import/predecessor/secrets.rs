//! Keys and passwords that stood in a node's `data`: they are left out, and what is said of them does not show them.
//!
//! Where the applet takes secrets, `{{ secrets.<name> }}` stands in their place, under a name that is made of the node's
//! id and the key. What a template yields is no inline key, so that a `{{ … }}` stays.

use serde_json::{Map, Value};

use super::kinds::Kind;
use crate::ids::NodeId;
use crate::import::notes::{Notes, Place};
use crate::template::secrets::{MAX_NAME_CHARS, is_name as is_secret_name};

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

/// Words that say how what follows in a header is to be read.
const SCHEMES: [&str; 6] = ["Bearer ", "Basic ", "Token ", "bearer ", "basic ", "token "];

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
    node: &NodeId,
    data: &mut Map<String, Value>,
    place: &Place,
    notes: &mut Notes,
) {
    let mut taker = Taker {
        kind,
        node: node.as_str(),
        notes,
    };
    taker.take_from(data, place, None);
    if kind == Some(Kind::HttpRequest) {
        taker.url_secrets(data, place);
    }
}

/// Takes secrets out of one node.
struct Taker<'a> {
    kind: Option<Kind>,
    node: &'a str,
    notes: &'a mut Notes,
}

/// Whether secrets may be named in what stands under a key at the top of a config.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    /// It is sent out.
    Sent,
    /// It is not.
    Kept,
}

impl Field {
    fn of(kind: Option<Kind>, key: &str) -> Self {
        let sent: &[&str] = match kind {
            Some(Kind::HttpRequest) => &[
                "headers",
                "query_params",
                "queryParams",
                "params",
                "body_template",
                "bodyTemplate",
                "body",
                "auth_value",
                "authValue",
            ],
            Some(Kind::Llm | Kind::Image) => &["api_key", "apiKey", "headers"],
            _ => &[],
        };
        if sent.contains(&key) {
            Self::Sent
        } else {
            Self::Kept
        }
    }
}

impl Taker<'_> {
    /// `field` is the one at the top that these entries are in; `None` at the top.
    fn take_from(&mut self, entries: &mut Map<String, Value>, place: &Place, field: Option<Field>) {
        let keys: Vec<String> = entries.keys().cloned().collect();
        for key in keys {
            let Some(value) = entries.get_mut(&key) else {
                continue;
            };
            let place = place.key(&key);
            let field = field.unwrap_or_else(|| Field::of(self.kind, &key));
            let is_secret = match &*value {
                // Source text is not looked into.
                Value::String(_) if key == "code" => false,
                Value::String(text) => (is_name(&key) && is_literal(text)) || looks_like_key(text),
                Value::Number(_) => is_name(&key),
                _ => false,
            };
            if !is_secret {
                self.take_inside(value, &place, field, &key);
            } else if field == Field::Sent {
                *value = self.named(value, &place, &key);
            } else {
                entries.remove(&key);
                let advice = advice(self.kind, &key);
                self.notes.add(&place, "SECRET_REMOVED", advice);
            }
        }
    }

    fn take_inside(&mut self, value: &mut Value, place: &Place, field: Field, key: &str) {
        match value {
            Value::Object(entries) => self.take_from(entries, place, Some(field)),
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    let place = place.item(index);
                    if !item.as_str().is_some_and(looks_like_key) {
                        self.take_inside(item, &place, field, key);
                    } else if field == Field::Sent {
                        *item = self.named(item, &place, &format!("{key}_{index}"));
                    } else {
                        *item = Value::String(String::new());
                        let advice = advice(self.kind, "");
                        self.notes.add(&place, "SECRET_REMOVED", advice);
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// What stands in the place of a secret: a template, behind the word that says how a header is to be read.
    fn named(&mut self, value: &Value, place: &Place, key: &str) -> Value {
        let text = value.as_str().unwrap_or_default().trim_start();
        let scheme = SCHEMES.iter().find(|scheme| text.starts_with(**scheme));
        let template = self.template(place, key);
        Value::String(format!("{}{template}", scheme.copied().unwrap_or_default()))
    }

    fn template(&mut self, place: &Place, key: &str) -> String {
        let name = secret_name(self.node, key);
        let description = format!(
            "a secret stood here and is left out: store it as {name} (CreateSecret), which the flow names in its place"
        );
        self.notes.add(place, "SECRET_REMOVED", description);
        format!("{{{{ secrets.{name} }}}}")
    }
}

/// A name for a secret: of its node and its key.
fn secret_name(node: &str, key: &str) -> String {
    let letter = |letter: char| {
        if letter.is_ascii_alphanumeric() || letter == '-' {
            letter
        } else {
            '_'
        }
    };
    let name: String = format!("{node}_{key}")
        .chars()
        .map(letter)
        .take(MAX_NAME_CHARS)
        .collect();
    debug_assert!(is_secret_name(&name));
    name
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
    let rest = SCHEMES
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

impl Taker<'_> {
    /// User and password of a URL, and what its query calls a secret.
    fn url_secrets(&mut self, data: &mut Map<String, Value>, place: &Place) {
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
                self.notes.add(&place, "SECRET_REMOVED", description);
            }
        }
        let Some((base, query)) = url.split_once('?') else {
            return;
        };
        let (query, fragment) = query
            .split_once('#')
            .map_or((query, None), |(query, fragment)| (query, Some(fragment)));
        let mut moved = false;
        let pairs: Vec<String> = query
            .split('&')
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                if (is_name(name) && is_literal(value)) || looks_like_key(value) {
                    moved = true;
                    format!("{name}={}", self.template(&place, name))
                } else {
                    pair.to_owned()
                }
            })
            .collect();
        if !moved {
            return;
        }
        let mut rest = format!("{base}?{}", pairs.join("&"));
        if let Some(fragment) = fragment {
            rest = format!("{rest}#{fragment}");
        }
        *url = rest;
    }
}
