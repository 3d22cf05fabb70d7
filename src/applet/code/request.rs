//! What a program is given: its code, its input, and as much of the context as it may read.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use crate::applet::{Context, Error};
use crate::ids::NodeId;
use crate::sandbox::Limits;
use crate::sandbox::frame::Request;
use crate::value;

/// Up to so many bytes a request is put together where it is; a larger one is work for the threads of
/// [`crate::cpu::Cpu`].
const INLINE_BYTES: u64 = 64 * 1024;

/// The most bytes of outputs that a program finds in its context, as JSON.
const MAX_RESULTS_BYTES: u64 = 32 << 20;

/// Whether a program may read its context: it has to name it.
pub(super) fn names_context(code: &str) -> bool {
    code.contains("context")
}

/// What a program finds as `context`.
#[derive(Serialize)]
struct Around<'a> {
    input: &'a Value,
    results: BTreeMap<&'a str, Output<'a>>,
}

#[derive(Serialize)]
struct Output<'a> {
    output: &'a Value,
}

/// The request as JSON.
pub(super) async fn build(
    context: &Context,
    code: String,
    limits: &Limits,
) -> Result<Vec<u8>, Error> {
    let scope = context.scope.clone();
    let data = Arc::clone(&context.input);
    let (cpu_seconds, memory_bytes) = (limits.cpu_seconds, limits.memory_bytes);
    let reads_context = names_context(&code);
    let results = if reads_context {
        bounded(&scope.results, &code)?
    } else {
        Vec::new()
    };
    let inline = results
        .iter()
        .map(|(_, value)| value)
        .chain([&data, &scope.input])
        .try_fold(INLINE_BYTES, |rest, value| {
            let measure = value::measure(value, rest)?;
            rest.checked_sub(measure.bytes)
        });
    let put_together = move || -> serde_json::Result<Vec<u8>> {
        let around = if reads_context {
            to_raw_value(&Around {
                input: &scope.input,
                results: results
                    .iter()
                    .map(|(node, output)| (node.as_str(), Output { output }))
                    .collect(),
            })?
        } else {
            // It cannot be named, so it is not there.
            RawValue::from_string("{}".to_owned())?
        };
        serde_json::to_vec(&Request {
            code,
            data: &to_raw_value(&*data)?,
            context: &around,
            cpu_seconds,
            memory_bytes,
        })
    };
    let request = if inline.is_some() {
        put_together()
    } else {
        context.cpu.run(put_together).await?
    };
    request.map_err(|error| {
        let message = format!("what the code is given has no JSON: {error}");
        Error::permanent("CODE_FAILED", message)
    })
}

/// The results that a program finds. Where all are too much, those that it names.
fn bounded(
    results: &BTreeMap<NodeId, Arc<Value>>,
    code: &str,
) -> Result<Vec<(NodeId, Arc<Value>)>, Error> {
    let all = || {
        results
            .iter()
            .map(|(node, value)| (node.clone(), Arc::clone(value)))
    };
    let fits = |chosen: &[(NodeId, Arc<Value>)]| {
        let left = chosen
            .iter()
            .try_fold(MAX_RESULTS_BYTES, |rest, (_, value)| {
                let measure = value::measure(value, rest)?;
                rest.checked_sub(measure.bytes)
            });
        left.is_some()
    };
    let mut chosen: Vec<_> = all().collect();
    if !fits(&chosen) {
        chosen.retain(|(node, _)| code.contains(node.as_str()));
        if !fits(&chosen) {
            let message = format!(
                "the outputs of nodes that the code names are more than {MAX_RESULTS_BYTES} bytes together; it can get \
                 them as its input, along edges"
            );
            return Err(Error::permanent("CODE_CONTEXT_TOO_LARGE", message));
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn results(sizes: &[(&str, usize)]) -> BTreeMap<NodeId, Arc<Value>> {
        sizes
            .iter()
            .map(|(node, size)| (NodeId::from(*node), Arc::new(json!("x".repeat(*size)))))
            .collect()
    }

    #[test]
    fn results_that_are_not_named_give_way() {
        let large = results(&[("a", 20 << 20), ("b", 20 << 20), ("c", 9)]);
        let names = |code: &str| {
            let chosen = bounded(&large, code).map_err(|error| error.reason);
            chosen.map(|all| {
                all.iter()
                    .map(|(node, _)| node.to_string())
                    .collect::<Vec<_>>()
            })
        };

        assert_eq!(names("results.b + results.c").unwrap(), ["b", "c"]);
        assert_eq!(names("a b").unwrap_err(), "CODE_CONTEXT_TOO_LARGE");
        assert_eq!(
            bounded(&results(&[("a", 9), ("b", 9)]), "").unwrap().len(),
            2
        );
    }
}
