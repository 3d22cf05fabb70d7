//! How many requests and tokens a minute each key may use, shared by all steps of the process.
//!
//! One bucket a kind and key, which fills up within a minute. Who comes when it is empty reserves its place and waits
//! for it, first come first served; what cannot be had before the attempt's deadline is refused at once, with the time
//! when it could be. Tokens are reserved by an estimate and settled when the answer says what was used, so that a bucket
//! can be in debt. A key that the provider asked to wait (`Retry-After`) waits for everybody.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{Credential, Provider};

/// The longest that a provider can have everybody wait: five minutes. Its answer holds for all that use the key at that address.
pub const MAX_BLOCK: Duration = Duration::from_mins(5);

/// Keys that are remembered before those are forgotten of which nothing is to be remembered.
const MANY_KEYS: usize = 1_000;

/// The limits by provider, and how far each key is.
#[derive(Default)]
pub struct Limits {
    rates: BTreeMap<Provider, Rate>,
    meters: Mutex<HashMap<Credential, Arc<Mutex<Meter>>>>,
}

/// What one key may use in a minute; `None` is without limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    /// Requests.
    pub requests: Option<u64>,
    /// Tokens of prompts and answers together.
    pub tokens: Option<u64>,
}

/// The limit lets no request go before its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key may be used again in {} s", .wait.as_secs_f64().ceil())]
pub struct Limited {
    /// How long until it does.
    pub wait: Duration,
}

/// Leave to send one request.
#[derive(Debug)]
pub struct Admission {
    meter: Arc<Mutex<Meter>>,
    reserved_tokens: u64,
}

/// How far one key is.
#[derive(Debug)]
struct Meter {
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
    blocked_until: Option<Instant>,
}

#[derive(Debug)]
struct Bucket {
    capacity: f64,
    /// Below 0 where more is promised than there is.
    level: f64,
    as_of: Instant,
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits")
            .field("rates", &self.rates)
            .finish_non_exhaustive()
    }
}

/// `openai=requests:60,tokens:100000;anthropic=requests:50`
impl FromStr for Limits {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut rates = BTreeMap::new();
        for part in text
            .split(';')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            let (name, limits) = part
                .split_once('=')
                .ok_or_else(|| format!("{part:?} is not PROVIDER=requests:N,tokens:N"))?;
            let name = name.trim();
            let provider =
                Provider::find(name).ok_or_else(|| format!("there is no provider {name:?}"))?;
            if rates.insert(provider, rate(limits)?).is_some() {
                return Err(format!("{name} is there twice"));
            }
        }
        Ok(Self {
            rates,
            meters: Mutex::default(),
        })
    }
}

fn rate(text: &str) -> Result<Rate, String> {
    let mut rate = Rate::default();
    for part in text.split(',') {
        let wrong = || format!("{part:?} is not requests:N or tokens:N with N from 1");
        let (kind, count) = part.split_once(':').ok_or_else(wrong)?;
        let count: u32 = count.trim().parse().map_err(|_| wrong())?;
        let place = match kind.trim() {
            "requests" => &mut rate.requests,
            "tokens" => &mut rate.tokens,
            _ => return Err(wrong()),
        };
        if count == 0 || place.replace(u64::from(count)).is_some() {
            return Err(wrong());
        }
    }
    Ok(rate)
}

impl Limits {
    /// Waits until the key may be used for a request of about `tokens` tokens.
    ///
    /// Whoever stops waiting gives its place back.
    ///
    /// # Errors
    ///
    /// [`Limited`] at once, if that will not be before `deadline`.
    pub async fn admit(
        &self,
        credential: &Credential,
        tokens: u64,
        deadline: std::time::Instant,
    ) -> Result<Admission, Limited> {
        let meter = self.meter(credential);
        let deadline = Instant::from_std(deadline);
        let wait = locked(&meter).reserve(tokens, deadline)?;
        let mut place = Place {
            admission: Some(Admission {
                meter,
                reserved_tokens: tokens,
            }),
        };
        tokio::time::sleep(wait).await;
        // The provider may have asked others to wait meanwhile.
        while let Some(wait) = place.blocked_for() {
            if Instant::now() + wait > deadline {
                return Err(Limited { wait });
            }
            tokio::time::sleep(wait).await;
        }
        Ok(place.take())
    }

    /// Has all who use the key wait, at most [`MAX_BLOCK`].
    pub fn block(&self, credential: &Credential, wait: Duration) {
        let until = Instant::now() + wait.min(MAX_BLOCK);
        let meter = self.meter(credential);
        let mut meter = locked(&meter);
        meter.blocked_until = meter.blocked_until.max(Some(until));
    }

    fn meter(&self, credential: &Credential) -> Arc<Mutex<Meter>> {
        let mut meters = locked(&self.meters);
        if let Some(meter) = meters.get(credential) {
            return Arc::clone(meter);
        }
        if meters.len() >= MANY_KEYS {
            let now = Instant::now();
            meters.retain(|_, meter| Arc::strong_count(meter) > 1 || !locked(meter).is_fresh(now));
        }
        let rate = self.rates.get(&credential.provider);
        let rate = rate.copied().unwrap_or_default();
        let meter = Arc::new(Mutex::new(Meter {
            requests: rate.requests.map(Bucket::full),
            tokens: rate.tokens.map(Bucket::full),
            blocked_until: None,
        }));
        meters.insert(credential.clone(), Arc::clone(&meter));
        meter
    }
}

impl Admission {
    /// Says how many tokens it came to; without that the estimate stands.
    pub fn settle(self, tokens: u64) {
        let mut meter = locked(&self.meter);
        if let Some(bucket) = &mut meter.tokens {
            bucket.level += bucket.share(self.reserved_tokens) - count(tokens);
        }
    }

    fn give_back(self) {
        if let Some(bucket) = &mut locked(&self.meter).requests {
            bucket.level += 1.0;
        }
        self.settle(0);
    }
}

/// A place in the queue, given back when nobody waits for it any more.
struct Place {
    /// Until it is taken.
    admission: Option<Admission>,
}

impl Place {
    fn blocked_for(&self) -> Option<Duration> {
        let admission = self.admission.as_ref()?;
        locked(&admission.meter).blocked_for(Instant::now())
    }

    fn take(&mut self) -> Admission {
        self.admission.take().expect("it is taken once, at the end")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(admission) = self.admission.take() {
            admission.give_back();
        }
    }
}

impl Meter {
    /// Takes one request and `tokens` tokens if they come in time, and says when.
    fn reserve(&mut self, tokens: u64, deadline: Instant) -> Result<Duration, Limited> {
        let now = Instant::now();
        let mut wait = self.blocked_for(now).unwrap_or_default();
        if let Some(bucket) = &mut self.requests {
            wait = wait.max(bucket.wait_for(1.0, now));
        }
        if let Some(bucket) = &mut self.tokens {
            let share = bucket.share(tokens);
            wait = wait.max(bucket.wait_for(share, now));
        }
        if now + wait > deadline {
            return Err(Limited { wait });
        }
        if let Some(bucket) = &mut self.requests {
            bucket.level -= 1.0;
        }
        if let Some(bucket) = &mut self.tokens {
            bucket.level -= bucket.share(tokens);
        }
        Ok(wait)
    }

    fn blocked_for(&self, now: Instant) -> Option<Duration> {
        let wait = self.blocked_until?.saturating_duration_since(now);
        (!wait.is_zero()).then_some(wait)
    }

    /// Whether a new one would be the same.
    fn is_fresh(&mut self, now: Instant) -> bool {
        let buckets = [&mut self.requests, &mut self.tokens];
        let full = buckets.into_iter().flatten().all(|bucket| {
            bucket.fill(now);
            bucket.level >= bucket.capacity
        });
        full && self.blocked_for(now).is_none()
    }
}

impl Bucket {
    fn full(capacity: u64) -> Self {
        Self {
            capacity: count(capacity),
            level: count(capacity),
            as_of: Instant::now(),
        }
    }

    fn fill(&mut self, now: Instant) {
        let minutes = now.saturating_duration_since(self.as_of).as_secs_f64() / 60.0;
        self.level = (self.level + self.capacity * minutes).min(self.capacity);
        self.as_of = now;
    }

    /// What it can give at once: a request for more than a whole minute's share would wait for ever.
    fn share(&self, tokens: u64) -> f64 {
        count(tokens).min(self.capacity)
    }

    fn wait_for(&mut self, amount: f64, now: Instant) -> Duration {
        self.fill(now);
        let missing = (amount - self.level).max(0.0);
        Duration::from_secs_f64(missing / self.capacity * 60.0)
    }
}

fn count(number: u64) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

/// Whoever panicked with a lock in hand has left numbers behind, all of them valid.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
