//! `for_each`: does the same with each item of a list.
//!
//! What is done is a graph of nodes and edges in the node's own config, or another flow. The applet itself only makes the
//! list; the engine runs the body once for each item, every step of it journaled by itself. A repeated attempt makes the
//! same list again, before any item has begun.

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::failure::TEMPLATE_REASONS;
use super::if_else::present;
use super::{Applet, Completion, Context, Description, Effect, Error, Loop, OnItemError, Outcome};
use crate::flow::validate::is_flow_id;
use crate::flow::{Body, Node, Position, Violation, document};
use crate::ids::NodeId;
use crate::template::{MAX_RENDERED_BYTES, Templated, is_template};
use crate::value;

/// The most items that may be under way at once.
const MAX_CONCURRENCY: u32 = 1_000;

/// The most that `max_items` may say.
const MAX_MAX_ITEMS: u32 = 100_000;

/// The only node of a body that is another flow. It stands alone in its body, where nothing reads it, so that the author
/// may call a node of the flow the same; paths read `loop[3]/flow`.
pub const FLOW_NODE: &str = "flow";

/// Up to here, in bytes, a text is parsed where it is.
const INLINE_BYTES: usize = 64 * 1024;

/// Does the same with each item.
#[derive(Clone, Copy, Debug, Default)]
pub struct ForEach;

/// What the author of a flow sets on a `for_each` node.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What is done with each item: a graph `{"nodes": […], "edges": […]}` in the JSON form of a flow's, or the id of a
    /// flow, which then runs as a child run with the item as its input. Without it the output is the items themselves.
    /// Templates in it are rendered for each item, and can name `item` and `index`.
    #[serde(default)]
    #[schemars(with = "Value")]
    body: Option<Value>,
    /// Where body is the id of a flow: its revision, from 1; 0 is the latest at the time.
    #[serde(default)]
    #[schemars(with = "u32")]
    revision: Option<u32>,
    /// The items: a list, or a text that is a JSON list; without it the node's input.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Value")]
    array_source: Option<Value>,
    /// The most items that are under way at once, 1 to 1,000.
    #[serde(default = "default_concurrency")]
    #[schemars(with = "Templated<u32>")]
    concurrency: Templated<u32>,
    /// The most items, 1 to 100,000.
    #[serde(default = "default_max_items")]
    #[schemars(with = "Templated<u32>")]
    max_items: Templated<u32>,
    /// What follows when there are more items than `max_items`.
    #[serde(default)]
    on_excess: OnExcess,
    /// What follows when an item fails.
    #[serde(default)]
    on_item_error: ItemError,
}

const fn default_concurrency() -> Templated<u32> {
    Templated::Value(10)
}

const fn default_max_items() -> Templated<u32> {
    Templated::Value(1_000)
}

/// What follows when there are too many items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnExcess {
    /// The step fails.
    #[default]
    Fail,
    /// The first ones are taken, the others are left out.
    Truncate,
}

/// What follows when an item fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ItemError {
    /// The step fails, and what other items have under way is cut off.
    #[default]
    Fail,
    /// `{"error": …}` stands in the list in place of the item's output.
    Collect,
    /// The item is left out of the list.
    Skip,
}

impl From<ItemError> for OnItemError {
    fn from(choice: ItemError) -> Self {
        match choice {
            ItemError::Fail => Self::Fail,
            ItemError::Collect => Self::Collect,
            ItemError::Skip => Self::Skip,
        }
    }
}

impl Applet for ForEach {
    const KIND: &'static str = "for_each";

    type Config = Config;

    fn description() -> Description {
        Description {
            version: 1,
            title: "For each",
            text: "Runs body once for each item of array_source, up to concurrency of them at a time, and outputs the \
                   list of what comes out, in the order of the items. A body is a graph: its nodes without incoming \
                   edges get the item as their input, templates in it can name item and index and read results of the \
                   nodes before the loop, and its output follows the rule of a run's output. Its node ids must differ \
                   from all others of the flow, and loops may be inside of each other up to four deep. Each step of an \
                   item is a step of the run, by a path such as loop[3]/summarise. The node's timeout bounds the making \
                   of the list, not the loop.",
            handles: &[],
            effect: Effect::Pure,
            reasons: REASONS,
            example: || {
                json!({
                    "array_source": "{{ input.items }}",
                    "concurrency": 5,
                    "body": {"nodes": [
                        {"id": "label", "type": "transform", "data": {"source": "{{ index }}: {{ item }}"}}
                    ]},
                })
            },
            raw: &["body"],
            deferred: &[],
            default_timeout: Duration::from_secs(30),
            max_timeout: Duration::from_mins(10),
        }
    }

    fn effect(_config: &Config) -> Effect {
        Effect::Pure
    }

    fn check(config: &Config) -> Vec<Violation> {
        let mut violations = check_body(config);
        if let Some(source) = &config.array_source
            && !could_be_list(source)
        {
            let description = not_a_list(source);
            violations.push(Violation::at("array_source", NOT_A_LIST, description));
        }
        violations.extend(Self::check_rendered(config));
        violations
    }

    fn check_rendered(config: &Config) -> Vec<Violation> {
        let bounds = [
            ("concurrency", &config.concurrency, MAX_CONCURRENCY),
            ("max_items", &config.max_items, MAX_MAX_ITEMS),
        ];
        let mut violations = Vec::new();
        for (field, value, most) in bounds {
            if let Some(value) = value.known()
                && !(1..=most).contains(value)
            {
                let bounds = format!("1 to {most}");
                violations.push(Violation::out_of_bounds(field, value, &bounds));
            }
        }
        violations
    }

    fn body(config: &Config) -> Option<Body> {
        match config.body.as_ref()? {
            Value::String(flow_id) => Some(flow_body(flow_id, config.revision)),
            graph => document::read_body(graph).ok(),
        }
    }

    async fn run(&self, context: Context, config: Config) -> Result<Completion, Error> {
        let concurrency = number(config.concurrency, "concurrency")?;
        let most = number(config.max_items, "max_items")?;
        let source = config.array_source.map_or(context.input, Arc::new);
        let mut items = list(source, &context.cpu).await?;
        let found = items.as_array().map_or(0, Vec::len);
        let truncated = found > most as usize;
        if truncated && config.on_excess == OnExcess::Fail {
            let message = format!("there are {found} items, the most are {most}");
            return Err(Error::permanent("TOO_MANY_ITEMS", message)
                .with_detail("count", found)
                .with_detail("bound", most));
        }
        if truncated && let Value::Array(list) = Arc::make_mut(&mut items) {
            list.truncate(most as usize);
        }
        let count = found.min(most as usize);
        if config.body.is_none() || count == 0 {
            let mut details = Map::new();
            details.insert("items".to_owned(), json!(count));
            details.insert("truncated".to_owned(), json!(truncated));
            return Ok(Completion::Done(Outcome {
                details,
                ..Outcome::of(items)
            }));
        }
        Ok(Completion::Loop(Loop {
            items,
            truncated,
            concurrency,
            on_item_error: config.on_item_error.into(),
        }))
    }
}

/// The reason where there is something else than a list.
const NOT_A_LIST: &str = "NOT_A_LIST";

const REASONS: &[(&str, &str)] = &[
    (
        NOT_A_LIST,
        "array_source gave neither a list nor a text that is a JSON list",
    ),
    (
        "TOO_MANY_ITEMS",
        "there are more items than max_items, and on_excess is fail",
    ),
    TEMPLATE_REASONS[0],
    TEMPLATE_REASONS[1],
    TEMPLATE_REASONS[2],
    TEMPLATE_REASONS[3],
    TEMPLATE_REASONS[4],
];

fn check_body(config: &Config) -> Vec<Violation> {
    let mut violations = Vec::new();
    match &config.body {
        None => {}
        Some(Value::String(flow_id)) if is_flow_id(flow_id) => {}
        Some(Value::String(_)) => {
            let description = "is no id of a flow: 1 to 200 characters of A-Z a-z 0-9 _ . -";
            violations.push(Violation::at("body", "INVALID_ID", description));
        }
        Some(graph @ Value::Object(_)) => match document::read_body(graph) {
            Ok(body) if body.nodes.is_empty() => {
                let description = "a body needs a node; without a body the output is the items";
                violations.push(Violation::at("body.nodes", "REQUIRED", description));
            }
            Ok(_) => {}
            Err(found) => violations.extend(found.into_iter().map(|one| Violation {
                field: format!("body.{}", one.field),
                ..one
            })),
        },
        Some(other) => {
            let kind = value::kind(other);
            let description = format!("is {kind}; a body is an object or the id of a flow");
            violations.push(Violation::at("body", "WRONG_TYPE", description));
        }
    }
    if let Some(revision) = config.revision {
        if !config.body.as_ref().is_some_and(Value::is_string) {
            let description = "is the revision of a flow, and body is not the id of one";
            violations.push(Violation::at("revision", "CONFLICT", description));
        } else if i32::try_from(revision).is_err() {
            let bounds = format!("0 to {}", i32::MAX);
            violations.push(Violation::out_of_bounds("revision", revision, &bounds));
        }
    }
    violations
}

/// Another flow as a body: one node, which gives the item to it.
fn flow_body(flow_id: &str, revision: Option<u32>) -> Body {
    let mut data = Map::new();
    data.insert("flow_id".to_owned(), flow_id.into());
    if let Some(revision) = revision {
        data.insert("revision".to_owned(), revision.into());
    }
    let node = Node {
        id: NodeId::from(FLOW_NODE),
        kind: super::subflow::Subflow::KIND.to_owned(),
        position: Position::default(),
        data: data.into(),
        display_name: String::new(),
        timeout: None,
        effect: None,
        retry: None,
        on_error: None,
    };
    Body {
        nodes: vec![node],
        edges: Vec::new(),
    }
}

fn number(given: Templated<u32>, field: &str) -> Result<u32, Error> {
    given
        .into_value()
        .map_err(|error| Violation::at(field, "WRONG_TYPE", error.to_string()).into())
}

/// Whether a source that is not rendered yet may become a list.
fn could_be_list(source: &Value) -> bool {
    match source {
        Value::Array(_) => true,
        Value::String(text) => is_template(text) || parsed(text).is_some(),
        _ => false,
    }
}

fn parsed(text: &str) -> Option<Value> {
    if !text.trim_start().starts_with('[') {
        return None;
    }
    serde_json::from_str(text).ok()
}

fn not_a_list(found: &Value) -> String {
    let kind = value::kind(found);
    let json = if found.is_string() {
        " that is no JSON list"
    } else {
        ""
    };
    format!("is {kind}{json}; items are a list or a text that is a JSON list")
}

/// The list that a source is; a text is parsed, and checked like any other value that comes in.
async fn list(source: Arc<Value>, cpu: &crate::cpu::Cpu) -> Result<Arc<Value>, Error> {
    let text = match &*source {
        Value::Array(_) => return Ok(source),
        Value::String(text) => text,
        other => return Err(Error::permanent(NOT_A_LIST, not_a_list(other))),
    };
    let read = if text.len() <= INLINE_BYTES {
        read_list(&source)
    } else {
        let source = Arc::clone(&source);
        cpu.run(move || read_list(&source)).await?
    };
    read.map(Arc::new)
}

fn read_list(source: &Value) -> Result<Value, Error> {
    let read = source.as_str().and_then(parsed);
    let mut list = read.ok_or_else(|| Error::permanent(NOT_A_LIST, not_a_list(source)))?;
    value::settle_output(&mut list, MAX_RENDERED_BYTES)
        .map_err(|error| Error::permanent(error.reason(), format!("array_source {error}")))?;
    Ok(list)
}
