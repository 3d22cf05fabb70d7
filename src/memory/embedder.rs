//! The embedder: what gives a vector for a text.
//!
//! It speaks OpenAI's form (`POST {base}/embeddings`), which many servers understand, or Ollama's
//! (`POST {base}/api/embed`). Its address comes from the operator, so it is not guarded like the requests of flows.

use std::fmt;
use std::time::Instant;

use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::text;
use crate::config::Secret;
use crate::egress::{self, Delivery, Egress, Redirects, Request, Verification};
use crate::store::memories::vectors::Vector;

/// How many characters of a text are embedded, the first ones: models read about 8,000 tokens.
const MAX_CHARS: usize = 8_000;
/// The most coordinates that the extension `vector` stores.
const MAX_DIMENSIONS: usize = 16_000;

/// The form in which an embedder is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `POST {base}/embeddings`.
    OpenAi,
    /// `POST {base}/api/embed`.
    Ollama,
}

/// Which embedder, and how it is reached.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its form.
    pub form: Form,
    /// The address that the paths are added to, with or without a slash at its end.
    pub base_url: Url,
    /// The model.
    pub model: String,
    /// Sent as a bearer token.
    pub api_key: Option<Secret>,
    /// How many coordinates are asked for; as many as the model has if unset.
    pub dimensions: Option<u16>,
}

/// Gives vectors for texts; cheap to clone.
#[derive(Clone)]
pub struct Embedder {
    settings: Settings,
    egress: Egress,
}

impl fmt::Debug for Embedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedder")
            .field("model", &self.settings.model)
            .finish_non_exhaustive()
    }
}

/// Why there is no vector.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No answer.
    #[error(transparent)]
    Exchange(#[from] egress::Error),
    /// An answer of 300 or above.
    #[error("the embedder answered with status {0}")]
    Status(u16),
    /// An answer without a vector in it.
    #[error("the embedder's answer {0}")]
    Malformed(String),
    /// The key cannot be sent.
    #[error("the embedder's key holds a line break or a control character")]
    BadKey,
}

impl Embedder {
    /// An embedder that is reached by this way out.
    #[must_use]
    pub const fn new(settings: Settings, egress: Egress) -> Self {
        Self { settings, egress }
    }

    /// The model's name.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.settings.model
    }

    /// The vector of a text, which is not blank. One request, no second try.
    ///
    /// # Errors
    ///
    /// All kinds of [`Error`].
    pub async fn embed(
        &self,
        text: &str,
        deadline: Instant,
        cancelled: &CancellationToken,
    ) -> Result<Vector, Error> {
        let request = self.request(text, deadline, cancelled)?;
        let answer = self.egress.send(request).await?;
        if !answer.status.is_success() {
            return Err(Error::Status(answer.status.as_u16()));
        }
        let body: Value = serde_json::from_slice(&answer.body)
            .map_err(|_| Error::Malformed("is not JSON".to_owned()))?;
        let coordinates = self.coordinates(&body)?;
        let form = match self.settings.form {
            Form::OpenAi => "openai",
            Form::Ollama => "ollama",
        };
        Ok(Vector {
            // Vectors of different lengths cannot be compared, also of one model.
            model: format!("{form}/{}/{}", self.settings.model, coordinates.len()),
            coordinates,
        })
    }

    fn request(
        &self,
        text: &str,
        deadline: Instant,
        cancelled: &CancellationToken,
    ) -> Result<Request, Error> {
        let settings = &self.settings;
        let (path, mut body) = match settings.form {
            Form::OpenAi => ("embeddings", json!({"encoding_format": "float"})),
            Form::Ollama => ("api/embed", json!({"truncate": true})),
        };
        body["model"] = settings.model.as_str().into();
        body["input"] = text::beginning(text, MAX_CHARS).into();
        if let Some(dimensions) = settings.dimensions {
            body["dimensions"] = dimensions.into();
        }
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(key) = &settings.api_key {
            let value = format!("Bearer {}", key.expose());
            let mut value = HeaderValue::from_str(&value).map_err(|_| Error::BadKey)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let mut url = settings.base_url.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/{path}"));
        Ok(Request {
            method: http::Method::POST,
            url,
            headers,
            body: Some(body.to_string().into()),
            redirects: Redirects::Return,
            verification: Verification::Required,
            delivery: Delivery::Repeatable,
            deadline,
            cancelled: cancelled.clone(),
        })
    }

    fn coordinates(&self, body: &Value) -> Result<Vec<f32>, Error> {
        let vector = match self.settings.form {
            Form::OpenAi => &body["data"][0]["embedding"],
            Form::Ollama => &body["embeddings"][0],
        };
        let malformed = |why: &str| Error::Malformed(why.to_owned());
        let list = vector
            .as_array()
            .ok_or_else(|| malformed("holds no vector"))?;
        if !(1..=MAX_DIMENSIONS).contains(&list.len()) {
            let why = format!(
                "has {} coordinates; 1 to {MAX_DIMENSIONS} can be kept",
                list.len()
            );
            return Err(Error::Malformed(why));
        }
        if let Some(wanted) = self.settings.dimensions
            && list.len() != usize::from(wanted)
        {
            let why = format!("has {} coordinates instead of {wanted}", list.len());
            return Err(Error::Malformed(why));
        }
        list.iter()
            .map(|one| {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "vectors are stored as single floats"
                )]
                let coordinate = one.as_f64().map(|one| one as f32);
                coordinate
                    .filter(|one| one.is_finite())
                    .ok_or_else(|| malformed("has a coordinate that is no number"))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
