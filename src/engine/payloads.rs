//! Payloads as values: what a step gives becomes text with a size and a hash; what it needs is loaded on use.
//!
//! In memory a finished step is state, size, hash and sequence. Values that were used lately are kept in a cache that
//! is bounded in bytes; what is not there is read from the store.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use serde_json::Value;

use crate::cpu::Cpu;
use crate::crash_points::reach;
use crate::ids::{RunId, RunKey};
use crate::run::event::{ChunkKey, PayloadInfo};
use crate::store::{self, Store, events, payloads};
use crate::value::canonical;
use crate::{applet, value};

/// The most bytes of a payload that lies beside its event; a larger one lies in chunks.
pub const INLINE_BYTES: usize = 32 * 1024;

/// The most bytes of text that are parsed or written where asynchronous work runs.
const BRIEF_BYTES: usize = 16 * 1024;

/// A payload as value and as text.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// The value.
    pub value: Arc<Value>,
    /// Its JSON text.
    pub text: Arc<str>,
    /// Size and hash of the text; no place yet.
    pub info: PayloadInfo,
}

impl Encoded {
    /// Encodes a value that keeps the rules of payloads.
    #[must_use]
    pub fn new(value: Arc<Value>) -> Self {
        let text: Arc<str> = value.to_string().into();
        let info = PayloadInfo {
            size_bytes: text.len() as u64,
            sha256: canonical::hex(&canonical::digest(text.as_bytes())),
            chunks: None,
        };
        Self { value, text, info }
    }

    /// Checks what an applet gave, and encodes it.
    ///
    /// # Errors
    ///
    /// The step's failure: U+0000, nesting too deep, too large.
    pub fn of_output(mut output: Arc<Value>, max_bytes: u64) -> Result<Self, applet::Error> {
        value::settle_output(Arc::make_mut(&mut output), max_bytes).map_err(|error| {
            let reason = match error {
                value::Error::TooLarge { .. } => "OUTPUT_TOO_LARGE",
                _ => error.reason(),
            };
            applet::Error::permanent(reason, format!("output: {error}"))
        })?;
        Ok(Self::new(output))
    }

    /// Whether it lies beside its event.
    #[must_use]
    pub fn is_inline(&self) -> bool {
        self.text.len() <= INLINE_BYTES
    }
}

/// Loads and stores payloads; cheap to share.
#[derive(Debug)]
pub struct Payloads {
    store: Store,
    cpu: Cpu,
    values: Cache<(RunId, i64), Arc<Value>, Weight>,
}

/// A value's weight is about what it takes in memory: some times its text.
#[derive(Clone, Debug)]
struct Weight;

impl Weighter<(RunId, i64), Arc<Value>> for Weight {
    fn weight(&self, _key: &(RunId, i64), value: &Arc<Value>) -> u64 {
        value::measure(value, u64::MAX).map_or(64, |measure| 64 + 4 * measure.bytes)
    }
}

impl Payloads {
    /// A cache of so many bytes in front of the store.
    #[must_use]
    pub fn new(store: Store, cpu: Cpu, cache_bytes: u64) -> Self {
        let entries = usize::try_from(cache_bytes / 1_024)
            .unwrap_or(usize::MAX)
            .clamp(16, 100_000);
        Self {
            store,
            cpu,
            values: Cache::with_weighter(entries, cache_bytes, Weight),
        }
    }

    /// Keeps a value at hand, of the event `sequence`.
    pub fn keep(&self, run: RunId, sequence: i64, value: Arc<Value>) {
        self.values.insert((run, sequence), value);
    }

    /// Whether the value of the event `sequence` is at hand.
    #[must_use]
    pub fn is_at_hand(&self, run: RunId, sequence: i64) -> bool {
        self.values.peek(&(run, sequence)).is_some()
    }

    /// The value of the event `sequence`, if it is at hand.
    #[must_use]
    pub fn find(&self, run: RunId, sequence: i64) -> Option<Arc<Value>> {
        self.values.get(&(run, sequence))
    }

    /// Writes a payload that is too large to lie beside its event, and gives its place.
    ///
    /// # Errors
    ///
    /// As every query.
    pub async fn write(
        &self,
        key: &RunKey,
        encoded: &Encoded,
        at: ChunkKey,
    ) -> store::Result<PayloadInfo> {
        let mut conn = self.store.conn().await?;
        payloads::write(&mut conn, key, &at, encoded.text.as_bytes()).await?;
        reach("payload.after");
        Ok(PayloadInfo {
            chunks: Some(at),
            ..encoded.info.clone()
        })
    }

    /// The text of the payload of one event.
    ///
    /// # Errors
    ///
    /// As every query; [`store::Error::Corrupt`] if it is not there.
    pub async fn text(
        &self,
        key: &RunKey,
        sequence: i64,
        info: &PayloadInfo,
    ) -> store::Result<String> {
        let missing = || {
            store::Error::Corrupt(format!(
                "the payload of event {sequence} of run {key} is missing"
            ))
        };
        let mut conn = self.store.conn().await?;
        match &info.chunks {
            None => events::find_payload(&mut conn, key, sequence)
                .await?
                .ok_or_else(missing),
            Some(at) => {
                let bytes = payloads::read(&mut conn, key, at).await?;
                if bytes.len() as u64 == info.size_bytes {
                    String::from_utf8(bytes).map_err(|_| missing())
                } else {
                    Err(missing())
                }
            }
        }
    }

    /// The value of the payload of one event, from the cache or the store.
    ///
    /// # Errors
    ///
    /// As [`Payloads::text`].
    pub async fn value(
        &self,
        key: &RunKey,
        sequence: i64,
        info: &PayloadInfo,
    ) -> store::Result<Arc<Value>> {
        let at = (key.run_id, sequence);
        if let Some(value) = self.find(key.run_id, sequence) {
            return Ok(value);
        }
        let text: Arc<str> = self.text(key, sequence, info).await?.into();
        let value = self.parsed(key, text).await?;
        self.values.insert(at, Arc::clone(&value));
        Ok(value)
    }

    /// Value and text of a payload that lies beside its event, to be put beside another one as it is.
    ///
    /// # Errors
    ///
    /// As [`Payloads::text`].
    pub async fn encoded(
        &self,
        key: &RunKey,
        sequence: i64,
        info: &PayloadInfo,
    ) -> store::Result<Encoded> {
        let text: Arc<str> = self.text(key, sequence, info).await?.into();
        let value = self.parsed(key, Arc::clone(&text)).await?;
        let info = info.clone();
        Ok(Encoded { value, text, info })
    }

    async fn parsed(&self, key: &RunKey, text: Arc<str>) -> store::Result<Arc<Value>> {
        let brief = text.len() <= BRIEF_BYTES;
        let parse = move || serde_json::from_str::<Value>(&text);
        let parsed = if brief {
            parse()
        } else {
            self.cpu
                .run(parse)
                .await
                .map_err(|panic| store::Error::Corrupt(panic.to_string()))?
        };
        Ok(Arc::new(parsed.map_err(|error| {
            store::Error::Corrupt(format!("payload of run {key}: {error}"))
        })?))
    }
}
