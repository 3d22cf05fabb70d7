//! The run's output: made of what its ends gave.

use std::sync::Arc;

use futures_util::FutureExt;
use serde_json::Value;

use super::Driver;
use super::fail::failure;
use crate::applet;
use crate::engine::attempt::{Source, load, persist};
use crate::engine::payloads::Encoded;
use crate::ids::NodeId;
use crate::run::event::{ChunkKey, PayloadInfo, RunError, RunFailed, RunSucceeded};
use crate::run::scope::StepKey;

/// The run's output as its last event holds it, or why it cannot be made.
pub(super) type Finished = Result<(PayloadInfo, Option<Arc<str>>), applet::Error>;

impl Driver {
    /// Makes the run's output; the run succeeds once it is there.
    pub(super) fn finish(&mut self) {
        let ends = self.run.ends();
        let keyed = self.run.graph().ends().len() > 1;
        if let ([end], false) = (&*ends, keyed) {
            // The end's output is the run's: what is known of it serves again.
            if let Some(output) = &self.run.top_step(*end).output
                && let Some(encoded) = self.outputs.get(&output.sequence)
            {
                let text = output.info.chunks.is_none().then(|| encoded.text.clone());
                return self.finished(Ok((output.info.clone(), text)));
            }
        }
        let sources: Vec<(NodeId, Source)> = ends
            .iter()
            .filter_map(|&end| {
                let source = self.output_of(StepKey::top(end))?;
                Some((self.run.graph().node(end).id.clone(), source))
            })
            .collect();
        let parts = Arc::clone(&self.parts);
        let key = self.key.clone();
        let at = ChunkKey {
            path: String::new(),
            attempt: 1,
            epoch: self.epoch,
        };
        let mut making = Box::pin(async move {
            let mut values = Vec::with_capacity(sources.len());
            for (node, source) in &sources {
                values.push((node.to_string(), load(&parts, &key, source).await?));
            }
            let value = if keyed {
                Arc::new(Value::Object(
                    values
                        .into_iter()
                        .map(|(node, value)| (node, Value::clone(&value)))
                        .collect(),
                ))
            } else {
                values.pop().map(|(_, value)| value).unwrap_or_default()
            };
            let encoded = Encoded::of_output(value, parts.settings.max_payload_bytes)?;
            if encoded.is_inline() {
                return Ok((encoded.info.clone(), Some(encoded.text)));
            }
            let info = persist(|| parts.payloads.write(&key, &encoded, at.clone())).await?;
            Ok((info, None))
        });
        match (&mut making).now_or_never() {
            Some(finished) => self.finished(finished),
            None => self.finish = Some(making),
        }
    }

    /// Takes in the run's output, unless the run has come to another end meanwhile.
    pub(super) fn finished(&mut self, finished: Finished) {
        match finished {
            Ok((output, text)) => self.record_end(RunSucceeded { output }, text),
            Err(error) => {
                let failure = failure(error);
                self.record_end(
                    RunFailed {
                        error: RunError {
                            failure,
                            path: None,
                            attempt: 0,
                        },
                    },
                    None,
                );
            }
        }
    }
}
