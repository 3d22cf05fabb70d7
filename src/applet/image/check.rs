//! What the types of a config cannot say.

use serde_json::{Map, Value};

use super::config::{Config, Painter};
use super::wire;
use crate::applet::llm::check::{OWN_HEADERS, has_credentials, is_credential, names_one_secret};
use crate::flow::Violation;
use crate::provider::{self, Provider};
use crate::template::{Templated, is_template};

/// The longest prompt, in characters.
pub(super) const MAX_PROMPT_CHARS: usize = 10_000;
/// The longest name of a model, in characters.
const MAX_MODEL_CHARS: usize = 200;
/// The longest style, in characters.
const MAX_STYLE_CHARS: usize = 500;
/// The longest size and the longest quality, in characters.
const MAX_WORD_CHARS: usize = 50;
/// The most headers.
const MAX_HEADERS: usize = 100;

/// All that is wrong with a config that is being saved.
pub(super) fn saved(config: &Config) -> Vec<Violation> {
    let mut violations = rendered(config);
    check_secrets(config, &mut violations);
    violations
}

/// What is wrong with a config, templates rendered or not.
pub(super) fn rendered(config: &Config) -> Vec<Violation> {
    let mut violations = Vec::new();
    let texts = [
        ("model", config.model.as_deref(), 1, MAX_MODEL_CHARS),
        ("prompt", text(config.prompt.as_ref()), 0, MAX_PROMPT_CHARS),
        (
            "negative_prompt",
            text(config.negative_prompt.as_ref()),
            0,
            MAX_PROMPT_CHARS,
        ),
        ("size", Some(config.size.as_str()), 0, MAX_WORD_CHARS),
        ("style", Some(config.style.as_str()), 0, MAX_STYLE_CHARS),
        ("quality", Some(config.quality.as_str()), 0, MAX_WORD_CHARS),
    ];
    for (field, text, least, most) in texts {
        let Some(text) = text.filter(|text| !is_template(text)) else {
            continue;
        };
        let chars = text.trim().chars().count();
        if !(least..=most).contains(&chars) {
            let value = format!("{chars} characters long");
            let bounds = format!("{least} to {most}");
            violations.push(Violation::out_of_bounds(field, value, &bounds));
        }
    }
    if let Some(n) = config.n.known()
        && !(1..=4).contains(n)
    {
        violations.push(Violation::out_of_bounds("n", n, "1 to 4"));
    }
    if let Some(provider) = config.provider.known()
        && *provider != Painter::Stability
        && text(config.negative_prompt.as_ref()).is_some_and(|text| !text.trim().is_empty())
    {
        let description = "only stability takes one; others are told in the prompt";
        violations.push(Violation::at("negative_prompt", "CONFLICT", description));
    }
    if let Some(url) = own_url(config).filter(|text| !is_template(text))
        && let Err(why) = provider::base_url(url)
    {
        violations.push(Violation::at("base_url", "INVALID_URL", why));
    }
    check_headers(config, &mut violations);
    check_extra(&config.extra, &mut violations);
    violations
}

/// What is wrong with a style alone.
pub(in crate::applet) fn style(style: &str) -> Vec<Violation> {
    let config = Config::preset(Templated::Value(Painter::Stability), style.to_owned());
    rendered(&config)
}

/// The hosts that a config names literally.
pub(super) fn hosts(config: &Config) -> Vec<String> {
    let host = || {
        let text = own_url(config).filter(|text| !is_template(text))?;
        let url = provider::base_url(text).ok()?;
        let host = url.host_str()?;
        Some(match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        })
    };
    host().into_iter().collect()
}

fn text(text: Option<&crate::applet::llm::Text>) -> Option<&str> {
    text.map(|text| text.0.as_str())
}

fn own_url(config: &Config) -> Option<&str> {
    let url = config.base_url.as_deref().map(str::trim);
    url.filter(|url| !url.is_empty())
}

fn check_headers(config: &Config, violations: &mut Vec<Violation>) {
    if config.headers.len() > MAX_HEADERS {
        let value = format!("{} entries", config.headers.len());
        violations.push(Violation::out_of_bounds("headers", value, "0 to 100"));
    }
    for name in config.headers.keys() {
        let (reason, text) = if http::HeaderName::from_bytes(name.trim().as_bytes()).is_err() {
            ("INVALID_HEADER", "is no name of a header")
        } else if OWN_HEADERS
            .iter()
            .any(|own| own.eq_ignore_ascii_case(name.trim()))
        {
            ("INVALID_HEADER", "is set by the service itself")
        } else if is_credential(name) && own_url(config).is_none() {
            let text = "says who is asking, which is allowed only beside a base_url of the node's own; there is api_key";
            ("NOT_ALLOWED_HERE", text)
        } else {
            continue;
        };
        violations.push(Violation::at(format!("headers.{name}"), reason, text));
    }
}

fn check_extra(extra: &Map<String, Value>, violations: &mut Vec<Violation>) {
    for key in extra
        .keys()
        .filter(|key| wire::OWN_KEYS.contains(&key.as_str()))
    {
        let text = "is set by the node's own keys, not by extra";
        let field = format!("extra.{key}");
        violations.push(Violation::at(field, "NOT_ALLOWED_HERE", text));
    }
    if let Some(endpoint) = extra.get("endpoint")
        && !endpoint.as_str().is_some_and(wire::is_path)
    {
        let text = "is no path below the base URL, such as images/generations";
        violations.push(Violation::at("extra.endpoint", "INVALID_URL", text));
    }
}

/// What concerns keys: told only of what is saved, since a rendered config holds their values.
fn check_secrets(config: &Config, violations: &mut Vec<Violation>) {
    let literal = "holds a literal key: keys are kept as secrets and named, {{ secrets.<name> }}";
    let key = config.api_key.as_ref();
    if key.is_some_and(|key| !names_one_secret(key.reveal())) {
        violations.push(Violation::at("api_key", "LITERAL_SECRET", literal));
    }
    for (name, value) in config
        .headers
        .iter()
        .filter(|(name, _)| is_credential(name))
    {
        if !value.as_str().is_some_and(|text| text.contains("secrets.")) {
            let field = format!("headers.{name}");
            violations.push(Violation::at(field, "LITERAL_SECRET", literal));
        }
    }
    let Some(provider) = config.provider.known().copied().map(Provider::from) else {
        return;
    };
    let usual = provider.default_base_url();
    let chose = own_url(config)
        .is_some_and(|url| usual.is_none_or(|usual| url.trim_end_matches('/') != usual));
    if chose && key.is_none() && !has_credentials(&config.headers) {
        let refusal = provider::Refusal::KeyNotForBaseUrl { provider };
        let violation = Violation::at("base_url", refusal.reason(), refusal.to_string());
        violations.push(violation);
    }
}
