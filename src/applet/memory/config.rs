//! What the author of a flow sets on a `memory` node.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::applet::Error;
use crate::applet::if_else::present;
use crate::flow::Violation;
use crate::memory::MAX_HITS;
use crate::redact::Redactor;
use crate::template::{Templated, is_template};
use crate::value;

/// The longest key and the longest name of a collection, in characters.
const MAX_NAME_CHARS: usize = 200;
/// The most tags.
const MAX_TAGS: usize = 100;
/// The longest tag, in characters.
const MAX_TAG_CHARS: usize = 200;
/// The longest name that Postgres gives to anything, in bytes.
const MAX_LANGUAGE_BYTES: usize = 63;

/// What the author of a flow sets on a `memory` node.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What is to be done.
    #[serde(default)]
    operation: Operation,
    /// The collection inside the caller's namespace: 1 to 200 characters.
    #[serde(default = "default_namespace", deserialize_with = "name")]
    #[schemars(length(min = 1, max = 200))]
    namespace: String,
    /// The entry's name in the collection: 1 to 200 characters. `store` makes one if there is none; `delete` needs it.
    #[serde(default, deserialize_with = "optional_name")]
    #[schemars(with = "String", length(min = 1, max = 200))]
    key: Option<String>,
    /// What `store` keeps: the node's input unless set. At most 1 MiB as compact JSON.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Value")]
    value: Option<Value>,
    /// What `search` and `retrieve` look for, of which the first 10,000 characters count. Of an object its `prompt`,
    /// `text`, `input`, `content` or `message` counts, the first of them that is not blank.
    #[serde(default, deserialize_with = "optional_text")]
    #[schemars(with = "String")]
    query: Option<String>,
    /// `store` keeps them with the entry; `search` and `retrieve` give only entries that have one of them. At most 100,
    /// of 200 characters each; blank ones and repeated ones do not count.
    #[serde(default = "no_tags")]
    #[schemars(with = "Templated<Vec<String>>")]
    tags: Templated<Vec<String>>,
    /// The most entries that a search gives: 1 to 50.
    #[serde(default = "five")]
    #[schemars(with = "Templated<u32>")]
    top_k: Templated<u32>,
    /// Whether `retrieve` and `search` tell what is known about each entry: tags, when it was written, by which run and
    /// node.
    #[serde(default)]
    include_metadata: bool,
    /// The text search configuration of Postgres that finds words: `simple` takes them as they are, `english` and some
    /// 27 others know their forms. It should be the same where entries are stored and where they are looked for.
    #[serde(default = "simple")]
    language: String,
}

/// What a `memory` node does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// Keeps a value.
    #[default]
    Store,
    /// Gives the value under a key, or what a search finds.
    Retrieve,
    /// Gives what a search finds.
    Search,
    /// Removes the entry under a key.
    Delete,
    /// Removes all entries of the collection.
    Clear,
}

/// A config with nothing left to be rendered or checked.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) operation: Operation,
    pub(super) namespace: String,
    pub(super) key: Option<String>,
    pub(super) value: Option<Value>,
    /// Blank if there is none.
    pub(super) query: String,
    /// Trimmed, none blank, none twice.
    pub(super) tags: Vec<String>,
    pub(super) top_k: u32,
    pub(super) include_metadata: bool,
    pub(super) language: String,
}

impl Config {
    /// What is wrong with it beyond its types; templates are not judged.
    pub(super) fn violations(&self) -> Vec<Violation> {
        let mut violations = Vec::new();
        if !is_template(&self.namespace) {
            violations.extend(check_name("namespace", &self.namespace));
        }
        if let Some(key) = self.key.as_deref().filter(|key| !is_template(key)) {
            violations.extend(check_name("key", key));
        }
        if !is_template(&self.language) {
            violations.extend(check_language(&self.language));
        }
        if let Some(tags) = self.tags.known() {
            violations.extend(check_tags(tags));
        }
        if let Some(top_k) = self.top_k.known() {
            violations.extend(check_top_k(*top_k));
        }
        violations.extend(self.check_operation());
        violations
    }

    fn check_operation(&self) -> Vec<Violation> {
        let operation = self.operation;
        let has_tags = self.tags.known().is_none_or(|tags| !tags.is_empty());
        let mut violations = Vec::new();
        if operation == Operation::Delete && self.key.is_none() {
            let description = "delete removes the entry under a key; clear empties the collection";
            violations.push(Violation::at("key", "REQUIRED", description));
        }
        if operation == Operation::Search && self.query.is_none() && !has_tags {
            let description = "search looks for a query, for tags, or for both";
            violations.push(Violation::at("query", "REQUIRED", description));
        }
        if operation != Operation::Store && self.value.is_some() {
            let description = "only store keeps a value";
            violations.push(Violation::at("value", "CONFLICT", description));
        }
        if operation == Operation::Clear {
            // Whoever sets one of them means less than all.
            let description =
                "clear empties the whole collection; delete removes the entry under a key";
            let set = [
                ("key", self.key.is_some()),
                ("query", self.query.is_some()),
                ("tags", has_tags),
            ];
            let set = set.into_iter().filter(|(_, is_set)| *is_set);
            violations.extend(set.map(|(field, _)| Violation::at(field, "CONFLICT", description)));
        }
        violations
    }

    /// The rendered config. What a template has given may still be out of bounds.
    pub(super) fn into_request(self) -> Result<Request, Error> {
        let not_rendered = |field: &'static str| {
            move |error: crate::template::NotRendered| {
                Violation::at(field, "WRONG_TYPE", error.to_string())
            }
        };
        let operation_problem = self.check_operation().into_iter().next();
        let tags = self.tags.into_value().map_err(not_rendered("tags"))?;
        let top_k = self.top_k.into_value().map_err(not_rendered("top_k"))?;
        let problem = check_name("namespace", &self.namespace)
            .or_else(|| check_name("key", self.key.as_deref()?))
            .or_else(|| check_language(&self.language))
            .or_else(|| check_tags(&tags).into_iter().next())
            .or_else(|| check_top_k(top_k))
            .or(operation_problem);
        if let Some(problem) = problem {
            return Err(problem.into());
        }
        Ok(Request {
            operation: self.operation,
            namespace: self.namespace,
            key: self.key,
            value: self.value,
            query: self
                .query
                .map(|query| query.trim().to_owned())
                .unwrap_or_default(),
            tags: distinct(&tags),
            top_k,
            include_metadata: self.include_metadata,
            language: self.language,
        })
    }
}

impl Request {
    /// The same without the values that a redactor knows, which are not to outlast the run: in names and words. What
    /// `store` keeps is looked through there.
    pub(super) fn without_secrets(self, redactor: &Redactor) -> Self {
        if redactor.is_empty() {
            return self;
        }
        let show = |text: &str| redactor.text(text).into_owned();
        Self {
            namespace: show(&self.namespace),
            key: self.key.as_deref().map(show),
            query: show(&self.query),
            // Some may have become the same.
            tags: distinct(&self.tags.iter().map(|tag| show(tag)).collect::<Vec<_>>()),
            ..self
        }
    }
}

fn check_name(field: &str, name: &str) -> Option<Violation> {
    let chars = name.chars().count();
    if name.trim().is_empty() || chars > MAX_NAME_CHARS {
        let bounds = "1 to 200, not all of them blank";
        return Some(Violation::out_of_bounds(
            field,
            format!("{chars} characters long"),
            bounds,
        ));
    }
    let odd = name.chars().find(|char| char.is_control())?;
    let description = format!("holds the control character U+{:04X}", u32::from(odd));
    Some(Violation::at(field, "INVALID_TEXT", description))
}

fn check_language(name: &str) -> Option<Violation> {
    let is_name = (1..=MAX_LANGUAGE_BYTES).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    (!is_name).then(|| {
        let description = format!(
            "{name:?} is no name of a text search configuration, such as simple or english"
        );
        Violation::at("language", "UNKNOWN_VALUE", description)
    })
}

fn check_tags(tags: &[String]) -> Vec<Violation> {
    if tags.len() > MAX_TAGS {
        let count = format!("{} tags", tags.len());
        return vec![Violation::out_of_bounds("tags", count, "at most 100")];
    }
    let too_long = tags.iter().enumerate().filter_map(|(place, tag)| {
        let chars = tag.trim().chars().count();
        let field = format!("tags[{place}]");
        if chars > MAX_TAG_CHARS {
            let length = format!("{chars} characters long");
            return Some(Violation::out_of_bounds(field, length, "at most 200"));
        }
        let has_nul = tag.contains('\0') && !is_template(tag);
        has_nul.then(|| Violation::at(field, "INVALID_TEXT", "holds the character U+0000"))
    });
    too_long.collect()
}

fn check_top_k(top_k: u32) -> Option<Violation> {
    let is_allowed = (1..=MAX_HITS).contains(&top_k);
    (!is_allowed).then(|| Violation::out_of_bounds("top_k", top_k, "1 to 50"))
}

/// Without white space around them, without blank ones, each once, in their order.
fn distinct(tags: &[String]) -> Vec<String> {
    let mut distinct: Vec<String> = Vec::with_capacity(tags.len());
    for tag in tags.iter().map(|tag| tag.trim()) {
        if !tag.is_empty() && distinct.iter().all(|one| one != tag) {
            distinct.push(tag.to_owned());
        }
    }
    distinct
}

/// A text, or a number that a template gives: `{{ input.customer_id }}` may be either.
fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        other => {
            let message = format!("is {}; a name is a text or a number", value::kind(&other));
            Err(serde::de::Error::custom(message))
        }
    }
}

fn optional_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(transparent)]
    struct Name(#[serde(deserialize_with = "name")] String);

    let name = Option::<Name>::deserialize(deserializer)?;
    Ok(name.map(|Name(text)| text))
}

/// The text of any value; none of null.
fn optional_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Null => None,
        other => Some(value::coerce_text(&other).into_owned()),
    })
}

fn default_namespace() -> String {
    "default".to_owned()
}

fn no_tags() -> Templated<Vec<String>> {
    Templated::Value(Vec::new())
}

fn five() -> Templated<u32> {
    Templated::Value(5)
}

fn simple() -> String {
    "simple".to_owned()
}
