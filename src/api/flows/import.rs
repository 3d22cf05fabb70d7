//! `ImportFlow`: from a document to a stored flow.

use prost::Message;

use super::check::{Checked, on_cpu, take, too_large, unstored};
use super::{Api, Error, Result, write};
use crate::api::MAX_ANSWER_BYTES;
use crate::api::convert::{flow, required, unknown_enum, violation};
use crate::flow::validate::{self, Applets, Limits, Valid, Warning, is_flow_id};
use crate::flow::{Definition, Draft, Violation};
use crate::ids::{FlowId, Namespace};
use crate::import::{self, Format, Imported};
use crate::proto::{Flow, FlowFormat, ImportFlowRequest, ImportFlowResponse};
use crate::store::flows;

/// What became of a document.
struct Read {
    /// The flow as it would be.
    flow: Option<Flow>,
    format: Option<Format>,
    warnings: Vec<Warning>,
    outcome: Outcome,
}

enum Outcome {
    Valid(Box<Valid>),
    /// Why it would be refused, and the graph that paths lead into.
    Refused(Vec<Violation>, Box<Definition>),
}

/// Stores the flow of a document, or with `validate_only` says what would become of it.
pub(super) async fn import(
    api: &Api,
    namespace: &Namespace,
    request: ImportFlowRequest,
) -> Result<ImportFlowResponse> {
    let given_format = checked(&request)?;
    let ImportFlowRequest {
        document,
        flow_id,
        replace_existing,
        validate_only,
        ..
    } = request;
    let read = on_cpu(api, move |limits, applets| {
        read(&document, given_format, flow_id, limits, applets)
    })
    .await??;
    let Read {
        flow: as_read,
        format,
        warnings,
        outcome,
    } = read;
    let (flow, violations) = match outcome {
        Outcome::Refused(violations, graph) if validate_only => {
            // What nests too deep cannot be read back by most clients.
            let too_deep = violations.iter().any(|one| one.reason == "TOO_DEEP");
            let as_read = as_read.filter(|_| !too_deep);
            let violations = violations
                .into_iter()
                .map(|violation| flow::violation_to_proto(violation, &graph));
            (as_read, violations.collect())
        }
        Outcome::Refused(violations, _) => return Err(Error::InvalidFlow(violations)),
        Outcome::Valid(valid) if validate_only => {
            let taken = taken(api, namespace, &valid, replace_existing).await?;
            let violation =
                taken.map(|violation| flow::violation_to_proto(violation, &Definition::default()));
            (as_read, violation.into_iter().collect())
        }
        Outcome::Valid(valid) => {
            let answer = flow::valid_flow(&valid);
            let checked = Checked {
                valid: *valid,
                answer,
            };
            let stored = if replace_existing && checked.valid.id.is_some() {
                write::replace(api, namespace, checked).await?
            } else {
                write::store_new(api, namespace, checked).await?
            };
            (Some(stored), Vec::new())
        }
    };
    let mut answer = ImportFlowResponse {
        flow,
        format: format
            .map_or(FlowFormat::Unspecified, format_to_proto)
            .into(),
        violations,
        warnings: warnings.into_iter().map(flow::warning).collect(),
    };
    shorten(&mut answer);
    Ok(answer)
}

/// The format that a request names, if all its fields are what they have to be.
fn checked(request: &ImportFlowRequest) -> Result<Option<Format>> {
    let mut violations = Vec::new();
    let format = format_from(request.format).unwrap_or_else(|violation| {
        violations.push(violation);
        None
    });
    if request.document.trim().is_empty() {
        violations.push(required("document"));
    }
    if !request.flow_id.is_empty() && !is_flow_id(&request.flow_id) {
        let description = "is not 1 to 200 characters of A-Z a-z 0-9 _ . -";
        violations.push(violation("flow_id", "INVALID_ID", description));
    }
    super::refuse(violations)?;
    Ok(format)
}

/// The format of a request.
pub(super) fn format_from(number: i32) -> Result<Option<Format>, Violation> {
    Ok(match FlowFormat::try_from(number) {
        Ok(FlowFormat::Unspecified) => None,
        Ok(FlowFormat::Json) => Some(Format::Json),
        Ok(FlowFormat::Yaml) => Some(Format::Yaml),
        Ok(FlowFormat::PredecessorJson) => Some(Format::PredecessorJson),
        Ok(FlowFormat::PredecessorYaml) => Some(Format::PredecessorYaml),
        Err(_) => return Err(unknown_enum("format", number)),
    })
}

fn format_to_proto(format: Format) -> FlowFormat {
    match format {
        Format::Json => FlowFormat::Json,
        Format::Yaml => FlowFormat::Yaml,
        Format::PredecessorJson => FlowFormat::PredecessorJson,
        Format::PredecessorYaml => FlowFormat::PredecessorYaml,
    }
}

fn read(
    document: &str,
    format: Option<Format>,
    flow_id: String,
    limits: &Limits,
    applets: Applets<'_>,
) -> Result<Read> {
    let Imported {
        mut draft,
        format,
        mut warnings,
    } = match import::read(document, format) {
        Ok(imported) => imported,
        Err(import::Error::Unreadable(violation)) => return Err(Error::field(violation)),
        Err(import::Error::NoFlow(violations)) => {
            return Ok(Read {
                flow: None,
                format,
                warnings: Vec::new(),
                outcome: Outcome::Refused(violations, Box::default()),
            });
        }
    };
    if !flow_id.is_empty() {
        draft.id = flow_id;
    }
    let (flow, outcome) = validated(draft, limits, applets, &mut warnings);
    Ok(Read {
        flow: Some(flow),
        format: Some(format),
        warnings,
        outcome,
    })
}

fn validated(
    draft: Draft,
    limits: &Limits,
    applets: Applets<'_>,
    warnings: &mut Vec<Warning>,
) -> (Flow, Outcome) {
    let as_read = unstored(&draft);
    if let Some(violation) = too_large(&as_read) {
        // It fits into no answer either.
        return (
            Flow::default(),
            Outcome::Refused(vec![violation], Box::default()),
        );
    }
    let graph = Box::new(draft.definition.clone());
    match validate::validate(draft, limits, applets) {
        Ok(valid) => {
            warnings.extend(valid.warnings.iter().cloned());
            (first(&valid), Outcome::Valid(Box::new(valid)))
        }
        Err(report) => {
            warnings.extend(report.warnings);
            (as_read, Outcome::Refused(report.violations, graph))
        }
    }
}

/// A flow as it would be if nobody had its id.
fn first(valid: &Valid) -> Flow {
    Flow {
        revision: 1,
        ..flow::valid_flow(valid)
    }
}

/// Whether the id of a flow is another's, which it may not take.
async fn taken(
    api: &Api,
    namespace: &Namespace,
    valid: &Valid,
    replace_existing: bool,
) -> Result<Option<Violation>> {
    let Some(flow_id) = valid.id.as_ref().filter(|_| !replace_existing) else {
        return Ok(None);
    };
    let mut conn = api.engine.store().conn().await?;
    let found = flows::find_head(&mut conn, namespace, flow_id).await?;
    Ok(found.map(|_| exists(flow_id)))
}

fn exists(flow_id: &FlowId) -> Violation {
    let description =
        format!("flow {flow_id} already exists: set replace_existing, or another flow_id");
    violation("flow_id", "FLOW_ALREADY_EXISTS", description)
}

/// Leaves the violations and then the warnings that fit beside the flow.
fn shorten(answer: &mut ImportFlowResponse) {
    if answer.encoded_len() <= MAX_ANSWER_BYTES {
        return;
    }
    let violations = std::mem::take(&mut answer.violations);
    let warnings = std::mem::take(&mut answer.warnings);
    let mut left = MAX_ANSWER_BYTES.saturating_sub(answer.encoded_len());
    answer.violations = violations;
    answer.warnings = warnings;
    take(&mut answer.violations, &mut left);
    take(&mut answer.warnings, &mut left);
}
