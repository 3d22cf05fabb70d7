//! A loop's output: the list of what its items gave, in their order.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{Assignment, End, Source, load, persist, place};
use crate::applet;
use crate::engine::Parts;
use crate::ids::NodeId;
use crate::run::event::RunError;
use crate::store::events;
use crate::usage::Usage;

/// What a loop's items gave.
#[derive(Debug)]
pub struct Collection {
    /// One entry for each item that stands in the list.
    pub given: Vec<Given>,
    /// Whether an item's output is an object by node, because the body has several ends.
    pub keyed: bool,
    /// What is told of the loop beside its output.
    pub details: Map<String, Value>,
}

/// What one item gave.
#[derive(Debug)]
pub enum Given {
    /// Outputs of the ends of the body.
    Outputs(Vec<(NodeId, Source)>),
    /// Its error.
    Error(RunError),
}

/// How many payloads are read at once.
const BATCH: usize = 500;

/// Makes the list.
pub(super) async fn collect(
    parts: &Parts,
    assignment: &Assignment,
    mut collection: Collection,
) -> Result<End, applet::Error> {
    read_ahead(parts, assignment, &mut collection.given).await?;
    let mut list = Vec::with_capacity(collection.given.len());
    let mut bytes: u64 = 0;
    for given in collection.given {
        let value = match given {
            Given::Error(error) => described(&error),
            Given::Outputs(outputs) => {
                let mut values = Vec::with_capacity(outputs.len());
                for (node, source) in outputs {
                    if let Source::Stored(_, info) = &source {
                        bytes += info.size_bytes;
                    }
                    check_size(bytes, parts.settings.max_payload_bytes)?;
                    let value = load(parts, &assignment.key, &source).await?;
                    values.push((node.to_string(), Value::clone(&value)));
                }
                if collection.keyed {
                    Value::Object(values.into_iter().collect())
                } else {
                    values.pop().map(|(_, value)| value).unwrap_or_default()
                }
            }
        };
        list.push(value);
    }
    let output = place(parts, assignment, Arc::new(Value::Array(list)), "").await?;
    Ok(End::Output {
        output,
        port: String::new(),
        details: collection.details,
        usage: Usage::default(),
    })
}

/// An item's error as it stands in the list. Details that would nest too deep there are left out: what another service
/// has answered must not fail the loop.
fn described(error: &RunError) -> Value {
    let entry = |details: Map<String, Value>| {
        json!({"error": {
            "code": error.failure.reason,
            "message": error.failure.message,
            "step_path": error.path.as_ref().map(crate::ids::StepPath::as_str),
            "attempt": error.attempt,
            "details": details,
        }})
    };
    let mut list = json!([entry(error.failure.details.clone())]);
    match crate::value::settle_output(&mut list, u64::MAX) {
        Ok(_) => list[0].take(),
        Err(_) => entry(Map::new()),
    }
}

/// A list that becomes too large is not put together first.
fn check_size(bytes: u64, most: u64) -> Result<(), applet::Error> {
    if bytes <= most {
        return Ok(());
    }
    let message = format!("output: the items gave more than {most} bytes together");
    Err(applet::Error::permanent("OUTPUT_TOO_LARGE", message))
}

/// Reads the payloads that lie beside their events and are not at hand, many at once.
async fn read_ahead(
    parts: &Parts,
    assignment: &Assignment,
    given: &mut [Given],
) -> Result<(), applet::Error> {
    let key = &assignment.key;
    let mut missing: Vec<&mut Source> = Vec::new();
    for given in given {
        let Given::Outputs(outputs) = given else {
            continue;
        };
        for (_, source) in outputs {
            if let Source::Stored(sequence, info) = source
                && info.chunks.is_none()
                && !parts.payloads.is_at_hand(key.run_id, *sequence)
            {
                missing.push(source);
            }
        }
    }
    for batch in missing.chunks_mut(BATCH) {
        let sequences: Vec<i64> = batch
            .iter()
            .filter_map(|source| match source {
                Source::Stored(sequence, _) => Some(*sequence),
                Source::Ready(_) => None,
            })
            .collect();
        let texts: HashMap<i64, String> = persist(|| async {
            let mut conn = parts.store.conn().await?;
            events::payloads(&mut conn, key, &sequences).await
        })
        .await?
        .into_iter()
        .collect();
        for source in batch {
            if let Source::Stored(sequence, _) = source
                && let Some(value) = texts
                    .get(sequence)
                    .and_then(|text| serde_json::from_str(text).ok())
            {
                **source = Source::Ready(Arc::new(value));
            }
        }
    }
    Ok(())
}
