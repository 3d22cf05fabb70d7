//! What the engine read from a node's `data`: timeout, retries and fallback, which are fields of the node here.

use std::time::Duration;

use serde_json::{Map, Value};

use super::config::number;
use super::kinds::Kind;
use crate::flow::{OnError, RetryPolicy};
use crate::ids::NodeId;
use crate::import::notes::{Notes, Place};

/// What was moved out of `data`.
#[derive(Debug, Default)]
pub(super) struct Policies {
    pub(super) timeout: Option<Duration>,
    pub(super) retry: Option<RetryPolicy>,
    pub(super) on_error: Option<OnError>,
}

/// The longest wait between two attempts that is carried over.
const MAX_INTERVAL: Duration = Duration::from_hours(24);

/// Takes the policies out of `data`. `is_node` tells whether the flow has a node of an id.
pub(super) fn take(
    kind: Option<Kind>,
    data: &mut Map<String, Value>,
    is_node: &dyn Fn(&str) -> bool,
    place: &Place,
    notes: &mut Notes,
) -> Policies {
    let mut taken = Taken { data, place, notes };
    if !kind.is_none_or(Kind::is_ordinary) {
        taken.drop_all();
        return Policies::default();
    }
    let timeout = taken.timeout(kind);
    let engine = taken.engine_retry();
    let http = (kind == Some(Kind::HttpRequest))
        .then(|| taken.http_retry(engine.is_some()))
        .flatten();
    Policies {
        timeout,
        retry: engine.or(http),
        on_error: taken.fallback(is_node),
    }
}

/// The fallback that a node names, before anything is converted.
pub(super) fn fallback_of(data: &Map<String, Value>) -> Option<&str> {
    ["fallback_node_id", "fallbackNodeId"]
        .iter()
        .find_map(|key| data.get(*key)?.as_str())
        .map(str::trim)
}

struct Taken<'a> {
    data: &'a mut Map<String, Value>,
    place: &'a Place,
    notes: &'a mut Notes,
}

impl Taken<'_> {
    /// The value under the first of these keys that has one.
    fn value(&mut self, keys: &[&'static str]) -> Option<(Place, Value)> {
        let mut found = None;
        for key in keys {
            let value = self.data.remove(*key).filter(|value| !value.is_null());
            if let Some(value) = value
                && found.is_none()
            {
                found = Some((self.place.key(key), value));
            }
        }
        found
    }

    fn note_moved(&mut self, place: &Place, field: &str) {
        let description = format!("is the field {field} of the node here");
        self.notes.add(place, "KEY_MOVED", description);
    }

    fn note_dropped(&mut self, place: &Place, why: &str) {
        let description = format!("left out: {why}");
        self.notes.add(place, "KEY_DROPPED", description);
    }

    /// `start` and `end` never had policies.
    fn drop_all(&mut self) {
        for keys in [
            ["timeout_seconds", "timeoutSeconds"],
            ["retry_config", "retryConfig"],
            ["fallback_node_id", "fallbackNodeId"],
        ] {
            if let Some((place, _)) = self.value(&keys) {
                self.note_dropped(&place, "it had no effect on a node of this kind");
            }
        }
    }

    fn timeout(&mut self, kind: Option<Kind>) -> Option<Duration> {
        let (place, value) = self.value(&["timeout_seconds", "timeoutSeconds"])?;
        if kind == Some(Kind::ForEach) {
            let why = "a loop as a whole has none: its steps have their own, and the run has policy.run_timeout";
            self.note_dropped(&place, why);
            return None;
        }
        let timeout = seconds(value).filter(|timeout| !timeout.is_zero());
        if timeout.is_some() {
            self.note_moved(&place, "timeout");
        } else {
            self.note_dropped(&place, "it is no number of seconds above 0");
        }
        timeout
    }

    fn engine_retry(&mut self) -> Option<RetryPolicy> {
        let (place, value) = self.value(&["retry_config", "retryConfig"])?;
        let Value::Object(config) = value else {
            self.note_dropped(&place, "it is no object");
            return None;
        };
        let field = |keys: [&str; 2]| {
            let value = keys.iter().find_map(|key| config.get(*key)).cloned();
            value.and_then(|value| number(value).as_f64())
        };
        let retries = field(["max_retries", "maxRetries"]).unwrap_or(0.0);
        let delay = field(["delay", "retry_delay"]).unwrap_or(1.0);
        let backoff = field(["backoff", "backoff_factor"]).unwrap_or(2.0);
        let policy = policy(retries, delay, backoff);
        if policy.is_some() {
            self.note_moved(&place, "retry");
        } else {
            self.note_dropped(&place, "it asks for no second attempt");
        }
        policy
    }

    fn http_retry(&mut self, is_decided: bool) -> Option<RetryPolicy> {
        let factor = self.value(&["retry_backoff_factor", "retryBackoffFactor"]);
        let Some((place, value)) = self.value(&["max_retries", "maxRetries"]) else {
            let (place, _) = factor?;
            self.note_dropped(&place, "it asks for no second attempt");
            return None;
        };
        let factor = factor.and_then(|(_, value)| number(value).as_f64());
        let policy = policy(
            number(value).as_f64().unwrap_or(0.0),
            factor.unwrap_or(0.5),
            2.0,
        );
        if policy.is_none() || is_decided {
            let why = if is_decided {
                "retry_config decides about attempts"
            } else {
                "it asks for no second attempt"
            };
            self.note_dropped(&place, why);
            return None;
        }
        self.note_moved(&place, "retry");
        let description = "an answer of 500 or above is no failure while fail_on_status is false, and so it is not \
                           retried as it was: set fail_on_status to true for that";
        self.notes.add(&place, "MEANING_DIFFERS", description);
        policy
    }

    fn fallback(&mut self, is_node: &dyn Fn(&str) -> bool) -> Option<OnError> {
        let (place, value) = self.value(&["fallback_node_id", "fallbackNodeId"])?;
        let id = value.as_str().map(str::trim).unwrap_or_default();
        if id.is_empty() {
            return None;
        }
        if !is_node(id) {
            self.note_dropped(&place, "no node has this id");
            return None;
        }
        self.note_moved(&place, "on_error.fallback");
        Some(OnError::Fallback(NodeId::from(id)))
    }
}

/// Seconds that are written as a number or text.
fn seconds(value: Value) -> Option<Duration> {
    Duration::try_from_secs_f64(number(value).as_f64()?).ok()
}

/// The policy for this many retries, brought into the bounds that policies have here.
fn policy(retries: f64, delay: f64, backoff: f64) -> Option<RetryPolicy> {
    const MOST_RETRIES: f64 = 99.0;
    const MOST_BACKOFF: f64 = 100.0;
    const SHORTEST: Duration = Duration::from_millis(1);
    if retries.is_nan() || retries < 1.0 {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is within 1 and 99"
    )]
    let retries = retries.min(MOST_RETRIES) as u32;
    let coefficient = backoff.clamp(1.0, MOST_BACKOFF);
    let initial = Duration::try_from_secs_f64(delay.max(0.0)).unwrap_or(MAX_INTERVAL);
    let longest = delay * coefficient.powf(f64::from(retries - 1));
    let longest = Duration::try_from_secs_f64(longest.max(0.0)).unwrap_or(MAX_INTERVAL);
    let default = RetryPolicy::default();
    Some(RetryPolicy {
        max_attempts: retries + 1,
        initial_interval: initial.clamp(SHORTEST, MAX_INTERVAL),
        coefficient,
        max_interval: longest.clamp(default.max_interval, MAX_INTERVAL),
        ..default
    })
}
