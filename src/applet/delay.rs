//! `delay`: waits for some time or until a time, then outputs its input.
//!
//! The wait is durable: the run leaves memory, and when the time has come the applet is called again with `woken` set.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::failure::TEMPLATE_REASONS;
use super::{Applet, Awaited, Completion, Context, Description, Effect, Error, Outcome, Wait};
use crate::flow::Violation;
use crate::template::{Templated, is_template};

/// The longest wait: 30 days, in seconds.
const MAX_SECONDS: f64 = 30.0 * 24.0 * 60.0 * 60.0;

/// Waits.
#[derive(Clone, Copy, Debug, Default)]
pub struct Delay;

/// What the author of a flow sets on a `delay` node: one of the two.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How long, in seconds, from 0 up to 2,592,000 (30 days); fractions count.
    #[serde(default)]
    #[schemars(with = "Templated<f64>")]
    seconds: Option<Templated<f64>>,
    /// Until when, as in RFC 3339 (`2026-12-24T18:00:00+01:00`), at most 30 days ahead; what is past is no wait.
    #[serde(default)]
    #[schemars(with = "String")]
    until: Option<String>,
}

impl Applet for Delay {
    const KIND: &'static str = "delay";

    type Config = Config;

    fn description() -> Description {
        Description {
            version: 1,
            title: "Delay",
            text: "Waits for `seconds` or until the time `until`, at most 30 days, then outputs its input. The wait \
                   outlasts restarts and costs no memory.",
            handles: &[],
            effect: Effect::Pure,
            reasons: TEMPLATE_REASONS,
            example: || json!({"seconds": 60}),
            raw: &[],
            deferred: &[],
            default_timeout: Duration::from_secs(10),
            max_timeout: Duration::from_mins(1),
        }
    }

    fn effect(_config: &Config) -> Effect {
        Effect::Pure
    }

    fn check(config: &Config) -> Vec<Violation> {
        let mut violations = Vec::new();
        match (&config.seconds, &config.until) {
            (None, None) => violations.push(Violation::at(
                "seconds",
                "REQUIRED",
                "either seconds or until says how long to wait",
            )),
            (Some(_), Some(_)) => violations.push(Violation::at(
                "until",
                "CONFLICT",
                "seconds is set too; only one of them can be",
            )),
            _ => {}
        }
        violations.extend(check_seconds("seconds", config.seconds.as_ref()));
        if let Some(until) = &config.until
            && !is_template(until)
            && let Err(error) = DateTime::parse_from_rfc3339(until)
        {
            let description = format!("{until:?} is no time as in RFC 3339: {error}");
            violations.push(Violation::at("until", "INVALID_TIME", description));
        }
        violations
    }

    async fn run(&self, context: Context, config: Config) -> Result<Completion, Error> {
        let now = Utc::now();
        let wake = config.wake_time(now)?;
        if context.woken.is_some() || wake <= now {
            return Ok(Completion::Done(Outcome::of(context.input)));
        }
        Ok(Completion::Wait(Wait {
            until: Some(wake),
            awaited: Awaited::Time,
        }))
    }
}

impl Config {
    fn wake_time(self, now: DateTime<Utc>) -> Result<DateTime<Utc>, Error> {
        if let Some(seconds) = self.seconds {
            return after(now, seconds, "seconds");
        }
        let until = self.until.unwrap_or_default();
        let wake = DateTime::parse_from_rfc3339(&until)
            .map_err(|error| Violation::at("until", "INVALID_TIME", error.to_string()))?
            .to_utc();
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a constant that is a whole number of seconds"
        )]
        let latest = now + TimeDelta::seconds(MAX_SECONDS as i64);
        if wake > latest {
            let bounds = "at most 30 days ahead";
            return Err(Violation::out_of_bounds("until", until, bounds).into());
        }
        Ok(wake)
    }
}

/// What is wrong with a number of seconds to wait, as far as it is known.
pub(super) fn check_seconds(field: &str, seconds: Option<&Templated<f64>>) -> Option<Violation> {
    let seconds = seconds.and_then(Templated::known)?;
    (!(0.0..=MAX_SECONDS).contains(seconds))
        .then(|| Violation::out_of_bounds(field, seconds, "0 to 2592000 (30 days)"))
}

/// The time after so many seconds.
pub(super) fn after(
    now: DateTime<Utc>,
    seconds: Templated<f64>,
    field: &str,
) -> Result<DateTime<Utc>, Error> {
    let seconds = seconds
        .into_value()
        .map_err(|error| Violation::at(field, "WRONG_TYPE", error.to_string()))?;
    let wait = Duration::try_from_secs_f64(seconds)
        .ok()
        .and_then(|wait| TimeDelta::from_std(wait).ok())
        .ok_or_else(|| Violation::out_of_bounds(field, seconds, "0 to 2592000"))?;
    Ok(now + wait)
}
