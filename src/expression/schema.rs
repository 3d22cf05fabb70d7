//! JSON schemas, of transforms and of a flow's input.

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

use super::Error;
use super::cost::SchemaWeight;
use crate::value;

/// The deepest nesting of a schema.
pub const MAX_NESTING: usize = value::MAX_NESTING;

/// The longest schema, in bytes of compact JSON.
pub const MAX_BYTES: u64 = 256 * 1024;

/// The most mismatches that are told.
const MAX_MISMATCHES: usize = 10;

/// A schema that has been compiled.
#[derive(Debug)]
pub struct Schema {
    validator: Validator,
    weight: SchemaWeight,
}

/// A place where a value does not fit its schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// JSON pointer into the value; empty for the value itself.
    pub path: String,
    /// What is wrong there.
    pub message: String,
}

impl Schema {
    /// Compiles a schema (draft 2020-12 unless `$schema` says otherwise). References lead inside it only.
    ///
    /// # Errors
    ///
    /// Too deep, too large, or not a schema.
    pub fn compile(schema: &Value) -> Result<Self, Error> {
        let invalid = |message: String| Error::Syntax {
            what: "JSON schema",
            message,
        };
        if !schema.is_object() && !schema.is_boolean() {
            return Err(invalid(format!(
                "{} instead of an object",
                value::kind(schema)
            )));
        }
        value::measure(schema, MAX_BYTES).ok_or_else(|| {
            invalid(format!(
                "larger than {MAX_BYTES} bytes or deeper than {MAX_NESTING} levels"
            ))
        })?;
        let validator = jsonschema::options()
            .with_pattern_options(PatternOptions::fancy_regex().backtrack_limit(100_000))
            .build(schema)
            .map_err(|error| invalid(error.to_string()))?;
        Ok(Self {
            validator,
            weight: SchemaWeight::of(schema),
        })
    }

    /// Whether it can be told in bounded time if a value fits: to be asked before [`Schema::validate`].
    ///
    /// # Errors
    ///
    /// [`Error::TooExpensive`].
    pub fn check_cost(&self, value: &Value) -> Result<(), Error> {
        self.weight.check(value)
    }

    /// Whether a value fits.
    ///
    /// # Errors
    ///
    /// Where it does not, up to ten places.
    pub fn validate(&self, value: &Value) -> Result<(), Vec<Mismatch>> {
        let mismatches: Vec<_> = self
            .validator
            .iter_errors(value)
            .take(MAX_MISMATCHES)
            .map(|error| Mismatch {
                path: error.instance_path().to_string(),
                message: error.to_string(),
            })
            .collect();
        if mismatches.is_empty() {
            Ok(())
        } else {
            Err(mismatches)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn mismatches_have_their_place() {
        let schema = Schema::compile(&json!({
            "type": "object", "required": ["a"], "properties": {"b": {"type": "integer"}},
        }))
        .unwrap();

        assert_eq!(schema.validate(&json!({"a": 1, "b": 2.0})), Ok(()));
        let paths: Vec<_> = schema
            .validate(&json!({"b": "x"}))
            .unwrap_err()
            .into_iter()
            .map(|mismatch| mismatch.path)
            .collect();
        assert!(paths.contains(&"/b".to_owned()) && paths.contains(&String::new()));
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        let deep = (0..31).fold(json!({}), |inner, _| json!({"items": inner}));
        for schema in [
            json!(5),
            json!({"type": "nonsense"}),
            json!({"$ref": "https://example.org/other.json"}),
            json!({"pattern": "("}),
            deep,
        ] {
            assert!(Schema::compile(&schema).is_err(), "{schema}");
        }
    }

    #[test]
    fn circles_end() {
        for schema in [
            json!({"$ref": "#"}),
            json!({"allOf": [{"$ref": "#"}]}),
            json!({"not": {"$ref": "#"}}),
            json!({"$dynamicRef": "#"}),
        ] {
            if let Ok(schema) = Schema::compile(&schema) {
                drop(schema.validate(&json!({"a": 1})));
            }
        }
    }
}
