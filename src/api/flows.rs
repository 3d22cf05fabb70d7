//! `FlowService`: what it answers to each call.

pub(in crate::api) mod check;
mod delete;
mod diff;
mod export;
mod import;
mod list;
mod write;

use tonic::{Request, Response, Status};

use super::convert::{self, flow, required, violation};
use super::status::{Error, Result};
use super::{Api, page};
use crate::flow::Violation;
use crate::flow::validate::is_flow_id;
use crate::ids::{FlowId, Namespace};
use crate::proto::flow_service_server::FlowService;
use crate::proto::{
    CreateFlowRequest, CreateFlowResponse, DeleteFlowRequest, DeleteFlowResponse,
    DiffFlowRevisionsRequest, DiffFlowRevisionsResponse, ExportFlowRequest, ExportFlowResponse,
    GetFlowRequest, GetFlowResponse, ImportFlowRequest, ImportFlowResponse,
    ListFlowRevisionsRequest, ListFlowRevisionsResponse, ListFlowsRequest, ListFlowsResponse,
    UpdateFlowRequest, UpdateFlowResponse, ValidateFlowRequest, ValidateFlowResponse,
};
use crate::store::revisions;

#[tonic::async_trait]
impl FlowService for Api {
    async fn create_flow(
        &self,
        request: Request<CreateFlowRequest>,
    ) -> Result<Response<CreateFlowResponse>, Status> {
        let namespace = self.namespace(&request);
        let flow = write::create(self, &namespace, request.into_inner()).await?;
        Ok(Response::new(CreateFlowResponse { flow: Some(flow) }))
    }

    async fn get_flow(
        &self,
        request: Request<GetFlowRequest>,
    ) -> Result<Response<GetFlowResponse>, Status> {
        let namespace = self.namespace(&request);
        Ok(Response::new(
            get(self, &namespace, &request.into_inner()).await?,
        ))
    }

    async fn list_flows(
        &self,
        request: Request<ListFlowsRequest>,
    ) -> Result<Response<ListFlowsResponse>, Status> {
        let namespace = self.namespace(&request);
        Ok(Response::new(
            list::flows(self, &namespace, request.into_inner()).await?,
        ))
    }

    async fn update_flow(
        &self,
        request: Request<UpdateFlowRequest>,
    ) -> Result<Response<UpdateFlowResponse>, Status> {
        let namespace = self.namespace(&request);
        let flow = write::update(self, &namespace, request.into_inner()).await?;
        Ok(Response::new(UpdateFlowResponse { flow: Some(flow) }))
    }

    async fn delete_flow(
        &self,
        request: Request<DeleteFlowRequest>,
    ) -> Result<Response<DeleteFlowResponse>, Status> {
        let namespace = self.namespace(&request);
        delete::delete(self, &namespace, &request.into_inner()).await?;
        Ok(Response::new(DeleteFlowResponse {}))
    }

    async fn validate_flow(
        &self,
        request: Request<ValidateFlowRequest>,
    ) -> Result<Response<ValidateFlowResponse>, Status> {
        let flow = request.into_inner().flow.ok_or_else(no_flow)?;
        Ok(Response::new(check::report(self, flow).await?))
    }

    async fn list_flow_revisions(
        &self,
        request: Request<ListFlowRevisionsRequest>,
    ) -> Result<Response<ListFlowRevisionsResponse>, Status> {
        let namespace = self.namespace(&request);
        Ok(Response::new(
            list::revisions(self, &namespace, request.into_inner()).await?,
        ))
    }

    async fn import_flow(
        &self,
        request: Request<ImportFlowRequest>,
    ) -> Result<Response<ImportFlowResponse>, Status> {
        let namespace = self.namespace(&request);
        Ok(Response::new(
            import::import(self, &namespace, request.into_inner()).await?,
        ))
    }

    async fn export_flow(
        &self,
        request: Request<ExportFlowRequest>,
    ) -> Result<Response<ExportFlowResponse>, Status> {
        let namespace = self.namespace(&request);
        Ok(Response::new(
            export::export(self, &namespace, request.get_ref()).await?,
        ))
    }

    async fn diff_flow_revisions(
        &self,
        request: Request<DiffFlowRevisionsRequest>,
    ) -> Result<Response<DiffFlowRevisionsResponse>, Status> {
        let namespace = self.namespace(&request);
        Ok(Response::new(
            diff::diff(self, &namespace, request.get_ref()).await?,
        ))
    }
}

async fn get(
    api: &Api,
    namespace: &Namespace,
    request: &GetFlowRequest,
) -> Result<GetFlowResponse> {
    let mut violations: Vec<Violation> = flow_id_violation(&request.flow_id).into_iter().collect();
    if request.revision < 0 {
        let description = format!(
            "is {}, it has to be 0 (for the latest) or above",
            request.revision
        );
        violations.push(violation("revision", "OUT_OF_BOUNDS", description));
    }
    refuse(violations)?;
    let flow_id = FlowId::from(request.flow_id.as_str());
    let revision = (request.revision != 0).then_some(request.revision);
    let mut conn = api.engine.store().conn().await?;
    let (head, full) = revisions::get_flow(&mut conn, namespace, &flow_id, revision).await?;
    drop(conn);
    Ok(GetFlowResponse {
        flow: Some(flow::stored_flow(&head, &full)),
    })
}

/// What is wrong with the `flow_id` of a request.
pub(crate) fn flow_id_violation(flow_id: &str) -> Option<Violation> {
    if flow_id.is_empty() {
        return Some(required("flow_id"));
    }
    let description = "is not 1 to 200 characters of A-Z a-z 0-9 _ . -, so no flow has it";
    (!is_flow_id(flow_id)).then(|| violation("flow_id", "INVALID_ID", description))
}

/// An etag that a client expects: an empty one says that it expects none.
fn expected(etag: &str) -> Option<&str> {
    (!etag.is_empty()).then_some(etag)
}

fn refuse(violations: Vec<Violation>) -> Result<()> {
    if violations.is_empty() {
        Ok(())
    } else {
        Err(Error::Invalid(violations))
    }
}

fn no_flow() -> Error {
    Error::field(required("flow"))
}
