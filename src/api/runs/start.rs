//! Requests to start a run: checked, and made into what the engine takes.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::api::Api;
use crate::api::checks::Checks;
use crate::api::convert::value;
use crate::api::status::Result;
use crate::engine::Start;
use crate::flow::validate;
use crate::ids::{FlowId, Namespace};
use crate::proto::{ExecuteRunRequest, StartRunRequest};
use crate::store::births::{PRIORITIES, Request};
use crate::value::{canonical, normalise};

impl Api {
    /// What the engine is to start, or all that is wrong with the request, beside what was found before.
    pub(super) fn start(
        &self,
        namespace: Namespace,
        request: StartRunRequest,
        mut checks: Checks,
    ) -> Result<Start> {
        if !validate::is_flow_id(&request.flow_id) {
            let length = request.flow_id.chars().count();
            let description =
                format!("is not 1 to 200 characters of A-Z a-z 0-9 _ . - ({length} were given)");
            checks.add("flow_id", "INVALID_ID", description);
        }
        if request.revision < 0 {
            let description = format!("is {}, must be 0 (the latest) or above", request.revision);
            checks.add("revision", "OUT_OF_BOUNDS", description);
        }
        if !PRIORITIES.contains(&request.priority) {
            let (least, most) = (PRIORITIES.start(), PRIORITIES.end());
            let description = format!("is {}, it has to be {least} to {most}", request.priority);
            checks.add("priority", "OUT_OF_BOUNDS", description);
        }
        checks.request_id(&request.request_id);
        let labels: BTreeMap<String, String> = request.labels;
        checks.extend(validate::run_labels(&labels));
        let input = checks.take(
            request
                .input
                .map(|input| value::from_proto(input, "input"))
                .transpose(),
        );
        if let Some(input) = &input {
            checks.payload("input", input, self.settings.max_input_bytes);
        }
        checks.finish()?;
        let request_id = Some(request.request_id)
            .filter(|id| !id.is_empty())
            .map(|id| {
                let body_hash = body_hash(
                    &request.flow_id,
                    request.revision,
                    input.as_ref(),
                    &labels,
                    request.priority,
                );
                Request { id, body_hash }
            });
        let mut input = input.unwrap_or_else(|| json!({}));
        normalise(&mut input);
        Ok(Start {
            namespace,
            flow_id: FlowId::from(request.flow_id),
            revision: request.revision,
            input: Arc::new(input),
            request: request_id,
            labels,
            priority: request.priority,
        })
    }
}

/// SHA-256 over what the client sent, in canonical form: the order of maps is nothing, and what is absent is not its
/// default.
fn body_hash(
    flow_id: &str,
    revision: i32,
    input: Option<&Value>,
    labels: &BTreeMap<String, String>,
    priority: i32,
) -> [u8; 32] {
    let mut body =
        json!({ "flow_id": flow_id, "revision": revision, "labels": labels, "priority": priority });
    if let (Some(input), Some(fields)) = (input, body.as_object_mut()) {
        fields.insert("input".to_owned(), input.clone());
    }
    canonical::digest(canonical::canonical(&body).as_bytes())
}

/// The part of an `ExecuteRun` that starts the run.
pub(super) fn start_of(request: &mut ExecuteRunRequest) -> StartRunRequest {
    StartRunRequest {
        flow_id: std::mem::take(&mut request.flow_id),
        revision: request.revision,
        input: request.input.take(),
        request_id: std::mem::take(&mut request.request_id),
        labels: std::mem::take(&mut request.labels),
        priority: request.priority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_one_hash_whatever_the_order_of_its_maps() {
        let labels: BTreeMap<String, String> =
            [("b".into(), "2".into()), ("a".into(), "1".into())].into();
        let of = |text: &str| {
            let input: Value = serde_json::from_str(text).expect("JSON");
            body_hash("f", 0, Some(&input), &labels, 0)
        };

        assert_eq!(of(r#"{"x":1,"y":[2.0]}"#), of(r#"{"y":[2],"x":1}"#));
        assert_ne!(of(r#"{"x":1}"#), of(r#"{"x":2}"#));
    }

    #[test]
    fn an_absent_input_is_not_an_empty_one() {
        let labels = BTreeMap::new();

        assert_ne!(
            body_hash("f", 0, None, &labels, 0),
            body_hash("f", 0, Some(&json!({})), &labels, 0)
        );
    }
}
