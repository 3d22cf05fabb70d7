//! Deciding about steps that cannot go on by themselves, and sending signals.

use serde_json::{Value, json};

use super::run_key;
use super::show::Wanted;
use crate::api::Api;
use crate::api::checks::Checks;
use crate::api::convert::value;
use crate::api::status::Result;
use crate::engine::payloads::INLINE_BYTES;
use crate::ids::Namespace;
use crate::proto::{
    ResolveStepRequest, ResolveStepResponse, SignalRunRequest, SignalRunResponse, StepResolution,
};
use crate::run::state::Resolution;
use crate::store::births::Request;
use crate::store::inbox::Verdict;
use crate::value::{canonical, normalise};

impl Api {
    pub(super) async fn resolve(
        &self,
        namespace: Namespace,
        request: ResolveStepRequest,
    ) -> Result<ResolveStepResponse> {
        let mut checks = Checks::default();
        let run_id = checks.run_id(&request.run_id);
        let path = checks.step_path(&request.step_path);
        if request.attempt < 1 {
            let description = format!("is {}, attempts are counted from 1", request.attempt);
            checks.add("attempt", "OUT_OF_BOUNDS", description);
        }
        let resolution = resolution(request.resolution, &mut checks);
        if resolution != Resolution::Succeeded {
            let only = "may be given with STEP_RESOLUTION_SUCCEEDED only";
            if request.output.is_some() {
                checks.add("output", "CONFLICT", only);
            }
            if !request.port.is_empty() {
                checks.add("port", "CONFLICT", only);
            }
        }
        checks.note("comment", &request.comment);
        let output = sent("output", request.output, &mut checks);
        checks.finish()?;
        let key = run_key(namespace, run_id);
        let verdict = Verdict {
            path,
            attempt: u32::try_from(request.attempt).unwrap_or_default(),
            resolution,
            output: output.map(normalised).unwrap_or_default(),
            port: request.port,
            comment: request.comment,
        };
        self.engine.resolve_step(&key, verdict).await?;
        let run = Some(self.show(&key, Wanted::Basic).await?);
        Ok(ResolveStepResponse { run })
    }

    pub(super) async fn signal(
        &self,
        namespace: Namespace,
        request: SignalRunRequest,
    ) -> Result<SignalRunResponse> {
        let mut checks = Checks::default();
        let run_id = checks.run_id(&request.run_id);
        checks.name("name", &request.name);
        checks.request_id(&request.request_id);
        let payload = sent("payload", request.payload, &mut checks);
        checks.finish()?;
        let key = run_key(namespace, run_id);
        let named = Some(request.request_id)
            .filter(|id| !id.is_empty())
            .map(|id| Request {
                id,
                body_hash: body_hash(&request.name, payload.as_ref()),
            });
        let payload = payload.map(normalised).unwrap_or_default();
        let sent = self
            .engine
            .signal(&key, request.name, payload, named)
            .await?;
        let run = Some(self.show(&key, Wanted::Basic).await?);
        Ok(SignalRunResponse { run, sent })
    }
}

fn resolution(given: i32, checks: &mut Checks) -> Resolution {
    match StepResolution::try_from(given) {
        Ok(StepResolution::Succeeded) => return Resolution::Succeeded,
        Ok(StepResolution::Retry) => return Resolution::Retry,
        Ok(StepResolution::Failed) => return Resolution::Failed,
        Ok(StepResolution::Unspecified) => checks.add("resolution", "REQUIRED", "is not given"),
        Err(_) => {
            let description = format!("{given} is no StepResolution");
            checks.add("resolution", "UNKNOWN_VALUE", description);
        }
    }
    // Refused; of all it goes best with whatever else was given.
    Resolution::Succeeded
}

/// A value that is to lie beside an event.
fn sent(field: &str, given: Option<prost_types::Value>, checks: &mut Checks) -> Option<Value> {
    let given = given.map(|given| value::from_proto(given, field));
    let given = checks.take(given.transpose());
    if let Some(given) = &given {
        checks.payload(field, given, INLINE_BYTES as u64);
    }
    given
}

fn normalised(mut value: Value) -> Value {
    normalise(&mut value);
    value
}

/// SHA-256 over what the client sent, in canonical form; what is absent is not its default.
fn body_hash(name: &str, payload: Option<&Value>) -> [u8; 32] {
    let mut body = json!({ "name": name });
    if let (Some(payload), Some(fields)) = (payload, body.as_object_mut()) {
        fields.insert("payload".to_owned(), payload.clone());
    }
    canonical::digest(canonical::canonical(&body).as_bytes())
}
