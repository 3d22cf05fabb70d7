//! Templates in a node's config: `Hello {{ content.user.name }}`.
//!
//! A text is compiled once and rendered for each attempt. What is in `{{ }}` is a dotted path, which is looked up
//! directly, or else an [`expression`] of minijinja. A text that is one token gives the value with its type, any other
//! gives text. `{% %}`, `{# #}` and `{{` without `}}` are plain text, and what comes out is never rendered again.

pub mod expression;
pub mod limits;
pub mod path;
mod scan;
pub mod secrets;
mod templated;
pub mod tree;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use crate::ids::{NodeId, RunId};
use crate::value;
use expression::Expression;
use path::Path;
use scan::Piece;

pub use secrets::Secrets;
pub use templated::{NotRendered, Templated};

/// The most that one config or text may come to when rendered, in bytes of compact JSON.
pub const MAX_RENDERED_BYTES: u64 = 16 * 1024 * 1024;

/// What templates and expressions can name.
#[derive(Clone, Debug)]
pub struct Scope {
    /// `input`: the run's.
    pub input: Arc<Value>,
    /// `content`: the node's input.
    pub content: Arc<Value>,
    /// `results.<node>.output`: of finished nodes, as far as they are named.
    pub results: Arc<BTreeMap<NodeId, Arc<Value>>>,
    /// `run.id`.
    pub run_id: RunId,
    /// `node.id`.
    pub node_id: NodeId,
    /// `item` and `index`, inside a loop.
    pub item: Option<(Arc<Value>, u64)>,
    /// `secrets.<name>`: those that the node names.
    pub secrets: Secrets,
    /// Names that an applet adds (`source` and `value` of a transform's template).
    pub extra: BTreeMap<&'static str, Arc<Value>>,
}

/// Names that stand in every template; see [`Scope`].
pub const NAMES: [&str; 8] = [
    "input", "content", "results", "run", "node", "item", "index", "secrets",
];

/// Those of [`NAMES`] that stand only inside a loop's body.
pub const LOOP_NAMES: [&str; 2] = ["item", "index"];

/// Names that stand in the templates that an applet renders itself.
pub const EXTRA_NAMES: [&str; 2] = ["source", "value"];

/// Why a text is no template, or why it cannot be rendered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A token that is no path and no expression.
    #[error("{{{{{token}}}}} is not a template expression: {message}")]
    Syntax {
        /// What is between the braces.
        token: String,
        /// What is wrong with it.
        message: String,
    },
    /// A token is longer or deeper than the parser may see.
    #[error(transparent)]
    Limit(#[from] limits::Error),
    /// A token begins with a name that does not exist.
    #[error("nothing is called {name} here; there are {}", .known.join(", "))]
    UnknownName {
        /// The name.
        name: String,
        /// All names that do exist.
        known: Vec<&'static str>,
    },
    /// A secret is named where its value must not go.
    #[error("secrets.{name} cannot stand here: {rule}")]
    SecretNotAllowed {
        /// The secret.
        name: String,
        /// Where it can.
        rule: String,
    },
    /// Nothing is at this path, and the token is the whole text.
    #[error(
        "there is nothing at {path}; an expression with a default allows that: {{{{ {path} | default(\"…\") }}}}"
    )]
    Missing {
        /// The path or expression.
        path: String,
    },
    /// An expression failed.
    #[error("{expression}: {message}")]
    Failed {
        /// The expression.
        expression: String,
        /// How it failed.
        message: String,
    },
    /// An expression used up what one evaluation may compute.
    #[error("{expression}: computes more than one evaluation may")]
    TooExpensive {
        /// The expression.
        expression: String,
    },
    /// What came out is too large.
    #[error("the rendered value is larger than {bound} bytes")]
    TooLarge {
        /// The most bytes.
        bound: u64,
    },
    /// What came out nests too deep.
    #[error("the rendered value nests deeper than {} levels", value::MAX_NESTING)]
    TooDeep,
}

impl Error {
    /// For programs.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Syntax { .. } => "INVALID_TEMPLATE",
            Self::Limit(error) => error.reason(),
            Self::UnknownName { .. } => "UNKNOWN_NAME",
            Self::SecretNotAllowed { .. } => "SECRET_NOT_ALLOWED_HERE",
            Self::Missing { .. } => "TEMPLATE_PATH_MISSING",
            Self::Failed { .. } => "EXPRESSION_FAILED",
            Self::TooExpensive { .. } => "EXPRESSION_TOO_EXPENSIVE",
            Self::TooLarge { .. } => "RENDERED_TOO_LARGE",
            Self::TooDeep => "TOO_DEEP",
        }
    }
}

/// A text whose tokens are known.
#[derive(Clone, Debug)]
pub struct Template {
    parts: Box<[Part]>,
}

#[derive(Clone, Debug)]
enum Part {
    Text(Box<str>),
    Path(Path),
    Expression(Expression),
}

/// What the templates of a config read besides the names that are always there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// The first name of each path.
    pub names: BTreeSet<String>,
    /// Nodes whose results are read.
    pub nodes: BTreeSet<NodeId>,
    /// Whether results are read of which it cannot be told whose.
    pub all_nodes: bool,
    /// `secrets.<name>`.
    pub secrets: BTreeSet<String>,
}

impl Reads {
    /// Adds what somebody else reads.
    pub fn extend(&mut self, other: Self) {
        self.names.extend(other.names);
        self.nodes.extend(other.nodes);
        self.all_nodes |= other.all_nodes;
        self.secrets.extend(other.secrets);
    }

    /// The first name that does not exist, beside [`NAMES`] and `extra`.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownName`].
    pub fn check_names(&self, extra: &[&'static str]) -> Result<(), Error> {
        let known = || NAMES.iter().chain(extra).copied();
        match self.names.iter().find(|name| known().all(|k| k != *name)) {
            None => Ok(()),
            Some(name) => Err(Error::UnknownName {
                name: name.clone(),
                known: known().collect(),
            }),
        }
    }
}

/// Whether a text holds a token, or something that was meant as one.
#[must_use]
pub fn is_template(text: &str) -> bool {
    text.find("{{")
        .is_some_and(|start| text[start..].contains("}}"))
}

impl Template {
    /// Compiles a text.
    ///
    /// # Errors
    ///
    /// [`Error::Syntax`] and [`Error::Limit`]; names are checked by [`Reads::check_names`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut parts = Vec::new();
        for piece in scan::pieces(text)? {
            parts.push(match piece {
                Piece::Text(text) => Part::Text(text.into()),
                Piece::Token(token) => {
                    limits::check_length(token)?;
                    match Path::parse(token) {
                        Some(path) => Part::Path(path),
                        None => Part::Expression(Expression::parse(token)?),
                    }
                }
            });
        }
        Ok(Self {
            parts: parts.into(),
        })
    }

    /// Whether there is no token in it.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Text(_)))
    }

    /// Whether rendering evaluates expressions, which is work for [`crate::cpu::Cpu`].
    #[must_use]
    pub fn has_expressions(&self) -> bool {
        self.parts
            .iter()
            .any(|part| matches!(part, Part::Expression(_)))
    }

    /// The first secret that it names in another form than `{{ secrets.<name> }}`: what an expression makes of a value
    /// could not be found again.
    #[must_use]
    pub fn find_disguised_secret(&self) -> Option<String> {
        self.parts.iter().find_map(|part| match part {
            Part::Text(_) => None,
            Part::Path(path) => path.reads().secrets.into_iter().find(|_| !path.is_secret()),
            Part::Expression(expression) => expression.reads().secrets.first().cloned(),
        })
    }

    /// What it reads.
    #[must_use]
    pub fn reads(&self) -> Reads {
        let mut reads = Reads::default();
        for part in &self.parts {
            match part {
                Part::Text(_) => {}
                Part::Path(path) => reads.extend(path.reads()),
                Part::Expression(expression) => reads.extend(expression.reads().clone()),
            }
        }
        reads
    }

    /// The value: of the one token with its type, else text. `budget` is what may still be rendered, in bytes.
    ///
    /// # Errors
    ///
    /// A missing path where the token is the whole text; an expression that fails; too much.
    pub fn render(&self, scope: &Scope, budget: &mut u64) -> Result<Value, Error> {
        match &*self.parts {
            [Part::Path(path)] => {
                let value = path.find(scope).ok_or_else(|| Error::Missing {
                    path: path.text().to_owned(),
                })?;
                charge_value(&value, budget)?;
                Ok(value.into_owned())
            }
            [Part::Expression(expression)] => {
                let value = expression.evaluate(scope)?;
                charge_value(&value, budget)?;
                Ok(value)
            }
            parts => Self::render_parts(parts, scope, budget).map(Value::String),
        }
    }

    /// As text, also of a single token; a missing path is an error there too.
    ///
    /// # Errors
    ///
    /// As [`Template::render`].
    pub fn render_text(&self, scope: &Scope, budget: &mut u64) -> Result<String, Error> {
        match &*self.parts {
            [Part::Path(_) | Part::Expression(_)] => match self.render(scope, budget)? {
                Value::String(text) => Ok(text),
                value => Ok(value::to_text(&value).into_owned()),
            },
            parts => Self::render_parts(parts, scope, budget),
        }
    }

    /// Inside text, null and missing are nothing.
    fn render_parts(parts: &[Part], scope: &Scope, budget: &mut u64) -> Result<String, Error> {
        let mut text = String::new();
        for part in parts {
            let value = match part {
                Part::Text(plain) => {
                    charge(plain.len() as u64, budget)?;
                    text.push_str(plain);
                    continue;
                }
                Part::Path(path) => path.find(scope),
                Part::Expression(expression) => match expression.evaluate(scope) {
                    Ok(value) => Some(Cow::Owned(value)),
                    Err(Error::Missing { .. }) => None,
                    Err(error) => return Err(error),
                },
            };
            if let Some(value) = value {
                charge_value(&value, budget)?;
                text.push_str(&value::to_text(&value));
            }
        }
        Ok(text)
    }
}

fn charge_value(value: &Value, budget: &mut u64) -> Result<(), Error> {
    // Depth is not looked at here: a value that is too deep is one that nobody let in.
    let measure = value::measure(value, *budget).ok_or(Error::TooLarge { bound: *budget })?;
    charge(measure.bytes, budget)
}

fn charge(bytes: u64, budget: &mut u64) -> Result<(), Error> {
    match budget.checked_sub(bytes) {
        Some(rest) => {
            *budget = rest;
            Ok(())
        }
        None => Err(Error::TooLarge { bound: *budget }),
    }
}

#[cfg(test)]
#[path = "template/tests.rs"]
pub(crate) mod tests;
