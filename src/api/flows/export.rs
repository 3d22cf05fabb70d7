//! `ExportFlow`: from a stored flow to a document.

use super::import::format_from;
use super::{Api, Error, Result, flow_id_violation};
use crate::api::convert::{flow, violation};
use crate::export;
use crate::flow::Draft;
use crate::ids::{FlowId, Namespace};
use crate::import::Format;
use crate::proto::{ExportFlowRequest, ExportFlowResponse};
use crate::store::revisions;

/// Writes a flow as a document.
pub(super) async fn export(
    api: &Api,
    namespace: &Namespace,
    request: &ExportFlowRequest,
) -> Result<ExportFlowResponse> {
    let mut violations: Vec<_> = flow_id_violation(&request.flow_id).into_iter().collect();
    if request.revision < 0 {
        let description = format!(
            "is {}, it has to be 0 (for the latest) or above",
            request.revision
        );
        violations.push(violation("revision", "OUT_OF_BOUNDS", description));
    }
    let format = format_from(request.format).unwrap_or_else(|violation| {
        violations.push(violation);
        None
    });
    super::refuse(violations)?;
    let format = format.unwrap_or(Format::Json);
    let flow_id = FlowId::from(request.flow_id.as_str());
    let revision = (request.revision != 0).then_some(request.revision);
    let mut conn = api.engine.store().conn().await?;
    let (head, full) = revisions::get_flow(&mut conn, namespace, &flow_id, revision).await?;
    drop(conn);
    let draft = Draft {
        id: head.flow_id.to_string(),
        name: head.name,
        description: head.description,
        labels: head.labels,
        definition: full.definition,
    };
    let number = full.summary.number;
    let written = api
        .cpu
        .run(move || export::write(&draft, number, format))
        .await?;
    let exported = written.map_err(|source| Error::NotExported { flow_id, source })?;
    Ok(ExportFlowResponse {
        document: exported.document,
        warnings: exported.warnings.into_iter().map(flow::warning).collect(),
    })
}
