//! The reasons that calls fail for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::secrets::NotForHost;

/// Why a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Reason {
    /// Too many requests or tokens, here or at the provider.
    RateLimited,
    /// The account has nothing left to spend.
    QuotaExhausted,
    /// No whole answer in time.
    Timeout,
    /// The provider or the model refused to answer this.
    ContentFiltered,
    /// The answer is JSON that does not fit the schema, also when asked again.
    SchemaMismatch,
    /// The answer is no JSON, also when asked again.
    NotJson,
    /// The JSON broke off because the answer may have no more tokens.
    Truncated,
    /// The provider does not accept the key.
    AuthenticationFailed,
    /// The provider knows no such model.
    ModelNotFound,
    /// Prompt and answer have no room in the model.
    ContextTooLong,
    /// The provider does not understand the request.
    InvalidRequest,
    /// The provider cannot be reached, or has trouble of its own.
    ProviderUnavailable,
    /// The answer broke off.
    StreamCut,
    /// What came is not what the provider's API answers.
    AnswerMalformed,
    /// The answer is longer than an answer may be.
    AnswerTooLarge,
    /// The answer has no text.
    EmptyAnswer,
    /// There is no key, or no address.
    ProviderNotConfigured,
    /// The server's key would go to an address that the node chose.
    KeyNotForBaseUrl,
    /// The way out does not let requests go there.
    EgressBlocked,
    /// The address is none.
    UrlInvalid,
    /// A secret may not be sent to the address.
    SecretNotForHost,
}

impl Reason {
    /// All, with their meaning for people.
    pub const ALL: [(Self, &'static str); 21] = [
        (
            Self::RateLimited,
            "too many requests or tokens, for the provider or for SYNAPPS_PROVIDER_LIMITS; passes, and a Retry-After \
             is kept to",
        ),
        (
            Self::QuotaExhausted,
            "the provider's account has nothing left to spend",
        ),
        (Self::Timeout, "no whole answer in time; passes"),
        (
            Self::ContentFiltered,
            "the provider or the model refused to answer",
        ),
        (
            Self::SchemaMismatch,
            "the answer does not fit json_schema, also when asked again; the details say where; another attempt may",
        ),
        (
            Self::NotJson,
            "the answer is no JSON, also when asked again; another attempt may give some",
        ),
        (Self::Truncated, "the JSON broke off at max_tokens"),
        (
            Self::AuthenticationFailed,
            "the provider does not accept the key",
        ),
        (
            Self::ModelNotFound,
            "the provider knows no such model, or is not at this address",
        ),
        (
            Self::ContextTooLong,
            "the prompt, with max_tokens, has no room in the model",
        ),
        (
            Self::InvalidRequest,
            "the provider does not understand the request",
        ),
        (
            Self::ProviderUnavailable,
            "the provider cannot be reached, or answered 5xx; passes",
        ),
        (
            Self::StreamCut,
            "the answer broke off before it was whole; passes",
        ),
        (
            Self::AnswerMalformed,
            "what came is not what the provider's API answers; passes",
        ),
        (
            Self::AnswerTooLarge,
            "the answer is longer than 8 MiB of text",
        ),
        (
            Self::EmptyAnswer,
            "the answer has no text; another attempt may",
        ),
        (
            Self::ProviderNotConfigured,
            "neither the node nor the server has a key, or an address, for the provider",
        ),
        (
            Self::KeyNotForBaseUrl,
            "the node has a base_url of its own and no api_key made for it: the server's key does not go there",
        ),
        (
            Self::EgressBlocked,
            "base_url is not on the public internet, and the operator has not allowed it",
        ),
        (Self::UrlInvalid, "base_url is not a URL of http or https"),
        (
            Self::SecretNotForHost,
            "a secret in api_key or headers may not be sent to the provider's host",
        ),
    ];

    /// For programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RateLimited => "RATE_LIMITED",
            Self::QuotaExhausted => "QUOTA_EXHAUSTED",
            Self::Timeout => "TIMEOUT",
            Self::ContentFiltered => "CONTENT_FILTERED",
            Self::SchemaMismatch => "SCHEMA_MISMATCH",
            Self::NotJson => "NOT_JSON",
            Self::Truncated => "TRUNCATED",
            Self::AuthenticationFailed => "AUTHENTICATION_FAILED",
            Self::ModelNotFound => "MODEL_NOT_FOUND",
            Self::ContextTooLong => "CONTEXT_TOO_LONG",
            Self::InvalidRequest => "INVALID_REQUEST",
            Self::ProviderUnavailable => "PROVIDER_UNAVAILABLE",
            Self::StreamCut => "STREAM_CUT",
            Self::AnswerMalformed => "ANSWER_MALFORMED",
            Self::AnswerTooLarge => "ANSWER_TOO_LARGE",
            Self::EmptyAnswer => "EMPTY_ANSWER",
            Self::ProviderNotConfigured => "PROVIDER_NOT_CONFIGURED",
            Self::KeyNotForBaseUrl => "KEY_NOT_FOR_BASE_URL",
            Self::EgressBlocked => "EGRESS_BLOCKED",
            Self::UrlInvalid => "URL_INVALID",
            Self::SecretNotForHost => NotForHost::REASON,
        }
    }

    /// Whether the same call might end better another time. What a model makes up differs from time to time.
    #[must_use]
    pub const fn passes(self) -> bool {
        match self {
            Self::RateLimited
            | Self::Timeout
            | Self::SchemaMismatch
            | Self::NotJson
            | Self::ProviderUnavailable
            | Self::StreamCut
            | Self::AnswerMalformed
            | Self::EmptyAnswer => true,
            Self::QuotaExhausted
            | Self::ContentFiltered
            | Self::Truncated
            | Self::AuthenticationFailed
            | Self::ModelNotFound
            | Self::ContextTooLong
            | Self::InvalidRequest
            | Self::AnswerTooLarge
            | Self::ProviderNotConfigured
            | Self::KeyNotForBaseUrl
            | Self::EgressBlocked
            | Self::UrlInvalid
            | Self::SecretNotForHost => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_have_one_name() {
        for (reason, _) in Reason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.name());
        }
    }
}
