//! From a rendered config to the request that is sent.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use url::{Url, form_urlencoded};

use super::config::{
    AuthType, BodyType, Config, MAX_URL_CHARS, Method, Secret, check_header, parse_url,
};
use crate::applet::{Context, Effect, Error};
use crate::egress::{Delivery, Egress, MAX_HEADER_BYTES, Redirects, Request, Verification};
use crate::redact::Redactor;
use crate::secrets::Granted;

/// What tells the server that two requests are attempts of the same step.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A request, and what goes with it.
pub(super) struct Composed {
    pub(super) request: Request,
    /// The way out for it.
    pub(super) egress: Egress,
    /// What must not show in errors: secrets, and credentials that the flow holds itself.
    pub(super) redactor: Redactor,
}

/// Composes the request.
pub(super) fn compose(context: &Context, config: &Config) -> Result<Composed, Error> {
    let mut headers = headers(config)?;
    authenticate(&mut headers, config)?;
    mark_secrets(&mut headers, &context.secrets);
    let body = body(config, &context.input);
    let url = url(config)?;
    if !context
        .secrets
        .found_in(&[url.host_str().unwrap_or_default()])
        .is_empty()
    {
        let text = "a secret stands in the host of the URL, which is told to everybody on the way";
        return Err(Error::permanent("URL_INVALID", text));
    }
    context.secrets.check_hosts(&url)?;
    let egress = way_out(context, &url, body.as_ref().map(|(bytes, _)| bytes));
    let redactor = redactor(context, &headers, config);
    if let Some((_, content_type)) = &body
        && !headers.contains_key(CONTENT_TYPE)
    {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    if !headers.contains_key(IDEMPOTENCY_KEY) {
        let key = value(&IDEMPOTENCY_KEY, &context.idempotency_key)?;
        headers.insert(IDEMPOTENCY_KEY, key);
    }
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    if bytes > MAX_HEADER_BYTES {
        let text = format!("the headers have {bytes} bytes, at most {MAX_HEADER_BYTES} are sent");
        return Err(Error::permanent("INVALID_HEADER", text));
    }
    let request = Request {
        method: match config.method {
            Method::Get => http::Method::GET,
            Method::Post => http::Method::POST,
            Method::Put => http::Method::PUT,
            Method::Patch => http::Method::PATCH,
            Method::Delete => http::Method::DELETE,
        },
        url,
        headers,
        body: body.map(|(bytes, _)| bytes),
        redirects: if config.allow_redirects {
            Redirects::Follow
        } else {
            Redirects::Return
        },
        verification: if config.verify_ssl {
            Verification::Required
        } else {
            Verification::Skipped
        },
        delivery: match context.effect {
            Effect::Pure | Effect::Idempotent => Delivery::Repeatable,
            Effect::AtMostOnce => Delivery::AtMostOnce,
        },
        deadline: context.deadline,
        cancelled: context.cancelled.clone(),
    };
    Ok(Composed {
        request,
        egress,
        redactor,
    })
}

/// A header with a secret in it goes to no other origin, whatever it is called.
fn mark_secrets(headers: &mut HeaderMap, secrets: &Granted) {
    if secrets.is_empty() {
        return;
    }
    for value in headers.values_mut() {
        let text = String::from_utf8_lossy(value.as_bytes());
        if !secrets.found_in(&[&text]).is_empty() {
            value.set_sensitive(true);
        }
    }
}

/// Headers with secrets do not follow a redirect to another origin, but URLs and bodies may: what may be sent to some
/// hosts only must not go along.
fn way_out(context: &Context, url: &Url, body: Option<&Bytes>) -> Egress {
    if !context.secrets.has_hosts() {
        return context.egress.clone();
    }
    let body = String::from_utf8_lossy(body.map_or(&[], |bytes| &bytes[..]));
    let sent = context.secrets.found_in(&[url.as_str(), &body]);
    if !sent.has_hosts() {
        return context.egress.clone();
    }
    let guard = move |url: &Url| sent.check_hosts(url).map_err(|refused| refused.to_string());
    context.egress.guarded(Arc::new(guard))
}

/// Knows secrets, and for errors also credentials that stand in the flow itself.
fn redactor(context: &Context, headers: &HeaderMap, config: &Config) -> Redactor {
    let auth_value = config.auth_value.as_ref().map(Secret::reveal);
    if let Some(text) = auth_value
        && config.auth_type == AuthType::Basic
        && !context.secrets.found_in(&[text]).is_empty()
    {
        context.redactor.add(&STANDARD.encode(text.trim()));
        if let Some((_, password)) = text.split_once(':') {
            context.redactor.add(password);
        }
    }
    let redactor = context.redactor.detached();
    for text in credentials(headers, config) {
        if context.secrets.found_in(&[&text]).is_empty() {
            redactor.add(&text);
        }
    }
    redactor
}

/// What says who sends the request: contents of headers, and the parts that servers repeat of them.
fn credentials(headers: &HeaderMap, config: &Config) -> Vec<String> {
    let mut credentials: Vec<_> = headers
        .values()
        .filter(|value| value.is_sensitive())
        .flat_map(|value| {
            let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
            // A server may repeat the credentials without their scheme (`Bearer …`).
            let bare = text.split_once(' ').map(|(_, bare)| bare.to_owned());
            [Some(text), bare]
        })
        .flatten()
        .collect();
    if let Some(secret) = &config.auth_value {
        let text = secret.reveal();
        credentials.push(text.to_owned());
        if config.auth_type == AuthType::Basic {
            let password = text.split_once(':').map(|(_, password)| password);
            credentials.extend(password.map(ToOwned::to_owned));
        }
    }
    credentials
}

fn url(config: &Config) -> Result<Url, Error> {
    let invalid = |why: String| Error::permanent("URL_INVALID", format!("the URL {why}"));
    let text = config.url.trim();
    let chars = text.chars().count();
    if chars == 0 || chars > MAX_URL_CHARS {
        let why = format!("has {chars} characters, allowed are 1 to {MAX_URL_CHARS}");
        return Err(invalid(why));
    }
    let mut url = parse_url(text).map_err(invalid)?;
    let pairs: Vec<_> = config
        .query_params
        .iter()
        .flat_map(|(name, value)| match value {
            Value::Array(values) => values.iter().map(|value| (name, value)).collect(),
            value => vec![(name, value)],
        })
        .filter(|(_, value)| !value.is_null())
        .collect();
    if !pairs.is_empty() {
        let mut query = url.query_pairs_mut();
        for (name, value) in pairs {
            query.append_pair(name, &text_of(value));
        }
    }
    Ok(url)
}

fn headers(config: &Config) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    for (name, content) in &config.headers {
        if name.trim().is_empty() || content.is_null() {
            continue;
        }
        let name = check_header(name).map_err(|why| Error::permanent("INVALID_HEADER", why))?;
        let mut value = value(&name, &text_of(content))?;
        value.set_sensitive(is_credential(&name, config));
        headers.insert(name, value);
    }
    Ok(headers)
}

fn authenticate(headers: &mut HeaderMap, config: &Config) -> Result<(), Error> {
    let secret = match &config.auth_value {
        Some(secret) if !secret.reveal().trim().is_empty() => secret.reveal().trim(),
        _ => return Ok(()),
    };
    let (name, content) = match config.auth_type {
        AuthType::None => return Ok(()),
        AuthType::Bearer => (AUTHORIZATION, format!("Bearer {secret}")),
        AuthType::Basic => (AUTHORIZATION, format!("Basic {}", STANDARD.encode(secret))),
        AuthType::ApiKey => {
            let name = check_header(&config.auth_header_name)
                .map_err(|why| Error::permanent("INVALID_HEADER", why))?;
            (name, secret.to_owned())
        }
    };
    if !headers.contains_key(&name) {
        let mut value = value(&name, &content)?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(())
}

/// Whether a header tells who sends the request.
fn is_credential(name: &HeaderName, config: &Config) -> bool {
    let own = config.auth_type == AuthType::ApiKey
        && config
            .auth_header_name
            .trim()
            .eq_ignore_ascii_case(name.as_str());
    own || [
        "authorization",
        "cookie",
        "x-api-key",
        "api-key",
        "x-auth-token",
    ]
    .contains(&name.as_str())
}

/// A header's value; the error names the header and keeps the value to itself, which may be secret.
fn value(name: &HeaderName, text: &str) -> Result<HeaderValue, Error> {
    HeaderValue::from_bytes(text.trim().as_bytes()).map_err(|_| {
        let text =
            format!("the value of the header {name} holds a line break or a control character");
        Error::permanent("INVALID_HEADER", text)
    })
}

/// The body and its content type.
fn body(config: &Config, input: &Value) -> Option<(Bytes, &'static str)> {
    let value = match (&config.body_template, config.method) {
        (Value::Null, Method::Get) => return None,
        (Value::Null, _) => input,
        (template, _) => template,
    };
    let json = |value: &Value| (value.to_string().into(), "application/json");
    let text = |value: &Value| (text_of(value).into(), "text/plain; charset=utf-8");
    match (config.body_type, value) {
        (BodyType::None, _) | (BodyType::Auto | BodyType::Text | BodyType::Form, Value::Null) => {
            None
        }
        (BodyType::Json, value)
        | (BodyType::Auto, value @ (Value::Object(_) | Value::Array(_))) => Some(json(value)),
        (BodyType::Auto | BodyType::Text, value) => Some(text(value)),
        (BodyType::Form, value) => Some((form(value).into(), "application/x-www-form-urlencoded")),
    }
}

fn form(value: &Value) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::Null => form.append_pair(name, ""),
                    value => form.append_pair(name, &text_of(value)),
                };
            }
        }
        value => {
            form.append_pair("value", &text_of(value));
        }
    }
    form.finish()
}

/// A string as it is, all else as compact JSON.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}
