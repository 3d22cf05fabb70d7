//! The operations of a transform that compute.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};

use super::config::{Config, Operation};
use crate::applet::Error;
use crate::applet::compiled::Compiled;
use crate::flow::Violation;
use crate::template::expression::Expression;
use crate::template::{self, MAX_RENDERED_BYTES, Scope, Templated};
use crate::value;

/// The output of any operation but `template`. Ends soon after `deadline`.
pub fn output(
    config: &Config,
    source: Arc<Value>,
    scope: &Scope,
    compiled: &Compiled,
    deadline: Instant,
) -> Result<Arc<Value>, Error> {
    let output = match config.operation {
        // Without a template it is `{{ source }}`.
        Operation::Template => return Ok(source),
        Operation::JsonPath => compiled.path(&config.json_path)?.get(&source)?,
        Operation::RegexReplace => {
            let pattern = compiled.pattern(&config.regex_pattern, &config.regex_flags)?;
            let replacement = pattern.replacement(&config.regex_replacement)?;
            let count = rendered("regex_count", config.regex_count.as_ref(), &0)?;
            let text = value::coerce_text(&source);
            Value::String(pattern.replace(
                &text,
                &replacement,
                usize::try_from(*count).unwrap_or(0),
                deadline,
                MAX_RENDERED_BYTES,
            )?)
        }
        Operation::SplitJoin => split_join(config, &source)?,
        Operation::Expression => Expression::parse(&config.expression)?.evaluate(scope)?,
        Operation::Cel => compiled.program(&config.expression)?.evaluate(scope)?,
        Operation::JsonSchema => {
            let schema = compiled.schema(config.schema.as_ref().unwrap_or(&Value::Bool(true)))?;
            schema.check_cost(&source)?;
            let Err(mismatches) = schema.validate(&source) else {
                return Ok(source);
            };
            let all: Vec<_> = mismatches
                .iter()
                .map(|mismatch| json!({"path": mismatch.path, "message": mismatch.message}))
                .collect();
            let first = mismatches.first().map_or_else(String::new, |first| {
                format!("{}: {}", first.path, first.message)
            });
            return Err(Error::permanent("SCHEMA_MISMATCH", first).with_detail("mismatches", all));
        }
    };
    Ok(Arc::new(output))
}

/// The value of a field that may have been a template.
fn rendered<'a, T>(
    field: &str,
    value: Option<&'a Templated<T>>,
    default: &'a T,
) -> Result<&'a T, Violation> {
    match value {
        None => Ok(default),
        Some(Templated::Value(value)) => Ok(value),
        Some(Templated::Template(text)) => Err(Violation::at(
            field,
            "WRONG_TYPE",
            format!("the template gave the text {text:?}, which is never rendered again"),
        )),
    }
}

fn split_join(config: &Config, source: &Value) -> Result<Value, Error> {
    let splits = *rendered("split_maxsplit", config.split_maxsplit.as_ref(), &-1)?;
    let text = value::coerce_text(source);
    let parts: Box<dyn Iterator<Item = Cow<'_, str>>> = match source {
        Value::Array(items) => Box::new(items.iter().map(value::coerce_text)),
        _ => split(&text, &config.split_delimiter, splits),
    };
    let mut parts = parts
        .map(|part| {
            if config.strip_items {
                strip(part)
            } else {
                part
            }
        })
        .filter(|part| !(config.drop_empty && part.is_empty()));

    if let Some(index) = &config.split_index {
        let index = *rendered("split_index", Some(index), &0)?;
        let place = usize::try_from(index).unwrap_or(usize::MAX);
        let part = parts.nth(place).ok_or_else(|| {
            let message = format!("there is no part {index} (split_index)");
            Error::permanent("INDEX_OUT_OF_RANGE", message)
        })?;
        return Ok(Value::String(part.into_owned()));
    }
    let mut budget = Budget::default();
    if config.return_list {
        let mut list = Vec::new();
        for part in parts {
            // Its quotes and comma.
            budget.charge(part.len() + 3)?;
            list.push(Value::String(part.into_owned()));
        }
        return Ok(Value::Array(list));
    }
    let mut joined = String::new();
    for (index, part) in parts.enumerate() {
        let delimiter = if index == 0 {
            ""
        } else {
            &config.join_delimiter
        };
        budget.charge(delimiter.len() + part.len())?;
        joined.extend([delimiter, &part]);
    }
    Ok(Value::String(joined))
}

/// As Python splits; by an empty delimiter into characters.
fn split<'a>(
    text: &'a str,
    delimiter: &'a str,
    splits: i64,
) -> Box<dyn Iterator<Item = Cow<'a, str>> + 'a> {
    if delimiter.is_empty() {
        let characters = text
            .char_indices()
            .map(|(at, character)| Cow::Borrowed(&text[at..at + character.len_utf8()]));
        return Box::new(characters);
    }
    match usize::try_from(splits) {
        Ok(splits) => Box::new(text.splitn(splits + 1, delimiter).map(Cow::Borrowed)),
        Err(_) => Box::new(text.split(delimiter).map(Cow::Borrowed)),
    }
}

fn strip(part: Cow<'_, str>) -> Cow<'_, str> {
    match part {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

/// What may still be written.
struct Budget(u64);

impl Default for Budget {
    fn default() -> Self {
        Self(MAX_RENDERED_BYTES)
    }
}

impl Budget {
    fn charge(&mut self, bytes: usize) -> Result<(), template::Error> {
        let bound = MAX_RENDERED_BYTES;
        self.0 = self
            .0
            .checked_sub(bytes as u64)
            .ok_or(template::Error::TooLarge { bound })?;
        Ok(())
    }
}
