//! Lists of flows and of their revisions.

use chrono::{DateTime, Utc};

use super::convert::{self, flow, time};
use super::{Api, Error, Result, flow_id_violation, page, refuse};
use crate::api::MAX_ANSWER_BYTES;
use crate::flow::Violation;
use crate::flow::validate::{is_flow_id, run_labels};
use crate::ids::{FlowId, FlowKey, Namespace};
use crate::proto::{
    FlowOrder, FlowRevision, FlowSummary, ListFlowRevisionsRequest, ListFlowRevisionsResponse,
    ListFlowsRequest, ListFlowsResponse,
};
use crate::store::flows::{self, After, Filter, Head, Order};
use crate::store::{revisions as stored, runs};

/// Bytes that the last run adds to a flow, with room to spare.
const LAST_RUN_BYTES: usize = 100;
/// Bytes of an answer's page token, with room to spare.
const TOKEN_BYTES: usize = 2_048;

/// What a request for a page of flows asks for.
struct Wanted {
    filter: Filter,
    order: Order,
    after: Option<After>,
    size: usize,
}

/// A page of flows.
pub(super) async fn flows(
    api: &Api,
    namespace: &Namespace,
    mut request: ListFlowsRequest,
) -> Result<ListFlowsResponse> {
    const RPC: &str = "ListFlows";
    let size = std::mem::take(&mut request.page_size);
    let token = std::mem::take(&mut request.page_token);
    let wanted = wanted(&request, size, page::cursor(RPC, &request, &token))?;
    let mut conn = api.engine.store().conn().await?;
    let mut found = flows::list(
        &mut conn,
        namespace,
        &wanted.filter,
        wanted.order,
        wanted.after.as_ref(),
        one_more(wanted.size),
    )
    .await?;
    let mut more = found.len() > wanted.size;
    found.truncate(wanted.size);
    let mut flows: Vec<FlowSummary> = found.iter().map(flow::summary).collect();
    more |= !page::cut(&mut flows, LAST_RUN_BYTES, MAX_ANSWER_BYTES - TOKEN_BYTES);
    found.truncate(flows.len());
    let keys: Vec<FlowKey> = found.iter().map(|summary| summary.head.flow_key).collect();
    let last = runs::last_of_flows(&mut conn, namespace, &keys).await?;
    drop(conn);
    for (key, run_id, state, created_at) in last {
        if let Some(index) = keys.iter().position(|one| *one == key) {
            flow::set_last_run(&mut flows[index], run_id, state, created_at);
        }
    }
    let next = found.last().filter(|_| more);
    let next = next.map(|last| page::token(RPC, &request, &cursor(wanted.order, &last.head)));
    Ok(ListFlowsResponse {
        flows,
        next_page_token: next.unwrap_or_default(),
    })
}

fn wanted(
    request: &ListFlowsRequest,
    size: i32,
    cursor: Result<Option<String>, Violation>,
) -> Result<Wanted> {
    let mut violations = run_labels(&request.labels);
    let mut keep = |violation| violations.push(violation);
    let time = |given: &Option<prost_types::Timestamp>, field| {
        given
            .as_ref()
            .map(|given| time::from_timestamp(given, field))
            .transpose()
    };
    let created_after = time(&request.created_after, "created_after").map_err(&mut keep);
    let created_before = time(&request.created_before, "created_before").map_err(&mut keep);
    let order = order(request.order).map_err(&mut keep);
    let size = page::size(size, "page_size").map_err(&mut keep);
    let after = cursor
        .and_then(|cursor| {
            let after = cursor.map(|cursor| read_cursor(&cursor).ok_or_else(page::malformed));
            after.transpose()
        })
        .map_err(&mut keep);
    match (created_after, created_before, order, size, after) {
        (Ok(created_after), Ok(created_before), Ok(order), Ok(size), Ok(after))
            if violations.is_empty() =>
        {
            Ok(Wanted {
                filter: Filter {
                    labels: request.labels.clone(),
                    created_after,
                    created_before,
                },
                order,
                after,
                size,
            })
        }
        _ => Err(Error::Invalid(violations)),
    }
}

fn order(number: i32) -> Result<Order, Violation> {
    match FlowOrder::try_from(number) {
        Ok(FlowOrder::Unspecified | FlowOrder::CreateTimeDesc) => Ok(Order::CreatedDescending),
        Ok(FlowOrder::CreateTimeAsc) => Ok(Order::CreatedAscending),
        Ok(FlowOrder::UpdateTimeDesc) => Ok(Order::UpdatedDescending),
        Err(_) => Err(convert::unknown_enum("order", number)),
    }
}

/// The time, in the microseconds that the database keeps, and the id of the last flow of a page.
fn cursor(order: Order, last: &Head) -> String {
    let After { at, flow_id } = order.after(last);
    format!("{} {flow_id}", at.timestamp_micros())
}

fn read_cursor(cursor: &str) -> Option<After> {
    let (at, flow_id) = cursor.split_once(' ')?;
    let at: DateTime<Utc> = DateTime::from_timestamp_micros(at.parse().ok()?)?;
    // Tokens can be forged: what goes to the database is checked like any other id.
    is_flow_id(flow_id).then(|| After {
        at,
        flow_id: FlowId::from(flow_id),
    })
}

/// A page of the revisions of a flow.
pub(super) async fn revisions(
    api: &Api,
    namespace: &Namespace,
    mut request: ListFlowRevisionsRequest,
) -> Result<ListFlowRevisionsResponse> {
    const RPC: &str = "ListFlowRevisions";
    let size = std::mem::take(&mut request.page_size);
    let token = std::mem::take(&mut request.page_token);
    let mut violations: Vec<Violation> = flow_id_violation(&request.flow_id).into_iter().collect();
    let mut keep = |violation| violations.push(violation);
    let size = page::size(size, "page_size").map_err(&mut keep);
    let before = page::cursor(RPC, &request, &token)
        .and_then(|cursor| {
            let before = cursor.map(|cursor| cursor.parse().map_err(|_| page::malformed()));
            before.transpose()
        })
        .map_err(&mut keep);
    let (Ok(size), Ok(before)) = (size, before) else {
        return Err(Error::Invalid(violations));
    };
    refuse(violations)?;
    let flow_id = FlowId::from(request.flow_id.as_str());
    let mut conn = api.engine.store().conn().await?;
    let head = flows::get_head(&mut conn, namespace, &flow_id).await?;
    let limit = one_more(size);
    let mut found = stored::list(&mut conn, namespace, head.flow_key, before, limit).await?;
    drop(conn);
    let more = found.len() > size;
    found.truncate(size);
    // A thousand of them have some hundred bytes each: they fit.
    let revisions: Vec<FlowRevision> = found.iter().map(flow::revision).collect();
    let next = found.last().filter(|_| more);
    let next = next.map(|last| page::token(RPC, &request, &last.number.to_string()));
    Ok(ListFlowRevisionsResponse {
        revisions,
        next_page_token: next.unwrap_or_default(),
    })
}

/// One more than a page holds tells whether there is a further one.
fn one_more(size: usize) -> i64 {
    i64::try_from(size).map_or(i64::MAX, |size| size.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_keeps_microseconds_and_the_id() {
        let at = DateTime::from_timestamp(1_700_000_000, 123_456_000).unwrap();
        let text = format!("{} a_b.c-d", at.timestamp_micros());

        let after = read_cursor(&text).unwrap();

        assert_eq!((after.at, after.flow_id.as_str()), (at, "a_b.c-d"));
        assert_eq!(read_cursor("x"), None);
        assert_eq!(read_cursor("1 a\0"), None);
        assert_eq!(read_cursor("99999999999999999999 a"), None);
    }

    #[test]
    fn all_that_is_wrong_with_a_request_is_told() {
        let request = ListFlowsRequest {
            labels: [("é".to_owned(), String::new())].into(),
            created_after: Some(prost_types::Timestamp {
                seconds: 0,
                nanos: -1,
            }),
            order: 9,
            ..ListFlowsRequest::default()
        };

        let Err(Error::Invalid(violations)) = wanted(&request, -1, Err(page::malformed())) else {
            panic!("it is refused");
        };

        let fields: Vec<&str> = violations.iter().map(|one| one.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "labels[é]",
                "created_after",
                "order",
                "page_size",
                "page_token"
            ]
        );
    }
}
