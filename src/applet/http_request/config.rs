//! What the author of a flow sets on an `http_request` node.

use std::fmt;

use http::HeaderName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;

use crate::flow::Violation;

/// The longest URL, in characters, before and after templates are rendered.
pub(super) const MAX_URL_CHARS: usize = 5000;
/// The most headers and the most query parameters.
pub(super) const MAX_ENTRIES: usize = 100;

/// Headers that the connection sets by itself: set from outside they would only contradict it.
const OF_THE_CONNECTION: [&str; 9] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What the author of a flow sets on an `http_request` node.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the author sets each of them by its own name"
)]
pub struct Config {
    /// Where the request goes: http or https, 1 to 5,000 characters, without user and password.
    #[schemars(length(min = 1, max = 5000), extend("x-secret" = true))]
    pub url: String,
    /// The method.
    #[serde(default)]
    pub method: Method,
    /// Headers by name, at most 100. A null value or a blank name leaves the header out; objects and lists are sent as
    /// compact JSON. What the connection sets by itself (Content-Length, Transfer-Encoding …) is refused.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 100, "x-secret" = true))]
    pub headers: Map<String, Value>,
    /// Added to the query of the URL, at most 100. Null leaves the parameter out, a list repeats it, an object is sent
    /// as compact JSON.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 100, "x-secret" = true))]
    pub query_params: Map<String, Value>,
    /// The body. Null or absent means the node's input for POST, PUT, PATCH and DELETE, and no body for GET. A template
    /// that gives null counts as null.
    #[serde(default)]
    #[schemars(extend("x-secret" = true))]
    pub body_template: Value,
    /// How the body is written.
    #[serde(default)]
    pub body_type: BodyType,
    /// Whether redirects are followed, up to 10; each is checked like the request itself. Credentials do not go along
    /// to another origin.
    #[serde(default = "yes")]
    pub allow_redirects: bool,
    /// Whether the server must prove by its certificate who it is. Without that anybody on the way may read and change
    /// the exchange.
    #[serde(default = "yes")]
    pub verify_ssl: bool,
    /// Whether the output holds the answer's headers.
    #[serde(default = "yes")]
    pub include_response_headers: bool,
    /// Whether an answer of 400 or above fails the step, with `HTTP_4XX` or `HTTP_5XX`.
    #[serde(default = "yes")]
    pub fail_on_status: bool,
    /// Which header `auth_value` goes into. A header of that name in `headers` wins.
    #[serde(default)]
    pub auth_type: AuthType,
    /// The token (bearer), `user:password` (basic) or key (`api_key`). Without it, or empty, none is sent.
    #[serde(default)]
    #[schemars(extend("x-secret" = true))]
    pub auth_value: Option<Secret>,
    /// The header of an `api_key`.
    #[serde(default = "api_key_header")]
    #[schemars(length(min = 1, max = 256))]
    pub auth_header_name: String,
}

/// A request's method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Reads.
    #[default]
    Get,
    /// Does what the server makes of it; a second one may do it twice.
    Post,
    /// Puts the body in place of what is there.
    Put,
    /// Changes part of what is there; a second one may change more.
    Patch,
    /// Removes.
    Delete,
}

/// How a body is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BodyType {
    /// Objects and lists as JSON, all else as text; null is no body.
    #[default]
    Auto,
    /// JSON, whatever it is.
    Json,
    /// A string as it is, all else as the text of its JSON; null is no body.
    Text,
    /// URL-encoded pairs of an object, whose nested values are JSON; anything else becomes the field `value`, and null is
    /// no body.
    Form,
    /// No body.
    None,
}

/// How a request says who sends it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthType {
    /// It does not.
    #[default]
    None,
    /// `Authorization: Bearer …`.
    Bearer,
    /// `Authorization: Basic …`, encoded here.
    Basic,
    /// `auth_value` in the header that `auth_header_name` names.
    ApiKey,
}

/// Text that shows in no log.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text, to be sent.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

fn yes() -> bool {
    true
}

fn api_key_header() -> String {
    "X-API-Key".to_owned()
}

impl Config {
    /// What is wrong with it beyond its types; templates are not judged.
    pub(super) fn violations(&self) -> Vec<Violation> {
        let mut violations = Vec::new();
        self.check_url(&mut violations);
        for (field, entries) in [
            ("headers", &self.headers),
            ("query_params", &self.query_params),
        ] {
            if entries.len() > MAX_ENTRIES {
                let count = entries.len();
                let text = format!("has {count} entries, at most {MAX_ENTRIES} are allowed");
                violations.push(violation(field, "OUT_OF_BOUNDS", text));
            }
        }
        let blank = |name: &String| name.trim().is_empty();
        for name in self.headers.keys().filter(|name| !blank(name)) {
            if let Err(why) = check_header(name) {
                violations.push(violation(format!("headers.{name}"), "INVALID_HEADER", why));
            }
        }
        if !is_template(&self.auth_header_name)
            && let Err(why) = check_header(&self.auth_header_name)
        {
            violations.push(violation("auth_header_name", "INVALID_HEADER", why));
        }
        violations
    }

    fn check_url(&self, violations: &mut Vec<Violation>) {
        let url = self.url.trim();
        let chars = url.chars().count();
        if chars == 0 || chars > MAX_URL_CHARS {
            let text = format!("has {chars} characters, allowed are 1 to {MAX_URL_CHARS}");
            violations.push(violation("url", "OUT_OF_BOUNDS", text));
        } else if let Some(literal) = literal_part(url)
            && let Err(why) = parse_url(literal)
        {
            violations.push(violation("url", "INVALID_URL", why));
        }
    }

    /// The host of the URL, with its port unless it is that of the scheme, if no template decides about it.
    pub(super) fn find_host(&self) -> Option<String> {
        let url = parse_url(literal_part(self.url.trim())?).ok()?;
        let host = url.host_str()?;
        Some(match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        })
    }
}

/// The URL up to its first template, if that holds the whole host.
fn literal_part(url: &str) -> Option<&str> {
    let Some(start) = url.find("{{") else {
        return Some(url);
    };
    let literal = &url[..start];
    let (_, after_scheme) = literal.split_once("://")?;
    after_scheme.contains(['/', '?', '#']).then_some(literal)
}

/// A URL that can be requested; otherwise why not, without a part of it that may be secret.
pub(super) fn parse_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| match error {
        url::ParseError::RelativeUrlWithoutBase => "must start with http:// or https://".to_owned(),
        error => format!("is no URL: {error}"),
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        let scheme = url.scheme();
        return Err(format!(
            "has the scheme {scheme}, allowed are http and https"
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must hold no user or password: use auth_type basic".to_owned());
    }
    Ok(url)
}

/// A header's name that may be set; otherwise why not.
pub(super) fn check_header(name: &str) -> Result<HeaderName, String> {
    let header = HeaderName::from_bytes(name.trim().as_bytes())
        .map_err(|_| format!("{name:?} is no name of a header"))?;
    if OF_THE_CONNECTION.contains(&header.as_str()) {
        return Err(format!("{name} is set by the connection itself"));
    }
    Ok(header)
}

fn is_template(text: &str) -> bool {
    text.contains("{{")
}

fn violation(field: impl Into<String>, reason: &'static str, description: String) -> Violation {
    Violation {
        field: field.into(),
        reason,
        description,
    }
}
