//! Expressions of minijinja: filters, `default`, arithmetic, comparisons.
//!
//! Each evaluation has a budget ("fuel") that bounds its time and memory. What is missing is an error, unless the
//! expression says what then: with the `default` filter or a test for `defined`. Values come out as JSON; only where
//! an expression itself makes text of them (`~`, `|string`) do booleans and null look like minijinja's (`True`).

use std::fmt;
use std::sync::{Arc, LazyLock};

use minijinja::value::ValueKind;
use minijinja::{Environment, ErrorKind, State, UndefinedBehavior, Value as Jinja};
use serde_json::{Map, Number, Value};

use super::{Error, NAMES, Reads, Scope, limits, scan};
use crate::ids::NodeId;
use crate::value;

/// What one evaluation may use up: about an instruction, or 64 bytes of data, each (32 MB in all).
const FUEL: u64 = 500_000;

/// Up to here an expression can be parsed on any stack.
const SHORT_BYTES: usize = 200;

/// Functions that an expression can call; their names are no variables.
const FUNCTIONS: [&str; 3] = ["range", "dict", "namespace"];

/// Environments are constants: no template is ever added, so expressions can share them and live as long as they like.
static STRICT: LazyLock<Environment<'static>> =
    LazyLock::new(|| environment(UndefinedBehavior::Strict));
static CHAINABLE: LazyLock<Environment<'static>> =
    LazyLock::new(|| environment(UndefinedBehavior::Chainable));

fn environment(undefined: UndefinedBehavior) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(FUEL));
    environment.set_undefined_behavior(undefined);
    environment.add_filter("tojson", to_json_text);
    environment
}

/// A compiled expression; cheap to clone.
#[derive(Clone)]
pub struct Expression {
    compiled: Arc<minijinja::Expression<'static, 'static>>,
    text: Arc<str>,
    reads: Arc<Reads>,
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.text).finish()
    }
}

impl Expression {
    /// Compiles an expression.
    ///
    /// # Errors
    ///
    /// [`Error::Limit`] before it is parsed, [`Error::Syntax`] after.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        limits::check_expression(text)?;
        let environment: &'static Environment<'static> = if allows_missing(text) {
            &CHAINABLE
        } else {
            &STRICT
        };
        let compile = || {
            let compiled = environment.compile_expression_owned(text.to_owned())?;
            let mut reads = find_reads(&compiled.undeclared_variables(true));
            // The library does not look into slices.
            reads.extend(find_reads(&words(text)));
            Ok::<_, minijinja::Error>((compiled, reads))
        };
        let compiled = if text.len() > SHORT_BYTES {
            limits::on_large_stack(compile)?
        } else {
            compile()
        };
        let (compiled, reads) = compiled.map_err(|error| Error::Syntax {
            token: scan::shorten(text),
            message: message(&error),
        })?;
        Ok(Self {
            compiled: Arc::new(compiled),
            text: text.into(),
            reads: Arc::new(reads),
        })
    }

    /// What it reads.
    #[must_use]
    pub fn reads(&self) -> &Reads {
        &self.reads
    }

    /// Its value. This is work for [`crate::cpu::Cpu`].
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] where the value is undefined, [`Error::Failed`], [`Error::TooExpensive`], and
    /// [`Error::TooLarge`] or [`Error::TooDeep`] for a value that could not be kept.
    pub fn evaluate(&self, scope: &Scope) -> Result<Value, Error> {
        let missing = || Error::Missing {
            path: scan::shorten(&self.text),
        };
        let failed = |message: String| Error::Failed {
            expression: scan::shorten(&self.text),
            message,
        };
        let value = self
            .compiled
            .eval(self.names(scope))
            .map_err(|error| match error.kind() {
                ErrorKind::UndefinedError => missing(),
                ErrorKind::OutOfFuel => Error::TooExpensive {
                    expression: scan::shorten(&self.text),
                },
                _ => failed(message(&error)),
            })?;
        if value.is_undefined() {
            return Err(missing());
        }
        let mut budget = super::MAX_RENDERED_BYTES;
        to_json(&value, 0, &mut budget).map_err(|refusal| match refusal {
            Refusal::TooLarge => Error::TooLarge {
                bound: super::MAX_RENDERED_BYTES,
            },
            Refusal::TooDeep => Error::TooDeep,
            Refusal::NotJson(what) => failed(what),
        })
    }

    /// The names that it reads, with their values: converting what it does not read would cost for nothing.
    fn names(&self, scope: &Scope) -> Jinja {
        let named = self.reads.names.iter().filter_map(|name| {
            let value = match name.as_str() {
                "input" => from_json(&scope.input),
                "content" => from_json(&scope.content),
                "results" => self.results(scope),
                "run" => Jinja::from_pairs([("id", scope.run_id.to_string())]),
                "node" => Jinja::from_pairs([("id", scope.node_id.to_string())]),
                "item" => from_json(&scope.item.as_ref()?.0),
                "index" => Jinja::from(scope.item.as_ref()?.1),
                name => from_json(scope.extra.get(name)?),
            };
            Some((name.clone(), value))
        });
        Jinja::from_pairs(named)
    }

    fn results(&self, scope: &Scope) -> Jinja {
        let read = scope
            .results
            .iter()
            .filter(|(node, _)| self.reads.all_nodes || self.reads.nodes.contains(*node));
        Jinja::from_pairs(read.map(|(node, output)| {
            let result = Jinja::from_pairs([("output", from_json(output))]);
            (node.to_string(), result)
        }))
    }
}

/// What minijinja says, without the name that it gives to every expression.
fn message(error: &minijinja::Error) -> String {
    error
        .detail()
        .map_or_else(|| error.kind().to_string(), ToOwned::to_owned)
}

/// Whether the expression itself says what happens if something is missing.
fn allows_missing(text: &str) -> bool {
    let mut words = text
        .split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '|'))
        .flat_map(|word| word.split_inclusive('|'))
        .filter(|word| !word.is_empty());
    let mut after_bar = false;
    words.any(|word| {
        let name = word.trim_end_matches('|');
        let found = matches!(name, "defined" | "undefined")
            || (after_bar && matches!(name, "default" | "d"));
        after_bar = word.ends_with('|');
        found
    })
}

/// The names that an expression begins its paths with, each with its first segment: `results.fetch`. What stands in
/// quotes or behind a dot is none, and neither is what templates know nothing of.
fn words(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    let mut before = ' ';
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    while let Some(letter) = rest.chars().next() {
        if letter == '"' || letter == '\'' {
            let inside = &rest[1..];
            let mut escaped = false;
            let end = inside.find(|one: char| {
                let ends = one == letter && !escaped;
                escaped = one == '\\' && !escaped;
                ends
            });
            rest = end.map_or("", |end| &inside[end + 1..]);
            before = letter;
            continue;
        }
        let length = rest.find(|one| !is_word(one)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(length.max(letter.len_utf8()));
        if before != '.' && NAMES.contains(&word) {
            let segment = after.strip_prefix('.').unwrap_or_default();
            let end = segment.find(|one| !is_word(one)).unwrap_or(segment.len());
            let dot = if end > 0 { "." } else { "" };
            found.push(format!("{word}{dot}{}", &segment[..end]));
        }
        if !letter.is_whitespace() {
            before = letter;
        }
        rest = after;
    }
    found
}

/// From names such as `results.fetch.output` to what they read.
fn find_reads<'a>(variables: impl IntoIterator<Item = &'a String>) -> Reads {
    let mut reads = Reads::default();
    for variable in variables {
        let mut segments = variable.split('.');
        let root = segments.next().unwrap_or_default();
        if FUNCTIONS.contains(&root) {
            continue;
        }
        match (root, segments.next()) {
            ("results", Some(node)) => {
                reads.nodes.insert(NodeId::from(node));
            }
            ("results", None) => reads.all_nodes = true,
            ("secrets", name) => {
                reads.secrets.insert(name.unwrap_or_default().to_owned());
            }
            _ => {}
        }
        reads.names.insert(root.to_owned());
    }
    reads
}

/// A value of minijinja's from JSON, which nests at most 30 levels.
fn from_json(value: &Value) -> Jinja {
    match value {
        Value::Null => Jinja::from(()),
        Value::Bool(truth) => Jinja::from(*truth),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(integer), _) => Jinja::from(integer),
            (None, Some(integer)) => Jinja::from(integer),
            (None, None) => Jinja::from(number.as_f64()),
        },
        Value::String(text) => Jinja::from(text.as_str()),
        Value::Array(items) => items.iter().map(from_json).collect(),
        Value::Object(entries) => Jinja::from_pairs(
            entries
                .iter()
                .map(|(key, item)| (key.as_str(), from_json(item))),
        ),
    }
}

/// Why a value of minijinja cannot become JSON.
enum Refusal {
    TooLarge,
    TooDeep,
    NotJson(String),
}

/// JSON of a value; undefined members are null, whole doubles integers, integers beyond ±2^53 text.
fn to_json(value: &Jinja, level: usize, budget: &mut u64) -> Result<Value, Refusal> {
    let mut charge = |bytes: usize| match budget.checked_sub(bytes as u64) {
        Some(rest) => {
            *budget = rest;
            Ok(())
        }
        None => Err(Refusal::TooLarge),
    };
    charge(1)?;
    let deep = || {
        if level < value::MAX_NESTING {
            Ok(level + 1)
        } else {
            Err(Refusal::TooDeep)
        }
    };
    let not_json = |what: &str| Refusal::NotJson(format!("the value is {what}, which is not JSON"));
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => Ok(Value::Null),
        ValueKind::Bool => Ok(Value::Bool(value.is_true())),
        ValueKind::Number => number(value).ok_or_else(|| not_json("not a finite number")),
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default();
            charge(text.len())?;
            Ok(Value::String(text.to_owned()))
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let (level, mut items) = (deep()?, Vec::new());
            for item in value
                .try_iter()
                .map_err(|error| not_json(&message(&error)))?
            {
                items.push(to_json(&item, level, budget)?);
            }
            Ok(Value::Array(items))
        }
        ValueKind::Map => {
            let (level, mut entries) = (deep()?, Map::new());
            for key in value
                .try_iter()
                .map_err(|error| not_json(&message(&error)))?
            {
                let item = value.get_item(&key).unwrap_or_default();
                let item = to_json(&item, level, budget)?;
                entries.insert(key.to_string(), item);
            }
            Ok(Value::Object(entries))
        }
        ValueKind::Bytes | ValueKind::Plain | ValueKind::Invalid | _ => {
            Err(not_json(&format!("of kind {}", value.kind())))
        }
    }
}

fn number(value: &Jinja) -> Option<Value> {
    if value.is_integer() {
        return Some(match value.as_i64() {
            Some(integer) if integer.unsigned_abs() <= value::MAX_INTEGER.unsigned_abs() => {
                Value::from(integer)
            }
            _ => Value::String(value.to_string()),
        });
    }
    let double = f64::try_from(value.clone()).ok()?;
    let mut number = Value::Number(Number::from_f64(double)?);
    value::normalise(&mut number);
    Some(number)
}

/// The `tojson` filter: compact JSON, without minijinja's escapes for HTML.
fn to_json_text(state: &State, value: &Jinja) -> Result<String, minijinja::Error> {
    let mut budget = super::MAX_RENDERED_BYTES;
    let json = to_json(value, 0, &mut budget).map_err(|refusal| {
        let message = match refusal {
            Refusal::TooLarge => "the value is too large for tojson".to_owned(),
            Refusal::TooDeep => "the value nests too deep for tojson".to_owned(),
            Refusal::NotJson(message) => message,
        };
        minijinja::Error::new(ErrorKind::InvalidOperation, message)
    })?;
    let text = json.to_string();
    state.consume_fuel(text.len() as u64 / 64)?;
    Ok(text)
}
