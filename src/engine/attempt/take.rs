//! An output that a fork takes without running its step: from the run that it was forked from, or from its author.

use std::sync::Arc;

use serde_json::{Map, Value};
use tracing::warn;

use super::{Assignment, End, Placed, persist, place};
use crate::applet;
use crate::engine::Parts;
use crate::engine::payloads::Encoded;
use crate::ids::RunKey;
use crate::run::event::{ChunkKey, PayloadInfo, Reused};
use crate::run::step::Output;
use crate::store::{self, payloads};

/// What a step takes as its output.
#[derive(Debug)]
pub enum Taken {
    /// The fork's author gives it.
    Given {
        /// The output.
        value: Arc<Value>,
        /// The port; empty for the only one.
        port: String,
    },
    /// The original has recorded it.
    Recorded {
        /// The original.
        from: RunKey,
        /// What it recorded.
        output: Output,
        /// What happened on the way.
        details: Map<String, Value>,
        /// Where it was computed.
        reused: Reused,
    },
}

/// An output that was taken.
#[derive(Debug)]
pub struct Took {
    /// Size, hash and place.
    pub info: PayloadInfo,
    /// Value and text; `None` of a recorded output in chunks, which are copied unseen.
    pub encoded: Option<Encoded>,
    /// The port; empty for the only one.
    pub port: String,
    /// What happened on the way.
    pub details: Map<String, Value>,
    /// Where it was computed; `None` if the fork's author gave it.
    pub reused: Option<Reused>,
}

/// Makes an output the step's own.
pub(super) async fn take(
    parts: &Parts,
    assignment: &Assignment,
    taken: Taken,
) -> Result<End, applet::Error> {
    match taken {
        Taken::Given { value, port } => {
            let Placed { encoded, info } = place(parts, assignment, value, "").await?;
            Ok(End::Took(Took {
                info,
                encoded: Some(encoded),
                port,
                details: Map::new(),
                reused: None,
            }))
        }
        Taken::Recorded {
            from,
            output,
            details,
            reused,
        } => {
            let copied = persist(|| async {
                match copy(parts, assignment, &from, &output).await {
                    Ok(copied) => Ok(Some(copied)),
                    Err(store::Error::Corrupt(problem)) => {
                        warn!(run.id = %assignment.key, problem, "a recorded output is gone, and its step runs again");
                        Ok(None)
                    }
                    Err(error) => Err(error),
                }
            })
            .await?;
            Ok(match copied {
                Some((info, encoded)) => End::Took(Took {
                    info,
                    encoded,
                    port: output.port,
                    details,
                    reused: Some(reused),
                }),
                None => End::Gone,
            })
        }
    }
}

async fn copy(
    parts: &Parts,
    assignment: &Assignment,
    from: &RunKey,
    output: &Output,
) -> store::Result<(PayloadInfo, Option<Encoded>)> {
    let Some(chunks) = &output.info.chunks else {
        let encoded = parts
            .payloads
            .encoded(from, output.sequence, &output.info)
            .await?;
        return Ok((output.info.clone(), Some(encoded)));
    };
    let at = ChunkKey {
        path: assignment.path.to_string(),
        attempt: assignment.number,
        epoch: assignment.epoch,
    };
    let mut conn = parts.store.conn().await?;
    let bytes = payloads::copy(&mut conn, (from, chunks), (&assignment.key, &at)).await?;
    if bytes != output.info.size_bytes {
        return Err(store::Error::Corrupt(format!(
            "the payload of event {} of run {from} has {bytes} bytes",
            output.sequence
        )));
    }
    let info = PayloadInfo {
        chunks: Some(at),
        ..output.info.clone()
    };
    Ok((info, None))
}
