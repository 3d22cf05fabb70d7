//! A whole config with templates in it, compiled once.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::{Error, MAX_RENDERED_BYTES, Reads, Scope, Template, is_template};
use crate::value;

/// A config whose templates are known.
#[derive(Clone, Debug)]
pub struct Tree {
    root: Node,
    reads: Reads,
    has_expressions: bool,
}

/// What is wrong at one place of a config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The place: `source.items[0]`.
    pub path: String,
    /// What is wrong there.
    pub error: Error,
}

#[derive(Clone, Debug)]
enum Node {
    /// No template in it.
    Fixed(Value),
    /// A template; as text where the config wants nothing but text.
    Template {
        template: Template,
        as_text: bool,
    },
    Array(Vec<Node>),
    Object(Vec<(String, Node)>),
}

/// How a config is to be read.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// Keys that are taken as they are.
    pub raw: &'a [&'a str],
    /// JSON schema of the config: where it says `string`, a number from a template becomes text.
    pub schema: &'a Value,
}

impl Tree {
    /// Compiles a config, which is an object. Also gives what is wrong, at every place.
    #[must_use]
    pub fn compile(config: &Value, reading: Reading<'_>) -> (Self, Vec<Problem>) {
        let mut compiler = Compiler {
            path: String::new(),
            reads: Reads::default(),
            has_expressions: false,
            problems: Vec::new(),
            sent: 0,
            schema: reading.schema,
        };
        let root = match config {
            Value::Object(entries) => {
                let children = entries.iter().map(|(key, item)| {
                    if reading.raw.contains(&key.as_str()) {
                        (key.clone(), Node::Fixed(item.clone()))
                    } else {
                        (key.clone(), compiler.member(key, item, reading.schema))
                    }
                });
                object(children.collect())
            }
            other => compiler.node(other, reading.schema),
        };
        let tree = Self {
            root,
            reads: compiler.reads,
            has_expressions: compiler.has_expressions,
        };
        (tree, compiler.problems)
    }

    /// The config itself, if there is no template in it.
    #[must_use]
    pub const fn fixed(&self) -> Option<&Value> {
        match &self.root {
            Node::Fixed(value) => Some(value),
            Node::Template { .. } | Node::Array(_) | Node::Object(_) => None,
        }
    }

    /// What its templates read.
    #[must_use]
    pub const fn reads(&self) -> &Reads {
        &self.reads
    }

    /// Whether rendering evaluates expressions, which is work for [`crate::cpu::Cpu`].
    #[must_use]
    pub const fn has_expressions(&self) -> bool {
        self.has_expressions
    }

    /// Renders it, up to `max_bytes` of what comes from templates.
    ///
    /// # Errors
    ///
    /// The first problem.
    pub fn render(&self, scope: &Scope, max_bytes: u64) -> Result<Value, Problem> {
        let mut budget = max_bytes;
        let mut path = Vec::new();
        let rendered = render(&self.root, scope, &mut budget, &mut path).map_err(|error| {
            let error = match error {
                Error::TooLarge { .. } => Error::TooLarge { bound: max_bytes },
                error => error,
            };
            Problem {
                path: place(&path),
                error,
            }
        })?;
        let is_shallow = value::measure(&rendered, u64::MAX).is_some();
        if is_shallow {
            Ok(rendered)
        } else {
            Err(Problem {
                path: String::new(),
                error: Error::TooDeep,
            })
        }
    }

    /// The same up to [`MAX_RENDERED_BYTES`].
    ///
    /// # Errors
    ///
    /// The first problem.
    pub fn render_fully(&self, scope: &Scope) -> Result<Value, Problem> {
        self.render(scope, MAX_RENDERED_BYTES)
    }
}

struct Compiler<'a> {
    path: String,
    reads: Reads,
    has_expressions: bool,
    problems: Vec<Problem>,
    /// How many fields around this place are sent out, so that secrets may stand in them.
    sent: usize,
    /// Of the whole config.
    schema: &'a Value,
}

impl Compiler<'_> {
    fn node(&mut self, value: &Value, schema: &Value) -> Node {
        let is_sent = usize::from(takes_secrets(schema));
        self.sent += is_sent;
        let node = self.inside(value, schema);
        self.sent -= is_sent;
        node
    }

    fn inside(&mut self, value: &Value, schema: &Value) -> Node {
        match value {
            Value::String(text) if is_template(text) => self.template(text, schema),
            Value::Array(items) => {
                let item_schema = &schema["items"];
                let nodes: Vec<_> = items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| {
                        let length = self.path.len();
                        write!(self.path, "[{index}]").expect("writing to a string does not fail");
                        let node = self.node(item, item_schema);
                        self.path.truncate(length);
                        node
                    })
                    .collect();
                array(nodes)
            }
            Value::Object(entries) => {
                let members = entries
                    .iter()
                    .map(|(key, item)| (key.clone(), self.member(key, item, schema)));
                object(members.collect())
            }
            other => Node::Fixed(other.clone()),
        }
    }

    fn member(&mut self, key: &str, item: &Value, schema: &Value) -> Node {
        let item_schema = match &schema["properties"][key] {
            Value::Null => &schema["additionalProperties"],
            known => known,
        };
        let length = self.path.len();
        if length > 0 {
            self.path.push('.');
        }
        self.path.push_str(key);
        let node = self.node(item, item_schema);
        self.path.truncate(length);
        node
    }

    /// A secret in a template that is not sent out, or that makes something else of it.
    fn find_misplaced(&self, template: &Template, reads: &Reads) -> Option<Error> {
        let name = if self.sent > 0 {
            template.find_disguised_secret()
        } else {
            reads.secrets.first().cloned()
        };
        Some(Error::SecretNotAllowed {
            name: name?,
            rule: where_secrets_stand(self.schema),
        })
    }

    fn template(&mut self, text: &str, schema: &Value) -> Node {
        let parsed = Template::parse(text).and_then(|template| {
            let reads = template.reads();
            reads.check_names(&[])?;
            Ok((template, reads))
        });
        match parsed {
            Ok((template, reads)) => {
                if let Some(error) = self.find_misplaced(&template, &reads) {
                    let path = self.path.clone();
                    self.problems.push(Problem { path, error });
                }
                self.reads.extend(reads);
                self.has_expressions |= template.has_expressions();
                if template.is_plain() {
                    return Node::Fixed(Value::String(text.to_owned()));
                }
                Node::Template {
                    template,
                    as_text: wants_text(schema),
                }
            }
            Err(error) => {
                self.problems.push(Problem {
                    path: self.path.clone(),
                    error,
                });
                Node::Fixed(Value::String(text.to_owned()))
            }
        }
    }
}

/// Whether the schema of a field says that it is sent out, and so may name secrets.
fn takes_secrets(schema: &Value) -> bool {
    schema["x-secret"] == Value::Bool(true)
}

/// The fields of a config that may name secrets, as authors write them: `headers`, `fallback.api_key`.
fn secret_fields(schema: &Value, path: &str, found: &mut Vec<String>) {
    let members = schema["properties"].as_object().into_iter().flatten();
    for (name, member) in members {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        if takes_secrets(member) {
            found.push(path);
        } else {
            secret_fields(member, &path, found);
            secret_fields(&member["items"], &path, found);
        }
    }
}

/// Where in a config of this schema secrets can stand, in words.
#[must_use]
pub fn where_secrets_stand(schema: &Value) -> String {
    let mut fields = Vec::new();
    secret_fields(schema, "", &mut fields);
    if fields.is_empty() {
        "this applet sends nothing out, and takes no secrets".to_owned()
    } else {
        format!(
            "only fields that are sent out take secrets, here {}, each as {{{{ secrets.<name> }}}} and in no expression",
            fields.join(", ")
        )
    }
}

/// Whether a schema takes text and nothing else (but null, perhaps).
fn wants_text(schema: &Value) -> bool {
    match &schema["type"] {
        Value::String(kind) => kind == "string",
        Value::Array(kinds) => {
            kinds.iter().any(|kind| kind == "string")
                && kinds.iter().all(|kind| kind == "string" || kind == "null")
        }
        _ => false,
    }
}

fn array(nodes: Vec<Node>) -> Node {
    match nodes.iter().map(fixed).collect::<Option<Vec<_>>>() {
        Some(items) => Node::Fixed(Value::Array(items.into_iter().cloned().collect())),
        None => Node::Array(nodes),
    }
}

fn object(members: Vec<(String, Node)>) -> Node {
    if members.iter().any(|(_, node)| fixed(node).is_none()) {
        return Node::Object(members);
    }
    let entries: Map<_, _> = members
        .into_iter()
        .filter_map(|(key, node)| match node {
            Node::Fixed(value) => Some((key, value)),
            Node::Template { .. } | Node::Array(_) | Node::Object(_) => None,
        })
        .collect();
    Node::Fixed(Value::Object(entries))
}

const fn fixed(node: &Node) -> Option<&Value> {
    match node {
        Node::Fixed(value) => Some(value),
        Node::Template { .. } | Node::Array(_) | Node::Object(_) => None,
    }
}

/// A step on the way into a config.
enum Part<'a> {
    Key(&'a str),
    Index(usize),
}

/// Leaves the path to the problem in `path` where there is one.
fn render<'a>(
    node: &'a Node,
    scope: &Scope,
    budget: &mut u64,
    path: &mut Vec<Part<'a>>,
) -> Result<Value, Error> {
    match node {
        Node::Fixed(value) => Ok(value.clone()),
        Node::Template {
            template,
            as_text: false,
        } => template.render(scope, budget),
        Node::Template {
            template,
            as_text: true,
        } => template.render_text(scope, budget).map(Value::String),
        Node::Array(nodes) => {
            let mut items = Vec::with_capacity(nodes.len());
            for (index, node) in nodes.iter().enumerate() {
                path.push(Part::Index(index));
                items.push(render(node, scope, budget, path)?);
                path.pop();
            }
            Ok(Value::Array(items))
        }
        Node::Object(members) => {
            let mut entries = Map::new();
            for (key, node) in members {
                path.push(Part::Key(key));
                entries.insert(key.clone(), render(node, scope, budget, path)?);
                path.pop();
            }
            Ok(Value::Object(entries))
        }
    }
}

fn place(path: &[Part<'_>]) -> String {
    let mut place = String::new();
    for part in path {
        match part {
            Part::Key(key) if place.is_empty() => place.push_str(key),
            Part::Key(key) => place.extend([".", key]),
            Part::Index(index) => {
                write!(place, "[{index}]").expect("writing to a string does not fail");
            }
        }
    }
    place
}

#[cfg(test)]
mod tests;
