//! From a flow that a client sent to one that may be stored, or all that is wrong with it.

use prost::Message;

use super::convert::{flow, violation};
use super::{Api, Error, Result, page};
use crate::api::{MAX_ANSWER_BYTES, Settings};
use crate::applet::registry::Registry;
use crate::flow::validate::{self, Applets, Limits, Report, Valid};
use crate::flow::{Definition, Draft, Violation};
use crate::ids::NodeId;
use crate::proto::{Flow, FlowLayer, ValidateFlowResponse};

/// The most bytes of a flow: with what the service sets in it, an answer holds it.
const MAX_FLOW_BYTES: usize = MAX_ANSWER_BYTES - 1_024;

/// The bytes of an answer that violations may take in any case.
const VIOLATION_BYTES: usize = 1 << 20;

/// Whether a flow has to say under which id it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Id {
    /// It has to.
    Required,
    /// Without one the service makes one.
    Optional,
}

/// A flow that may be stored, and how it is answered, all but what only storing gives it.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) valid: Valid,
    pub(super) answer: Flow,
}

/// Makes the flow of a request one that may be stored.
pub(super) async fn check(api: &Api, given: Flow, id: Id) -> Result<Checked> {
    on_cpu(api, move |limits, applets| {
        let (draft, mut found) = flow::draft(given);
        if id == Id::Required && draft.id.is_empty() {
            found.push(super::required("flow.id"));
        }
        match validate::validate(draft, limits, applets) {
            Err(report) => Err(Error::InvalidFlow(flow::merged(found, report.violations))),
            Ok(_) if !found.is_empty() => Err(Error::InvalidFlow(flow::merged(found, Vec::new()))),
            Ok(valid) => {
                let answer = flow::valid_flow(&valid);
                match too_large(&answer) {
                    Some(violation) => Err(Error::InvalidFlow(vec![violation])),
                    None => Ok(Checked { valid, answer }),
                }
            }
        }
    })
    .await?
}

/// Says all that there is to say about the flow of a request.
pub(super) async fn report(api: &Api, given: Flow) -> Result<ValidateFlowResponse> {
    on_cpu(api, move |limits, applets| {
        let (draft, found) = flow::draft(given);
        let mut report = validate::check(&draft, limits, applets);
        report.violations = flow::merged(found, report.violations);
        if report.violations.is_empty() {
            report.violations.extend(too_large(&unstored(&draft)));
        }
        answer(report, &draft.definition)
    })
    .await
}

/// Validation takes milliseconds, and templates and patterns of the configs are compiled in it.
pub(in crate::api) async fn on_cpu<T: Send + 'static>(
    api: &Api,
    work: impl FnOnce(&Limits, Applets<'_>) -> T + Send + 'static,
) -> Result<T> {
    let (registry, settings): (Registry, Settings) =
        (api.engine.registry().clone(), api.settings.clone());
    let done = api.cpu.run(move || {
        let kinds: Vec<&str> = registry.entries().iter().map(|entry| entry.kind).collect();
        let applets = Applets {
            kinds: &kinds,
            inspect: &|node| registry.inspect(node),
        };
        work(&settings.limits, applets)
    });
    Ok(done.await?)
}

/// A flow as it would be answered, of which nothing is known yet.
pub(super) fn unstored(draft: &Draft) -> Flow {
    Flow {
        id: draft.id.clone(),
        name: draft.name.clone(),
        description: draft.description.clone(),
        labels: draft.labels.clone(),
        ..flow::graph(&draft.definition)
    }
}

/// What is said of a flow that no answer holds.
pub(super) fn too_large(answer: &Flow) -> Option<Violation> {
    let bytes = answer.encoded_len();
    (bytes > MAX_FLOW_BYTES).then(|| {
        let description = format!(
            "is {bytes} bytes large, the most are {MAX_FLOW_BYTES}, so that it can be read in one message"
        );
        violation("flow", "TOO_LARGE", description)
    })
}

/// All of a report that fits into an answer.
fn answer(report: Report, definition: &Definition) -> ValidateFlowResponse {
    let texts = |ids: Vec<NodeId>| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut answer = ValidateFlowResponse {
        violations: report
            .violations
            .into_iter()
            .map(|violation| flow::violation_to_proto(violation, definition))
            .collect(),
        warnings: report.warnings.into_iter().map(flow::warning).collect(),
        layers: report
            .layers
            .into_iter()
            .map(|layer| FlowLayer {
                node_ids: texts(layer),
            })
            .collect(),
        unreachable_node_ids: texts(report.unreachable),
        secrets: report.secrets.into_iter().collect(),
        hosts: report.hosts.into_iter().collect(),
    };
    if answer.encoded_len() > MAX_ANSWER_BYTES {
        shorten(&mut answer);
    }
    answer
}

/// Leaves the violations that fit beside the rest, at least 1 MiB of them, and then of the rest what fits.
fn shorten(answer: &mut ValidateFlowResponse) {
    let violations = std::mem::take(&mut answer.violations);
    let rest = answer.encoded_len();
    answer.violations = violations;
    let budget = MAX_ANSWER_BYTES.saturating_sub(rest).max(VIOLATION_BYTES);
    page::cut(&mut answer.violations, 0, budget);
    let mut left = MAX_ANSWER_BYTES;
    take(&mut answer.violations, &mut left);
    take(&mut answer.layers, &mut left);
    take(&mut answer.unreachable_node_ids, &mut left);
    take(&mut answer.warnings, &mut left);
    take(&mut answer.secrets, &mut left);
    take(&mut answer.hosts, &mut left);
}

/// Leaves as many items as fit into what is left, and takes their bytes from it.
pub(super) fn take<T: Message>(items: &mut Vec<T>, left: &mut usize) {
    page::cut(items, 0, *left);
    let bytes = page::bytes(items);
    if bytes > *left {
        items.clear();
    } else {
        *left -= bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Violation;

    #[test]
    fn an_answer_is_cut_to_its_bound_and_keeps_its_violations() {
        let text = "x".repeat(1_000);
        let mut answer = ValidateFlowResponse {
            violations: vec![
                Violation {
                    description: text.clone(),
                    ..Violation::default()
                };
                4_000
            ],
            layers: vec![FlowLayer {
                node_ids: vec!["a".to_owned()],
            }],
            hosts: vec![text; 4_000],
            ..ValidateFlowResponse::default()
        };

        shorten(&mut answer);

        assert!(answer.encoded_len() <= MAX_ANSWER_BYTES);
        assert!(answer.violations.len() > 1_000);
        assert_eq!(answer.layers.len(), 1);
        assert!(answer.hosts.len() > 1_000);
    }
}
