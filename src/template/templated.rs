//! A field of a config that is no text, but may hold a template that gives its value.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::is_template;

/// A `T`, or before rendering a template that gives one: `5` or `"{{ input.seconds }}"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Templated<T> {
    /// The value: always so in a rendered config.
    Value(T),
    /// A template, in a config that is being saved.
    Template(String),
}

impl<T> Templated<T> {
    /// The value, if it is known yet.
    #[must_use]
    pub const fn known(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Template(_) => None,
        }
    }

    /// The value of a rendered config; the error is for the rare text with braces that a template itself gave.
    ///
    /// # Errors
    ///
    /// `INVALID_CONFIG`.
    pub fn into_value(self) -> Result<T, NotRendered> {
        match self {
            Self::Value(value) => Ok(value),
            Self::Template(text) => Err(NotRendered(text)),
        }
    }
}

/// A template gave text that looks like a template where another value is needed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the template gave the text {0:?}, which is never rendered again, where another value is needed"
)]
pub struct NotRendered(String);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Templated<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) if is_template(&text) => Ok(Self::Template(text)),
            value => serde_json::from_value(value)
                .map(Self::Value)
                .map_err(D::Error::custom),
        }
    }
}

impl<T: JsonSchema> JsonSchema for Templated<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Templated_{}", T::schema_name()).into()
    }

    fn schema_id() -> Cow<'static, str> {
        format!("Templated<{}>", T::schema_id()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<T>();
        json_schema!({
            "anyOf": [value, {"type": "string", "pattern": r"\{\{.*\}\}"}]
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_template_stands_for_a_value() {
        let read = |value| serde_json::from_value::<Templated<u32>>(value);

        assert_eq!(read(json!(5)).unwrap(), Templated::Value(5));
        assert_eq!(
            read(json!("{{ input.n }}")).unwrap(),
            Templated::Template("{{ input.n }}".to_owned())
        );
        assert!(read(json!("5")).is_err());
        assert!(read(json!(-1)).is_err());
    }
}
