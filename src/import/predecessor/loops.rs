//! `for_each`: the list `sub_nodes` becomes a body, a graph in which each node feeds the next.

use serde_json::{Map, Value, json};

use super::config::{flag, number};
use super::envelope::{RawNode, free_id};
use super::kinds::Kind;
use super::nodes::Converter;
use super::outline::{Chain, Scope, Seen};
use crate::flow::{Body, Edge, Node, Position, document};
use crate::ids::NodeId;
use crate::import::notes::Place;

/// How many items a loop took there if it did not say: the others were left out.
const DEFAULT_ITEMS: u32 = 1_000;

/// How many items were worked on at once there, in parallel, if the loop did not say.
const DEFAULT_CONCURRENCY: u32 = 10;

/// Takes what only loops have out of `data` and puts what it becomes into `config`.
pub(super) fn convert(
    converter: &mut Converter<'_>,
    loop_id: &NodeId,
    scope: Scope<'_>,
    data: &mut Map<String, Value>,
    config: &mut Map<String, Value>,
    place: &Place,
) {
    bounds(converter, data, config, place);
    // What reached the node: at the top that was always the run's input.
    let source = if scope.chain.is_some() {
        "{{ content }}"
    } else {
        "{{ input }}"
    };
    config.insert("array_source".to_owned(), json!(source));
    let (key, subs) = match (data.remove("sub_nodes"), data.remove("subNodes")) {
        (Some(subs), _) if !subs.is_null() => ("sub_nodes", subs),
        (_, subs) => ("subNodes", subs.unwrap_or_default()),
    };
    let place = place.key(key);
    let subs = match subs {
        Value::Array(subs) => subs,
        Value::Null => return,
        _ => {
            let description = "is no list, and had no effect: left out";
            converter.notes.add(&place, "KEY_DROPPED", description);
            return;
        }
    };
    let nodes = chain(converter, loop_id, scope.node, subs, &place);
    if nodes.is_empty() {
        return;
    }
    let body = Body {
        edges: links(&nodes),
        nodes,
    };
    let description = "is the body of the loop here: each node feeds the next";
    converter.notes.add(&place, "LOOP_BODY_BUILT", description);
    config.insert("body".to_owned(), document::write_body(&body));
}

/// `array_source` is always said, for its default was another; so are concurrency and the most items.
fn bounds(
    converter: &mut Converter<'_>,
    data: &mut Map<String, Value>,
    config: &mut Map<String, Value>,
    place: &Place,
) {
    let mut take = |keys: [&'static str; 3]| {
        keys.into_iter()
            .filter_map(|key| Some((key, data.remove(key)?)))
            .fold(None, |first: Option<(&'static str, Value)>, given| {
                first.or(Some(given))
            })
            .filter(|(_, value)| !value.is_null())
    };
    let parallel = take(["parallel", "isParallel", "is_parallel"]);
    let limit = take(["concurrency_limit", "concurrencyLimit", "concurrency"]);
    let items = take(["max_iterations", "maxIterations", "limit"]);

    let is_parallel = parallel
        .as_ref()
        .is_some_and(|(_, value)| flag(value.clone()) == json!(true));
    let concurrency = match limit {
        Some((_, value)) if is_parallel => number(value),
        _ if is_parallel => json!(DEFAULT_CONCURRENCY),
        _ => json!(1),
    };
    let description = format!(
        "{}: concurrency is {concurrency} here",
        if is_parallel {
            "parallel"
        } else {
            "one item after the other"
        }
    );
    let at = parallel.map_or_else(|| place.clone(), |(key, _)| place.key(key));
    converter.notes.add(&at, "KEY_RENAMED", description);
    config.insert("concurrency".to_owned(), concurrency);

    let (at, items) = match items {
        Some((key, value)) => (place.key(key), number(value)),
        None => (place.clone(), json!(DEFAULT_ITEMS)),
    };
    let description = format!(
        "max_items is {items} here, with on_excess truncate: items beyond it are left out, as they were"
    );
    converter.notes.add(&at, "KEY_RENAMED", description);
    config.insert("max_items".to_owned(), items);
    config.insert("on_excess".to_owned(), json!("truncate"));
}

/// The nodes of a list, converted one after the other.
fn chain(
    converter: &mut Converter<'_>,
    loop_id: &NodeId,
    top: &NodeId,
    subs: Vec<Value>,
    place: &Place,
) -> Vec<Node> {
    let mut chain = Chain {
        loop_id: loop_id.clone(),
        before: Vec::new(),
    };
    let mut nodes = Vec::new();
    for (index, sub) in subs.into_iter().enumerate() {
        let place = place.item(index);
        let Some(raw) = raw_node(converter, loop_id, sub, index, &place) else {
            let description = "is no node with a type, and was passed over: left out";
            converter.notes.add(&place, "NODE_DROPPED", description);
            continue;
        };
        let seen = Seen::new(raw.id.clone(), Kind::of(&raw.kind), &raw.data);
        nodes.push(converter.node(raw, top, Some(&chain)));
        chain.before.push(seen);
    }
    nodes
}

fn raw_node(
    converter: &mut Converter<'_>,
    loop_id: &NodeId,
    sub: Value,
    index: usize,
    place: &Place,
) -> Option<RawNode> {
    let Value::Object(mut sub) = sub else {
        return None;
    };
    let Some(Value::String(kind)) = sub.remove("type") else {
        return None;
    };
    let given = match sub.remove("id") {
        Some(Value::String(id)) if !id.is_empty() => Some(id),
        _ => None,
    };
    let wanted = given
        .clone()
        .unwrap_or_else(|| format!("{loop_id}-{}", index + 1));
    let id = free_id(&wanted, &converter.taken);
    converter.taken.insert(id.clone());
    let is_other = given.is_some_and(|given| given != id);
    let id = NodeId::from(id);
    let place = place.for_node(&id);
    if is_other {
        let description = format!("another node of the flow is called {wanted:?} already");
        converter
            .notes
            .add(&place.key("id"), "NODE_RENAMED", description);
    }
    let data = match sub.remove("data") {
        Some(Value::Object(data)) => data,
        _ => Map::new(),
    };
    Some(RawNode {
        id,
        kind,
        position: Position::default(),
        data,
        place,
    })
}

/// Each node feeds the next; an `if_else` in a loop never branched, so that both its ways lead there.
fn links(nodes: &[Node]) -> Vec<Edge> {
    let handles = |node: &Node| -> &'static [&'static str] {
        if node.kind == Kind::IfElse.name() {
            &["true", "false"]
        } else {
            &[""]
        }
    };
    let link = |pair: &[Node], handle: &str| Edge {
        id: String::new(),
        source: pair[0].id.clone(),
        target: pair[1].id.clone(),
        source_handle: handle.to_owned(),
        target_handle: String::new(),
        animated: false,
    };
    nodes
        .windows(2)
        .flat_map(|pair| {
            handles(&pair[0])
                .iter()
                .map(move |handle| link(pair, handle))
        })
        .collect()
}
