//! One attempt: the order goes out, and its images become files of the run.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::Value;
use url::Url;

use super::exchange::{self, MAX_ANSWER_BYTES, MAX_IMAGE_BYTES, Sending};
use super::order::Order;
use super::wire::{self, Answer, Composed, Images, Picture};
use super::{failure, flux, media};
use crate::applet::{Context, Error};
use crate::llm::{Failure, Reason, Tokens};
use crate::provider::{Provider, Providers, Refusal, Route, Via};
use crate::usage::Usage;

/// What is left of an attempt's time for keeping what came.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// How long to wait before a provider is asked again for what it has not drawn yet.
const POLL: Duration = Duration::from_millis(500);
/// What is looked at of an answer that is no JSON, in bytes; less is shown.
const MAX_EXCERPT_BYTES: usize = 64 * 1024;

/// What an order has come to.
#[derive(Debug)]
pub(in crate::applet) struct Drawn {
    /// The files.
    pub(super) images: Vec<Value>,
    pub(in crate::applet) prompt: String,
    pub(in crate::applet) provider: Provider,
    pub(super) model: String,
    pub(super) revised_prompt: Option<String>,
    pub(super) usage: Usage,
}

/// Has an order filled.
pub(super) async fn run(
    providers: &Providers,
    context: &Context,
    order: Order,
) -> Result<Drawn, Error> {
    let mut usage = Usage::default();
    let outcome = fill(providers, context, &order, &mut usage).await;
    let (contents, revised_prompt) =
        outcome.map_err(|failure| failure::of(&failure, &order, usage))?;

    let mut images = Vec::with_capacity(contents.len());
    for (content, media_type) in contents {
        let image = context.files.put(content, media_type).await;
        let image = image.map_err(|error| Error {
            usage,
            ..failure::of_file(&error)
        })?;
        images.push(image);
    }
    Ok(Drawn {
        images,
        prompt: order.prompt,
        provider: order.provider,
        model: order.model,
        revised_prompt,
        usage,
    })
}

type Contents = Vec<(Bytes, &'static str)>;

async fn fill(
    providers: &Providers,
    context: &Context,
    order: &Order,
    usage: &mut Usage,
) -> Result<(Contents, Option<String>), Failure> {
    let route = providers
        .route(order.provider, order.chosen())
        .map_err(|refusal| of_refusal(&refusal))?;
    // Key and headers are all that it may name, and all of them go along.
    context
        .secrets
        .check_hosts(&route.base_url)
        .map_err(|refused| Failure::new(Reason::SecretNotForHost, refused.to_string()))?;
    if let Some(key) = &route.key {
        // Servers repeat what they do not like.
        context.redactor.add(key.expose());
    }
    let left = context.deadline.saturating_duration_since(Instant::now());
    let filling = Filling {
        providers,
        context,
        order,
        route: &route,
        deadline: Instant::now() + left.saturating_sub(LAST_WORDS.min(left / 10)),
    };
    let outcome = tokio::select! {
        biased;
        () = context.cancelled.cancelled() => {
            Err(Failure::new(Reason::Timeout, "the run was cancelled, or failed elsewhere"))
        }
        outcome = tokio::time::timeout_at(filling.deadline.into(), filling.run(usage)) => {
            let late = || Failure::new(Reason::Timeout, format!("no whole answer from {} in time", order.provider));
            outcome.unwrap_or_else(|_| Err(late()))
        }
    };
    outcome.map_err(|failure| failure.shown(&context.redactor))
}

/// An order on its way.
struct Filling<'a> {
    providers: &'a Providers,
    context: &'a Context,
    order: &'a Order,
    route: &'a Route,
    deadline: Instant,
}

impl Filling<'_> {
    async fn run(&self, usage: &mut Usage) -> Result<(Contents, Option<String>), Failure> {
        let images = self.admitted(usage).await?;
        let mut contents = Vec::with_capacity(images.pictures.len());
        for picture in images.pictures {
            let content = match picture {
                Picture::Content(content) => content,
                Picture::At(url) => self.fetch(url).await?,
            };
            if content.len() > MAX_IMAGE_BYTES {
                let message = format!(
                    "an image has {} bytes, at most {MAX_IMAGE_BYTES} are kept",
                    content.len()
                );
                return Err(Failure::new(Reason::AnswerTooLarge, message));
            }
            let media_type = media::find_type(&content)
                .ok_or_else(|| wire::malformed("holds what is no PNG, JPEG, WebP or GIF"))?;
            contents.push((content, media_type));
        }
        Ok((contents, images.revised_prompt))
    }

    /// Orders once the limits let it.
    async fn admitted(&self, usage: &mut Usage) -> Result<Images, Failure> {
        let credential = self.route.credential();
        let limits = self.providers.limits();
        let admission = limits
            .admit(&credential, 0, self.deadline)
            .await
            .map_err(|limited| Failure {
                retry_after: Some(limited.wait),
                ..Failure::new(Reason::RateLimited, limited.to_string())
            })?;
        let outcome = self.order().await;
        match &outcome {
            Ok(images) => {
                let tokens = images.tokens.unwrap_or_default();
                admission.settle(tokens.input.saturating_add(tokens.output));
                usage.add(self.cost(tokens));
            }
            Err(failure) => {
                admission.settle(0);
                if let (Reason::RateLimited, Some(wait)) = (failure.reason, failure.retry_after) {
                    limits.block(&credential, wait);
                }
            }
        }
        outcome
    }

    fn cost(&self, tokens: Tokens) -> Usage {
        let (prices, order) = (self.providers.prices(), self.order);
        let cost = prices.find_cost(order.provider, &order.model, tokens.input, tokens.output);
        Usage {
            input_tokens: tokens.input,
            output_tokens: tokens.output,
            cost_micro_usd: cost.unwrap_or(0),
        }
    }

    /// Orders, and asks again until there is something.
    async fn order(&self) -> Result<Images, Failure> {
        let Composed {
            url,
            body,
            credentials,
        } = wire::compose(self.order, self.route)?;
        let mut headers = credentials.clone();
        for (name, value) in &self.order.headers {
            headers.insert(name.clone(), value.clone());
        }
        if let Ok(key) = HeaderValue::from_str(&self.context.idempotency_key) {
            headers.insert("idempotency-key", key);
        }
        let body = Some(body.to_string().into());
        let mut answer = self.ask(Method::POST, url, headers, body).await?;
        let mut place = None;
        loop {
            match answer {
                Answer::Images(images) => return Ok(images),
                Answer::Later(url) => place = Some(url),
                Answer::Pending => {}
            }
            let url = place.clone().ok_or_else(|| {
                wire::malformed("says that there is no image yet, and not where it will be")
            })?;
            tokio::time::sleep(POLL).await;
            let may_have_key = flux::may_have_key(&self.route.base_url, &url)
                && self.context.secrets.check_hosts(&url).is_ok();
            let headers = if may_have_key {
                credentials.clone()
            } else {
                HeaderMap::new()
            };
            answer = self.ask(Method::GET, url, headers, None).await?;
        }
    }

    async fn ask(
        &self,
        method: Method,
        url: Url,
        headers: HeaderMap,
        body: Option<Bytes>,
    ) -> Result<Answer, Failure> {
        let sending = Sending {
            egress: self.egress(&url),
            method,
            url,
            headers,
            body,
            redactor: &self.context.redactor,
            max_bytes: MAX_ANSWER_BYTES,
        };
        let answer = exchange::send(sending).await?;
        let (provider, redactor) = (self.order.provider, self.context.redactor.clone());
        let read = move || {
            let body: Value = serde_json::from_slice(&answer).map_err(|_| {
                let text = String::from_utf8_lossy(&answer[..answer.len().min(MAX_EXCERPT_BYTES)]);
                // Before it is cut: half of a key would not be found.
                let text = redactor.beginning(&text);
                wire::malformed("is not JSON").with_answer(wire::before_content(&text))
            })?;
            wire::read(provider, &body)
        };
        // Megabytes of base64.
        let read = self.context.cpu.run(read).await;
        read.map_err(|error| Failure::new(Reason::AnswerMalformed, error.to_string()))?
    }

    /// Fetches an image from where the provider has put it.
    async fn fetch(&self, url: Url) -> Result<Bytes, Failure> {
        let sending = Sending {
            egress: self.egress(&url),
            method: Method::GET,
            url,
            headers: HeaderMap::new(),
            body: None,
            redactor: &self.context.redactor,
            max_bytes: MAX_IMAGE_BYTES,
        };
        exchange::send(sending).await
    }

    /// The operator's word holds for the address that he named, and for no other that an answer names.
    fn egress(&self, url: &Url) -> &crate::egress::Egress {
        let guarded = &self.context.egress;
        let is_named = self.route.base_url.origin() == url.origin();
        match self.route.via {
            Via::Environment if is_named => self.providers.egress(self.route, guarded),
            Via::Environment | Via::Policy => guarded,
        }
    }
}

fn of_refusal(refusal: &Refusal) -> Failure {
    let reason = match refusal {
        Refusal::NotConfigured { .. } => Reason::ProviderNotConfigured,
        Refusal::KeyNotForBaseUrl { .. } => Reason::KeyNotForBaseUrl,
        Refusal::BaseUrl(_) => Reason::UrlInvalid,
    };
    Failure::new(reason, refusal.to_string())
}
