//! `FlowService`: flows are stored, read, changed, listed, checked and deleted.

mod bodies;
mod create;
mod delete;
mod diff;
pub mod examples;
mod export;
mod failures;
mod import;
mod lists;
mod update;
mod validate;

use serde_json::json;
use synapps::proto::{
    CreateFlowRequest, DeleteFlowRequest, Flow, GetFlowRequest, ListFlowsRequest,
    ListFlowsResponse, UpdateFlowRequest,
};
use tonic::Status;

use crate::support::calls::Calls;
use crate::support::flows::{chain, flow_with_ends};

/// The smallest flow with a name of its own: `start`, then `end`.
fn smallest(id: &str) -> Flow {
    flow_with_ends(id).edge("start", "end").build()
}

/// A flow whose runs wait until they are cancelled.
fn waiting(id: &str) -> Flow {
    chain(id, &[("wait", "delay", json!({"seconds": 3600}))])
}

/// The same flow as if nobody had stored it yet: without what the service sets.
fn as_sent(flow: &Flow) -> Flow {
    Flow {
        revision: 0,
        content_hash: String::new(),
        etag: String::new(),
        create_time: None,
        update_time: None,
        ..flow.clone()
    }
}

async fn create(server: &Calls, flow: Flow) -> Result<Flow, Status> {
    let request = CreateFlowRequest {
        flow: Some(flow),
        validate_only: false,
    };
    let answer = server.flows().create_flow(request).await?;
    Ok(answer.into_inner().flow.unwrap())
}

async fn try_create(server: &Calls, flow: Flow) -> Result<Flow, Status> {
    let request = CreateFlowRequest {
        flow: Some(flow),
        validate_only: true,
    };
    let answer = server.flows().create_flow(request).await?;
    Ok(answer.into_inner().flow.unwrap())
}

/// The revision of a flow; the latest if it is 0.
async fn get(server: &Calls, flow_id: &str, revision: i32) -> Result<Flow, Status> {
    let request = GetFlowRequest {
        flow_id: flow_id.to_owned(),
        revision,
    };
    let answer = server.flows().get_flow(request).await?;
    Ok(answer.into_inner().flow.unwrap())
}

async fn update(server: &Calls, flow: Flow, etag: &str) -> Result<Flow, Status> {
    let request = UpdateFlowRequest {
        flow: Some(flow),
        etag: etag.to_owned(),
        ..UpdateFlowRequest::default()
    };
    let answer = server.flows().update_flow(request).await?;
    Ok(answer.into_inner().flow.unwrap())
}

async fn delete(server: &Calls, request: DeleteFlowRequest) -> Result<(), Status> {
    server.flows().delete_flow(request).await?;
    Ok(())
}

fn deletion(flow_id: &str) -> DeleteFlowRequest {
    DeleteFlowRequest {
        flow_id: flow_id.to_owned(),
        ..DeleteFlowRequest::default()
    }
}

async fn list(server: &Calls, request: ListFlowsRequest) -> Result<ListFlowsResponse, Status> {
    Ok(server.flows().list_flows(request).await?.into_inner())
}
