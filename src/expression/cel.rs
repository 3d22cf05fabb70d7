//! CEL, the Common Expression Language: conditions and computations without side effects.
//!
//! The interpreter has no budget of its own, so a compiled expression is rewritten: each range that a macro (`map`,
//! `exists` …) goes over, and each value that is copied into a list, map or sum, passes through a function of ours
//! that counts. The names of those functions begin with `@`, which no source text can write.

mod budget;
mod names;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, LazyLock};

use ::cel::objects::{Key, Map as CelMap};
use ::cel::{Context, Env, ExecutionError, IdedExpr, Value as Cel};
use serde_json::{Map, Number, Value};

use super::Error;
use crate::template::{MAX_RENDERED_BYTES, Reads, Scope, limits};
use crate::value;
use budget::Budget;

/// The standard library and its macros: a constant, like the language.
static STANDARD: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// The longest message that is passed on: the interpreter's hold whole values.
const MAX_MESSAGE_CHARS: usize = 300;

/// A compiled expression; cheap to clone.
#[derive(Clone)]
pub struct Program {
    shared: Arc<Shared>,
}

struct Shared {
    text: String,
    expression: IdedExpr,
    reads: Reads,
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Program").field(&self.shared.text).finish()
    }
}

impl Program {
    /// Compiles an expression, in which the names of a template and `extra` stand.
    ///
    /// # Errors
    ///
    /// Too long, too deep, not CEL, macros that nest more than twice, unknown names.
    pub fn parse(text: &str, extra: &[&'static str]) -> Result<Self, Error> {
        let text = text.trim();
        limits::check_expression(text)?;
        let (expression, reads) = limits::on_large_stack(|| {
            let parsed = STANDARD.parser().parse(text);
            let mut expression = parsed.map_err(|error| Error::Syntax {
                what: "CEL expression",
                message: shorten(&error.to_string()),
            })?;
            let reads = names::find(&expression)?;
            budget::insert(&mut expression);
            Ok::<_, Error>((expression, reads))
        })??;
        reads.check_names(extra)?;
        Ok(Self {
            shared: Arc::new(Shared {
                text: text.to_owned(),
                expression,
                reads,
            }),
        })
    }

    /// What it reads.
    #[must_use]
    pub fn reads(&self) -> &Reads {
        &self.shared.reads
    }

    /// Its value. This is work for [`crate::cpu::Cpu`].
    ///
    /// # Errors
    ///
    /// [`Error::Failed`], [`Error::TooExpensive`], [`Error::TooLarge`].
    pub fn evaluate(&self, scope: &Scope) -> Result<Value, Error> {
        let budget = Budget::default();
        let mut context = Context::with_env(Arc::clone(&STANDARD));
        budget.install(&mut context)?;
        for name in &self.shared.reads.names {
            if let Some(value) = self.named(name, scope) {
                context.add_variable_from_value(name.as_str(), value);
            }
        }
        let result = context.resolve(&self.shared.expression);
        // A budget that is used up counts also where the expression went on: `true || …` forgets errors.
        budget.check()?;
        let value = result.map_err(|error| match error {
            // Its own message would hold the whole value.
            ExecutionError::UnsupportedBinaryOperator(operator, left, right) => Error::Failed {
                message: format!(
                    "{operator} is not defined for {} and {}",
                    left.type_of(),
                    right.type_of()
                ),
            },
            error => failed(&error),
        })?;
        let mut rest = MAX_RENDERED_BYTES;
        to_json(&value, 0, &mut rest)
    }

    fn named(&self, name: &str, scope: &Scope) -> Option<Cel> {
        Some(match name {
            "input" => from_json(&scope.input),
            "content" => from_json(&scope.content),
            "results" => {
                let reads = &self.shared.reads;
                let read = scope
                    .results
                    .iter()
                    .filter(|(node, _)| reads.all_nodes || reads.nodes.contains(*node));
                map(read
                    .map(|(node, output)| (node.as_str(), map([("output", from_json(output))]))))
            }
            "run" => map([("id", scope.run_id.to_string().into())]),
            "node" => map([("id", scope.node_id.as_str().into())]),
            "item" => from_json(&scope.item.as_ref()?.0),
            "index" => Cel::Int(i64::try_from(scope.item.as_ref()?.1).ok()?),
            name => from_json(scope.extra.get(name)?),
        })
    }
}

/// A value of CEL's from JSON, which nests at most 30 levels. Whole numbers are `int`, so that they can be added.
fn from_json(value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(truth) => Cel::Bool(*truth),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(integer), _) => Cel::Int(integer),
            (None, Some(integer)) => Cel::UInt(integer),
            (None, None) => Cel::Float(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => Cel::List(Arc::new(items.iter().map(from_json).collect())),
        Value::Object(entries) => map(entries
            .iter()
            .map(|(key, item)| (key.as_str(), from_json(item)))),
    }
}

fn map<'a>(entries: impl IntoIterator<Item = (&'a str, Cel)>) -> Cel {
    let entries = entries
        .into_iter()
        .map(|(key, value)| (Key::String(Arc::new(key.to_owned())), value));
    Cel::Map(CelMap {
        map: Arc::new(entries.collect()),
    })
}

fn failed(error: &dyn std::error::Error) -> Error {
    Error::Failed {
        message: shorten(&error.to_string()),
    }
}

fn shorten(message: &str) -> String {
    match message.char_indices().nth(MAX_MESSAGE_CHARS) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}

/// JSON of a value: whole doubles as integers, integers beyond ±2^53, times and durations as text, bytes in base64.
fn to_json(value: &Cel, level: usize, rest: &mut u64) -> Result<Value, Error> {
    let mut charge = |bytes: usize| match rest.checked_sub(bytes as u64) {
        Some(left) => {
            *rest = left;
            Ok(())
        }
        None => Err(Error::TooLarge {
            bound: MAX_RENDERED_BYTES,
        }),
    };
    let not_json = |what: &str| Error::Failed {
        message: format!("the value is {what}, which is not JSON"),
    };
    charge(1)?;
    if level > value::MAX_NESTING {
        return Err(not_json("nested deeper than 30 levels"));
    }
    let integer = |number: Number| {
        let mut value = Value::Number(number);
        // It cannot be too large or deep.
        drop(value::settle_output(&mut value, u64::MAX));
        value
    };
    Ok(match value {
        Cel::Null => Value::Null,
        Cel::Bool(truth) => Value::Bool(*truth),
        Cel::Int(number) => integer((*number).into()),
        Cel::UInt(number) => integer((*number).into()),
        Cel::Float(number) => {
            integer(Number::from_f64(*number).ok_or_else(|| not_json("not a finite number"))?)
        }
        Cel::String(text) => {
            charge(text.len())?;
            Value::String(text.to_string())
        }
        Cel::List(items) => {
            let items = items.iter().map(|item| to_json(item, level + 1, rest));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        Cel::Map(map) => {
            let mut entries = Map::new();
            for (key, item) in map.map.iter() {
                let key = match key {
                    Key::String(text) => text.to_string(),
                    other => other.to_string(),
                };
                entries.insert(key, to_json(item, level + 1, rest)?);
            }
            Value::Object(entries)
        }
        Cel::Duration(duration) => {
            #[expect(
                clippy::cast_precision_loss,
                reason = "milliseconds of a duration stay far below 2^53"
            )]
            let seconds = duration.num_milliseconds() as f64 / 1_000.0;
            Value::String(format!("{seconds}s"))
        }
        Cel::Timestamp(time) => Value::String(time.to_rfc3339()),
        Cel::Bytes(bytes) => {
            charge(bytes.len() * 2)?;
            value.json().map_err(|error| failed(&error))?
        }
        Cel::Function(..) | Cel::Opaque(_) | Cel::Struct(_) => {
            return Err(not_json(&format!("a {}", value.type_of())));
        }
    })
}

/// Names that CEL itself gives a meaning: its types.
const TYPES: [&str; 11] = [
    "bool",
    "bytes",
    "double",
    "dyn",
    "int",
    "list",
    "map",
    "null_type",
    "string",
    "type",
    "uint",
];

/// Whether a name is one of CEL's own.
fn is_type(name: &str) -> bool {
    TYPES.contains(&name)
}

/// Names that a macro binds while it goes over a range.
type Bound<'a> = BTreeSet<&'a str>;

#[cfg(test)]
#[path = "cel/tests.rs"]
mod tests;
