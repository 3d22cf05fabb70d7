//! `DiffFlowRevisions`: what differs between two revisions of a flow.

use super::{Api, Result, flow_id_violation, refuse};
use crate::api::convert::{diff as wire, violation};
use crate::api::{MOST_DIFFERENCE_BYTES, MOST_DIFFERENCES};
use crate::flow::diff::definitions;
use crate::ids::{FlowId, Namespace};
use crate::proto::{DiffFlowRevisionsRequest, DiffFlowRevisionsResponse};
use crate::store::{self, revisions};
use crate::value::diff::Budget;

/// Compares the two as they are stored, where large flows keep nobody else waiting.
pub(super) async fn diff(
    api: &Api,
    namespace: &Namespace,
    request: &DiffFlowRevisionsRequest,
) -> Result<DiffFlowRevisionsResponse> {
    let mut violations: Vec<_> = flow_id_violation(&request.flow_id).into_iter().collect();
    for (field, number) in [("base", request.base), ("compare", request.compare)] {
        if number < 0 {
            let description = format!("is {number}, it has to be 0 (for the latest) or above");
            violations.push(violation(field, "OUT_OF_BOUNDS", description));
        }
    }
    refuse(violations)?;
    let flow_id = FlowId::from(request.flow_id.as_str());
    let mut conn = api.engine.store().conn().await?;
    let mut full = async |number: i32| {
        let wanted = (number != 0).then_some(number);
        let (_, full) = revisions::get_flow(&mut conn, namespace, &flow_id, wanted).await?;
        Ok::<_, store::Error>(full)
    };
    let base = full(request.base).await?;
    let compare = full(request.compare).await?;
    drop(conn);
    let (base_number, compare_number) = (base.summary.number, compare.summary.number);
    let compared = move || {
        let mut budget = Budget::new(MOST_DIFFERENCES, MOST_DIFFERENCE_BYTES);
        let found = definitions(&base.definition, &compare.definition, &mut budget);
        (found, budget.is_truncated())
    };
    let (found, truncated) = api.cpu.run(compared).await?;
    Ok(DiffFlowRevisionsResponse {
        base: base_number,
        compare: compare_number,
        equal: found.is_empty() && !truncated,
        nodes: found.nodes.into_iter().map(wire::node).collect(),
        edges: found.edges.iter().map(wire::edge).collect(),
        nodes_reordered: found.nodes_reordered,
        edges_reordered: found.edges_reordered,
        policy: wire::values(&found.policy),
        input_schema: wire::values(&found.input_schema),
        truncated,
    })
}
