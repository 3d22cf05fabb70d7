//! One attempt: the models are asked in turn until one answers as wanted.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Llm;
use super::compose::{Question, Target};
use super::outcome::{self, Given, Try};
use crate::applet::{Context, Error, Outcome};
use crate::expression;
use crate::llm::{self, Answer, Call, Failure, Format, Reason, Request, json};
use crate::provider::{Refusal, Route};
use crate::redact::Redactor;
use crate::usage::Usage;

/// What is left of an attempt's time for saying how it ended.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// The longest list of violations that is shown, in bytes.
const MAX_PROBLEM_BYTES: usize = 2_000;

impl Llm {
    /// Asks `targets` in turn.
    pub(super) async fn ask(
        &self,
        context: &Context,
        question: &Question,
        targets: &[Target],
    ) -> Result<Outcome, Error> {
        let mut tries: Vec<Try> = Vec::new();
        for (index, target) in targets.iter().enumerate() {
            if let Some(last) = tries.last() {
                if !last
                    .failure
                    .as_ref()
                    .is_some_and(|failure| target.on.contains(&failure.reason))
                {
                    continue;
                }
                context.pen.restart();
            }
            let began = Instant::now();
            let mut usage = Usage::default();
            let asking = Asking {
                llm: self,
                context,
                question,
                target,
                deadline: share(began, context.deadline, targets.len() - index),
            };
            let outcome = asking.run(&mut usage).await;
            let (given, failure) = match outcome {
                Ok(given) => (Some(given), None),
                Err(failure) => (None, Some(failure.shown(&context.redactor))),
            };
            tries.push(Try {
                provider: target.provider,
                model: target.model.clone(),
                failure,
                usage,
                took: began.elapsed(),
            });
            if let Some(given) = given {
                return Ok(outcome::of(given, &tries));
            }
        }
        Err(outcome::failed(&tries))
    }
}

/// When the first of `left` models has to be through: each may take as long as the others.
fn share(now: Instant, deadline: Instant, left: usize) -> Instant {
    let time = deadline.saturating_duration_since(now);
    let time = time.saturating_sub(LAST_WORDS.min(time / 10));
    now + time / u32::try_from(left).unwrap_or(1).max(1)
}

/// One model being asked.
struct Asking<'a> {
    llm: &'a Llm,
    context: &'a Context,
    question: &'a Question,
    target: &'a Target,
    deadline: Instant,
}

impl Asking<'_> {
    async fn run(&self, usage: &mut Usage) -> Result<Given, Failure> {
        let (question, target) = (self.question, self.target);
        let providers = &self.llm.providers;
        let route = providers
            .route(target.provider, target.chosen())
            .map_err(|refusal| of_refusal(&refusal))?;
        self.check_secrets(&route)?;
        // The engine knows secrets; the server's own keys it does not.
        if let Some(key) = &route.key {
            self.context.redactor.add(key.expose());
        }
        let egress = providers.egress(&route, &self.context.egress);
        let client = egress
            .client(&route.base_url)
            .map_err(|error| Failure::from(&error.cause))?;
        let mut request = Request {
            model: target.model.clone(),
            messages: question.messages.clone(),
            sampling: question.sampling.clone(),
            format: question.format.clone(),
            extra: target.extra.clone(),
        };
        let key = &self.context.idempotency_key;
        let answer = self.call(&client, &route, &request, key, usage).await?;
        if question.format == Format::Text {
            return Ok(Given::text(answer));
        }
        let problem = match self.read(&answer).await? {
            Ok(value) => return Ok(Given::value(value, answer, false)),
            Err(problem) => problem,
        };
        if answer.is_truncated {
            let message =
                format!("max_tokens ended the answer before its JSON was whole: {problem}");
            return Err(Failure::new(Reason::Truncated, message).with_answer(&answer.text));
        }

        self.context.pen.restart();
        request
            .messages
            .extend(json::repair(&answer.text, &problem.text));
        let key = format!("{key}/repair");
        let answer = self.call(&client, &route, &request, &key, usage).await?;
        match self.read(&answer).await? {
            Ok(value) => Ok(Given::value(value, answer, true)),
            Err(problem) => {
                let message =
                    format!("the answer cannot be used, also when asked again: {problem}");
                Err(Failure::new(problem.reason, message).with_answer(&answer.text))
            }
        }
    }

    /// Whether what is sent may go there.
    fn check_secrets(&self, route: &Route) -> Result<(), Failure> {
        let secrets = &self.context.secrets;
        if secrets.is_empty() {
            return Ok(());
        }
        let values = self.target.headers.values();
        let mut sent: Vec<_> = values
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        sent.extend(route.key.as_ref().map(|key| key.expose().into()));
        let sent: Vec<&str> = sent.iter().map(AsRef::as_ref).collect();
        secrets
            .check_hosts_of(&route.base_url, &sent)
            .map_err(|refused| Failure::new(Reason::SecretNotForHost, refused.to_string()))
    }

    /// One call, once the limits let it go; what it uses is added to `usage`.
    async fn call(
        &self,
        client: &reqwest::Client,
        route: &Route,
        request: &Request,
        idempotency_key: &str,
        usage: &mut Usage,
    ) -> Result<Answer, Failure> {
        let providers = &self.llm.providers;
        let credential = route.credential();
        let limits = providers.limits();
        let estimate = llm::estimate(request);
        let admission = limits
            .admit(&credential, estimate, self.deadline)
            .await
            .map_err(|limited| Failure {
                retry_after: Some(limited.wait),
                ..Failure::new(Reason::RateLimited, limited.to_string())
            })?;
        let call = Call {
            client,
            route,
            request,
            headers: &self.target.headers,
            idempotency_key,
            redactor: &self.context.redactor,
            deadline: self.deadline,
        };
        let outcome = llm::ask(call, |text| self.context.pen.output(text)).await;
        let tokens = match &outcome {
            Ok(answer) => answer.tokens,
            Err(failure) => failure.tokens,
        };
        if let Some(tokens) = tokens {
            admission.settle(tokens.input.saturating_add(tokens.output));
            let model = match &outcome {
                Ok(answer) => answer.model.as_deref(),
                Err(_) => None,
            };
            let prices = providers.prices();
            let cost = |model| prices.find_cost(route.provider, model, tokens.input, tokens.output);
            let cost = cost(&request.model).or_else(|| cost(model?));
            usage.add(Usage {
                input_tokens: tokens.input,
                output_tokens: tokens.output,
                cost_micro_usd: cost.unwrap_or(0),
            });
        } else if outcome
            .as_ref()
            .is_err_and(|failure| failure.status.is_some())
        {
            // It was refused, and so has used nothing.
            admission.settle(0);
        }
        if let Err(failure) = &outcome
            && failure.reason == Reason::RateLimited
            && let Some(wait) = failure.retry_after
        {
            limits.block(&credential, wait);
        }
        outcome
    }

    /// The value of an answer that is to be JSON, or what is wrong with it.
    async fn read(&self, answer: &Answer) -> Result<Result<Value, Problem>, Failure> {
        let text = answer.text.clone();
        let schema = match &self.question.format {
            Format::Schema(schema) => Some(schema.clone()),
            Format::Text | Format::Json => None,
        };
        let compiled = std::sync::Arc::clone(&self.llm.compiled);
        let redactor = self.context.redactor.clone();
        let read = move || {
            let value = json::read(&text).map_err(|why| Problem {
                reason: Reason::NotJson,
                text: format!("it is no JSON: {why}"),
            })?;
            if let Some(schema) = schema {
                let fits = compiled.schema(&schema).and_then(|schema| {
                    schema.check_cost(&value)?;
                    Ok(schema.validate(&value))
                });
                fits.map_err(|error| Problem::of_check(&error))?
                    .map_err(|mismatches| Problem::of(&mismatches, &redactor))?;
            }
            Ok(value)
        };
        let read = self.context.cpu.run(read).await;
        read.map_err(|error| Failure::new(Reason::AnswerMalformed, error.to_string()))
    }
}

/// What is wrong with an answer that is to be JSON.
#[derive(Debug)]
struct Problem {
    reason: Reason,
    text: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl Problem {
    fn of(mismatches: &[expression::schema::Mismatch], redactor: &Redactor) -> Self {
        let mut text = "it does not fit the schema: ".to_owned();
        for (index, mismatch) in mismatches.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            let place = if mismatch.path.is_empty() {
                "/"
            } else {
                &mismatch.path
            };
            // Before it is cut: half of a value would not be found.
            let (place, message) = (redactor.text(place), redactor.text(&mismatch.message));
            write!(text, "{separator}at {place}: {message}")
                .expect("writing to a string does not fail");
            if text.len() > MAX_PROBLEM_BYTES {
                text.truncate(text.floor_char_boundary(MAX_PROBLEM_BYTES));
                text.push('…');
                break;
            }
        }
        Self {
            reason: Reason::SchemaMismatch,
            text,
        }
    }

    /// It cannot be told in bounded time, so that it counts as not fitting.
    fn of_check(error: &expression::Error) -> Self {
        Self {
            reason: Reason::SchemaMismatch,
            text: format!("it cannot be checked against the schema: {error}"),
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
