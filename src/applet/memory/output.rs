//! What comes out of a `memory` node.

use serde_json::{Map, Value, json};

use super::config::Request;
use crate::memory::{Entry, Found};

/// Nothing was found.
pub(super) fn not_found() -> Value {
    json!({"status": "not_found"})
}

/// An entry with all that is known about it.
pub(super) fn whole(entry: &Entry, score: f64) -> Value {
    json!({
        "key": entry.key, "data": entry.value, "metadata": metadata(entry), "score": score,
    })
}

/// What `retrieve` found by a search.
pub(super) fn memories(found: &Found, request: &Request) -> Value {
    let values: Map<_, _> = found
        .hits
        .iter()
        .map(|hit| (hit.entry.key.clone(), hit.entry.value.clone()))
        .collect();
    let mut output = match request.include_metadata {
        true => results(found, request),
        false => Map::new(),
    };
    output.insert("memories".to_owned(), Value::Object(values));
    output.insert("status".to_owned(), "retrieved".into());
    Value::Object(output)
}

/// What was found, the best first, and what was looked for.
pub(super) fn results(found: &Found, request: &Request) -> Map<String, Value> {
    let results = found.hits.iter().map(|hit| {
        if request.include_metadata {
            return whole(&hit.entry, hit.score);
        }
        let entry = &hit.entry;
        json!({
            "key": entry.key, "data": entry.value, "tags": entry.tags, "score": hit.score,
        })
    });
    let results: Vec<_> = results.collect();
    Map::from_iter([
        ("count".to_owned(), results.len().into()),
        ("results".to_owned(), results.into()),
        ("query".to_owned(), request.query.as_str().into()),
        ("tags".to_owned(), request.tags.clone().into()),
    ])
}

fn metadata(entry: &Entry) -> Value {
    #[expect(
        clippy::cast_precision_loss,
        reason = "as the predecessor has it: seconds with a fraction"
    )]
    let timestamp = entry.updated_at.timestamp_millis() as f64 / 1000.0;
    json!({
        "tags": entry.tags,
        "run_id": entry.run_id.to_string(),
        "node_id": entry.node_id,
        "timestamp": timestamp,
        "created_at": entry.created_at.to_rfc3339(),
        "updated_at": entry.updated_at.to_rfc3339(),
    })
}
