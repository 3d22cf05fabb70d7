//! What the types of a config cannot say.

use serde_json::{Map, Value};

use super::config::{Config, Fallback, Speaker};
use crate::applet::http_request::Secret;
use crate::expression::json_path::JsonPath;
use crate::expression::schema::Schema;
use crate::flow::Violation;
use crate::llm::OWN_KEYS;
use crate::provider::{self, Provider, catalogue};
use crate::template::{Templated, is_template};

/// The longest name of a model, in characters.
const MAX_MODEL_CHARS: usize = 200;
/// The most texts that end an answer.
const MAX_STOPS: usize = 16;
/// The longest of them, in bytes.
const MAX_STOP_BYTES: usize = 200;
/// The most models that are asked when others failed.
const MAX_FALLBACKS: usize = 5;
/// The most headers.
const MAX_HEADERS: usize = 100;

/// Headers that say who is asking.
const CREDENTIALS: [&str; 5] = [
    "authorization",
    "x-api-key",
    "x-goog-api-key",
    "api-key",
    "cookie",
];
/// Headers that the service sets by itself.
pub(in crate::applet) const OWN_HEADERS: [&str; 12] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "host",
    "idempotency-key",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Where one model is asked, as a config says it.
struct Target<'a> {
    /// Before the names of its fields.
    place: String,
    provider: &'a Templated<Speaker>,
    model: Option<&'a str>,
    api_key: Option<&'a Secret>,
    base_url: Option<&'a str>,
    headers: &'a Map<String, Value>,
    extra: &'a Map<String, Value>,
}

/// All that is wrong with a config that is being saved.
pub(super) fn saved(config: &Config) -> Vec<Violation> {
    let mut violations = rendered(config);
    for target in targets(config) {
        target.check_secrets(&mut violations);
    }
    if let Some(schema) = &config.json_schema
        && let Err(error) = Schema::compile(schema)
    {
        violations.push(Violation::of_expression("json_schema", &error));
    }
    if let Some(path) = config.messages.as_str()
        && !is_template(path)
        && let Err(error) = JsonPath::parse(path)
    {
        violations.push(Violation::of_expression("messages", &error));
    }
    violations
}

/// What is wrong with a config, templates rendered or not.
pub(super) fn rendered(config: &Config) -> Vec<Violation> {
    let mut violations = Vec::new();
    let temperature = config.temperature.as_ref().and_then(Templated::known);
    check_number("temperature", temperature, 2.0, "0 to 2", &mut violations);
    let top_p = config.top_p.as_ref().and_then(Templated::known);
    check_number("top_p", top_p, 1.0, "0 to 1", &mut violations);
    if let Some(count) = config.max_tokens.known()
        && !(1..=32_768).contains(count)
    {
        violations.push(Violation::out_of_bounds("max_tokens", count, "1 to 32,768"));
    }
    let stops = config.stop_sequences.as_slice();
    if stops.len() > MAX_STOPS {
        let value = format!("{} texts", stops.len());
        violations.push(Violation::out_of_bounds("stop_sequences", value, "0 to 16"));
    }
    if let Some(stop) = stops
        .iter()
        .find(|stop| !(1..=MAX_STOP_BYTES).contains(&stop.len()))
    {
        let value = format!("a text of {} bytes", stop.len());
        violations.push(Violation::out_of_bounds(
            "stop_sequences",
            value,
            "1 to 200 bytes each",
        ));
    }
    if config.fallback.len() > MAX_FALLBACKS {
        let value = format!("{} models", config.fallback.len());
        violations.push(Violation::out_of_bounds("fallback", value, "0 to 5"));
    }
    for target in targets(config) {
        target.check(&mut violations);
    }
    violations
}

/// The hosts that a config names literally.
pub(super) fn hosts(config: &Config) -> Vec<String> {
    let host = |target: Target<'_>| {
        let text = target.base_url.filter(|text| !is_template(text))?;
        let url = provider::base_url(text).ok()?;
        let host = url.host_str()?;
        Some(match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        })
    };
    targets(config).filter_map(host).collect()
}

/// Whether headers say who is asking.
pub(in crate::applet) fn has_credentials(headers: &Map<String, Value>) -> bool {
    headers.keys().any(|name| is_credential(name))
}

pub(in crate::applet) fn is_credential(name: &str) -> bool {
    let name = name.trim();
    CREDENTIALS.iter().any(|own| own.eq_ignore_ascii_case(name))
}

fn check_number(
    field: &str,
    number: Option<&f64>,
    most: f64,
    bounds: &str,
    violations: &mut Vec<Violation>,
) {
    if let Some(number) = number
        && !(0.0..=most).contains(number)
    {
        violations.push(Violation::out_of_bounds(field, number, bounds));
    }
}

fn targets(config: &Config) -> impl Iterator<Item = Target<'_>> {
    let first = Target {
        place: String::new(),
        provider: &config.provider,
        model: config.model.as_deref(),
        api_key: config.api_key.as_ref(),
        base_url: config.base_url.as_deref(),
        headers: &config.headers,
        extra: &config.extra,
    };
    let others = config.fallback.iter().enumerate();
    std::iter::once(first).chain(others.map(|(index, fallback)| of_fallback(index, fallback)))
}

fn of_fallback(index: usize, fallback: &Fallback) -> Target<'_> {
    Target {
        place: format!("fallback[{index}]."),
        provider: &fallback.provider,
        model: fallback.model.as_deref(),
        api_key: fallback.api_key.as_ref(),
        base_url: fallback.base_url.as_deref(),
        headers: &fallback.headers,
        extra: &fallback.extra,
    }
}

impl Target<'_> {
    fn check(&self, violations: &mut Vec<Violation>) {
        let at = |field: &str| format!("{}{field}", self.place);
        let provider = self.provider.known().copied().map(Provider::from);
        match self.model.map(str::trim) {
            Some(model) => {
                let chars = model.chars().count();
                if !(1..=MAX_MODEL_CHARS).contains(&chars) {
                    let value = format!("{chars} characters long");
                    violations.push(Violation::out_of_bounds(at("model"), value, "1 to 200"));
                }
            }
            None if provider.is_some_and(|of| catalogue::language_models(of).is_empty()) => {
                let text = "is absent, and the provider has no model that would be the usual one";
                violations.push(Violation::at(at("model"), "REQUIRED", text));
            }
            None => {}
        }
        if let Some(text) = self.own_url().filter(|text| !is_template(text))
            && let Err(why) = provider::base_url(text)
        {
            violations.push(Violation::at(at("base_url"), "INVALID_URL", why));
        }
        self.check_headers(violations);
        for key in self
            .extra
            .keys()
            .filter(|key| OWN_KEYS.contains(&key.as_str()))
        {
            let text = "is set by the node's own keys, not by extra";
            violations.push(Violation::at(
                at(&format!("extra.{key}")),
                "NOT_ALLOWED_HERE",
                text,
            ));
        }
    }

    fn check_headers(&self, violations: &mut Vec<Violation>) {
        let at = |name: &str| format!("{}headers.{name}", self.place);
        if self.headers.len() > MAX_HEADERS {
            let field = format!("{}headers", self.place);
            let value = format!("{} entries", self.headers.len());
            violations.push(Violation::out_of_bounds(field, value, "0 to 100"));
        }
        for name in self.headers.keys() {
            if http::HeaderName::from_bytes(name.trim().as_bytes()).is_err() {
                let text = format!("{name:?} is no name of a header");
                violations.push(Violation::at(at(name), "INVALID_HEADER", text));
            } else if OWN_HEADERS
                .iter()
                .any(|own| own.eq_ignore_ascii_case(name.trim()))
            {
                let text = "is set by the service itself";
                violations.push(Violation::at(at(name), "INVALID_HEADER", text));
            } else if is_credential(name) && self.own_url().is_none() {
                let text = "says who is asking, which is allowed only beside a base_url of the node's own; there is \
                            api_key";
                violations.push(Violation::at(at(name), "NOT_ALLOWED_HERE", text));
            }
        }
    }

    /// What concerns keys: told only of what is saved, since a rendered config holds their values.
    fn check_secrets(&self, violations: &mut Vec<Violation>) {
        let literal =
            "holds a literal key: keys are kept as secrets and named, {{ secrets.<name> }}";
        if self
            .api_key
            .is_some_and(|key| !names_one_secret(key.reveal()))
        {
            let field = format!("{}api_key", self.place);
            violations.push(Violation::at(field, "LITERAL_SECRET", literal));
        }
        for (name, value) in self.headers.iter().filter(|(name, _)| is_credential(name)) {
            if !value.as_str().is_some_and(|text| text.contains("secrets.")) {
                let field = format!("{}headers.{name}", self.place);
                violations.push(Violation::at(field, "LITERAL_SECRET", literal));
            }
        }
        let Some(provider) = self.provider.known().copied().map(Provider::from) else {
            return;
        };
        let usual = provider.default_base_url();
        let chose = self
            .own_url()
            .is_some_and(|url| usual.is_none_or(|usual| url.trim_end_matches('/') != usual));
        if chose && provider.needs_key() && self.api_key.is_none() && !has_credentials(self.headers)
        {
            let refusal = provider::Refusal::KeyNotForBaseUrl { provider };
            let field = format!("{}base_url", self.place);
            violations.push(Violation::at(field, refusal.reason(), refusal.to_string()));
        }
    }

    fn own_url(&self) -> Option<&str> {
        self.base_url.map(str::trim).filter(|url| !url.is_empty())
    }
}

/// Whether a text is one template that names one secret and nothing else. An empty one is no key at all.
pub(in crate::applet) fn names_one_secret(text: &str) -> bool {
    let text = text.trim();
    let token = text
        .strip_prefix("{{")
        .and_then(|rest| rest.strip_suffix("}}"));
    let name = token.and_then(|token| token.trim().strip_prefix("secrets."));
    let is_name = |name: &str| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
    };
    text.is_empty() || name.is_some_and(is_name)
}
