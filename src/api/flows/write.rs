//! Creating and updating flows.

use uuid::Uuid;

use super::check::{Checked, Id, check};
use super::{Api, Error, Result, expected, no_flow};
use crate::api::convert::{flow, time};
use crate::flow::validate::Valid;
use crate::ids::{FlowId, Namespace};
use crate::proto::{CreateFlowRequest, Flow, UpdateFlowRequest};
use crate::store::flows::{self, Content, Head, WhenMissing};
use crate::store::{self, revisions};

/// Stores a new flow, or with `validate_only` finds out whether that could be done.
pub(super) async fn create(
    api: &Api,
    namespace: &Namespace,
    request: CreateFlowRequest,
) -> Result<Flow> {
    let given = request.flow.ok_or_else(no_flow)?;
    let checked = check(api, given, Id::Optional).await?;
    if request.validate_only {
        return would_create(api, namespace, &checked.valid, checked.answer).await;
    }
    store_new(api, namespace, checked).await
}

/// Stores a flow that nobody has stored yet.
pub(super) async fn store_new(api: &Api, namespace: &Namespace, checked: Checked) -> Result<Flow> {
    let Checked { valid, answer } = checked;
    let flow_id = valid
        .id
        .clone()
        .unwrap_or_else(|| FlowId::new(Uuid::now_v7().to_string()));
    let mut conn = api.engine.store().conn().await?;
    let head = flows::create(&mut conn, namespace, content(&flow_id, &valid)).await?;
    Ok(flow::with_head(answer, &head, head.latest_revision))
}

async fn would_create(
    api: &Api,
    namespace: &Namespace,
    valid: &Valid,
    answer: Flow,
) -> Result<Flow> {
    if let Some(flow_id) = &valid.id {
        let mut conn = api.engine.store().conn().await?;
        let taken = flows::find_head(&mut conn, namespace, flow_id).await?;
        if taken.is_some() {
            return Err(store::Error::FlowExists(flow_id.clone()).into());
        }
    }
    Ok(first(answer))
}

/// Replaces a flow, or with `validate_only` finds out what that would do.
pub(super) async fn update(
    api: &Api,
    namespace: &Namespace,
    request: UpdateFlowRequest,
) -> Result<Flow> {
    let given = request.flow.ok_or_else(no_flow)?;
    let Checked { valid, answer } = check(api, given, Id::Required).await?;
    let flow_id = valid
        .id
        .clone()
        .ok_or_else(|| Error::field(super::required("flow.id")))?;
    let expected = expected(&request.etag);
    let when_missing = if request.allow_missing {
        WhenMissing::Create
    } else {
        WhenMissing::Refuse
    };
    let content = content(&flow_id, &valid);
    let mut conn = api.engine.store().conn().await?;
    if !request.validate_only {
        let head = flows::update(&mut conn, namespace, content, expected, when_missing).await?;
        return Ok(flow::with_head(answer, &head, head.latest_revision));
    }
    let Some(head) = flows::find_head(&mut conn, namespace, &flow_id).await? else {
        return if expected.is_none() && when_missing == WhenMissing::Create {
            Ok(first(answer))
        } else {
            Err(store::Error::FlowNotFound(flow_id).into())
        };
    };
    flows::check_etag(&head, expected)?;
    let hash =
        revisions::find_hash(&mut conn, namespace, head.flow_key, head.latest_revision).await?;
    Ok(next(
        answer,
        &head,
        content,
        hash == Some(valid.content_hash),
    ))
}

/// Stores a flow with an id, whatever is stored under it.
pub(super) async fn replace(api: &Api, namespace: &Namespace, checked: Checked) -> Result<Flow> {
    let Checked { valid, answer } = checked;
    let flow_id = valid
        .id
        .clone()
        .ok_or_else(|| Error::field(super::required("flow.id")))?;
    let mut conn = api.engine.store().conn().await?;
    let content = content(&flow_id, &valid);
    let head = flows::update(&mut conn, namespace, content, None, WhenMissing::Create).await?;
    Ok(flow::with_head(answer, &head, head.latest_revision))
}

/// A flow as it would be if it were created.
fn first(answer: Flow) -> Flow {
    Flow {
        revision: 1,
        ..answer
    }
}

/// A flow as it would be if it were updated: etag and time are known only where nothing would change.
fn next(answer: Flow, head: &Head, content: Content<'_>, same_graph: bool) -> Flow {
    let same_words = head.name == content.name
        && head.description == content.description
        && head.labels == *content.labels;
    if same_graph && same_words {
        return flow::with_head(answer, head, head.latest_revision);
    }
    Flow {
        revision: head.latest_revision + i32::from(!same_graph),
        create_time: Some(time::timestamp(head.created_at)),
        ..answer
    }
}

fn content<'a>(flow_id: &'a FlowId, valid: &'a Valid) -> Content<'a> {
    Content {
        flow_id,
        name: &valid.name,
        description: &valid.description,
        labels: &valid.labels,
        definition: &valid.definition,
        content_hash: valid.content_hash,
    }
}
