//! What somebody is asked to approve: listed and decided.

use chrono::DateTime;
use serde_json::Value;
use uuid::Uuid;

use super::show::Wanted;
use super::{lists, run_key};
use crate::api::checks::Checks;
use crate::api::convert::event::number;
use crate::api::convert::{time, value};
use crate::api::status::Result;
use crate::api::{Api, page};
use crate::engine::approval::Answer;
use crate::engine::payloads::INLINE_BYTES;
use crate::flow::validate;
use crate::ids::{FlowId, Namespace, RunId, StepPath};
use crate::proto::{
    self, ApprovalDecision, ListApprovalsRequest, ListApprovalsResponse, ResolveApprovalRequest,
    ResolveApprovalResponse,
};
use crate::run::state::Decision;
use crate::store::approvals::{self, Approval, Filter};
use crate::store::flows;
use crate::value::normalise;

impl Api {
    pub(super) async fn list_approvals_page(
        &self,
        namespace: Namespace,
        mut request: ListApprovalsRequest,
    ) -> Result<ListApprovalsResponse> {
        let mut checks = Checks::default();
        let size = checks.take(page::size(request.page_size, "page_size"));
        let token = std::mem::take(&mut request.page_token);
        request.page_size = 0;
        let cursor = checks.take(page::cursor("ListApprovals", &request, &token));
        let after = checks.take(cursor.map(|cursor| place(&cursor)).transpose());
        if !request.flow_id.is_empty() && !validate::is_flow_id(&request.flow_id) {
            let description = "is not 1 to 200 characters of A-Z a-z 0-9 _ . -";
            checks.add("flow_id", "INVALID_ID", description);
        }
        let run_id = (!request.run_id.is_empty()).then(|| checks.run_id(&request.run_id));
        checks.finish()?;
        let mut filter = Filter {
            flow_key: None,
            run_id: run_id.map(RunId::new),
            after,
        };
        let mut conn = self.engine.store().conn().await?;
        if !request.flow_id.is_empty() {
            let flow_id = FlowId::from(request.flow_id.as_str());
            let Some((flow_key, _)) = flows::find_latest(&mut conn, &namespace, &flow_id).await?
            else {
                return Ok(ListApprovalsResponse::default());
            };
            filter.flow_key = Some(flow_key);
        }
        let wanted = lists::rows_wanted(size);
        let found = approvals::list(&mut conn, &namespace, &filter, wanted).await?;
        drop(conn);
        let (approvals, more) = lists::cut(found.iter().map(approval), size);
        let last = approvals.len().checked_sub(1).filter(|_| more);
        let next_page_token = last
            .map(|last| page::token("ListApprovals", &request, &cursor_at(&found[last])))
            .unwrap_or_default();
        Ok(ListApprovalsResponse {
            approvals,
            next_page_token,
        })
    }

    pub(super) async fn decide(
        &self,
        namespace: Namespace,
        request: ResolveApprovalRequest,
    ) -> Result<ResolveApprovalResponse> {
        let mut checks = Checks::default();
        let run_id = checks.run_id(&request.run_id);
        let path = checks.step_path(&request.step_path);
        if request.etag.is_empty() {
            let description = "is empty; ListApprovals names what is asked";
            checks.add("etag", "REQUIRED", description);
        }
        let decision = decision(request.decision, &mut checks);
        let values = request.values.unwrap_or_default();
        let values = checks.take(value::struct_from_proto(values, "values"));
        let mut values = checks.part_of_payload("values", values.into(), INLINE_BYTES as u64);
        normalise(&mut values);
        checks.note("comment", &request.comment);
        checks.name("decided_by", &request.decided_by);
        checks.finish()?;
        let key = run_key(namespace, run_id);
        let answer = Answer {
            path,
            etag: request.etag,
            decision,
            values,
            comment: request.comment,
            decided_by: request.decided_by,
        };
        self.engine.decide(&key, answer).await?;
        let run = Some(self.show(&key, Wanted::Basic).await?);
        Ok(ResolveApprovalResponse { run })
    }
}

fn decision(given: i32, checks: &mut Checks) -> Decision {
    match ApprovalDecision::try_from(given) {
        Ok(ApprovalDecision::Approved) => return Decision::Approved,
        Ok(ApprovalDecision::Rejected) => return Decision::Rejected,
        Ok(ApprovalDecision::Unspecified) => checks.add("decision", "REQUIRED", "is not given"),
        Err(_) => {
            let description = format!("{given} is no ApprovalDecision");
            checks.add("decision", "UNKNOWN_VALUE", description);
        }
    }
    // Refused.
    Decision::Rejected
}

fn approval(asked: &Approval) -> proto::Approval {
    let node = asked.path.as_str().rsplit('/').next().unwrap_or_default();
    let form = asked.form_schema.as_ref().and_then(Value::as_object);
    let default = match asked.default_decision {
        None => ApprovalDecision::Unspecified,
        Some(Decision::Approved) => ApprovalDecision::Approved,
        Some(Decision::Rejected) => ApprovalDecision::Rejected,
    };
    proto::Approval {
        run_id: asked.run_id.to_string(),
        flow_id: asked
            .flow_id
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        step_path: asked.path.to_string(),
        node_id: node.to_owned(),
        attempt: number(asked.attempt),
        title: asked.title.clone(),
        description: asked.description.clone(),
        form_schema: form.map(value::struct_to_proto),
        request_time: Some(time::timestamp(asked.requested_at)),
        expire_time: asked.expires_at.map(time::timestamp),
        default_decision: default.into(),
        etag: asked.asked_at.to_string(),
    }
}

/// Where a page has ended, to the microsecond, which is what the database keeps.
fn cursor_at(last: &Approval) -> String {
    let micros = last.requested_at.timestamp_micros();
    format!("{micros} {} {}", last.run_id, last.path)
}

fn place(cursor: &str) -> Result<(DateTime<chrono::Utc>, RunId, StepPath), crate::flow::Violation> {
    let mut parts = cursor.splitn(3, ' ');
    let mut part = || parts.next().ok_or_else(page::malformed);
    let at = DateTime::from_timestamp_micros(page::parse(part()?)?).ok_or_else(page::malformed)?;
    let run_id: Uuid = page::parse(part()?)?;
    Ok((at, RunId::new(run_id), StepPath::new(part()?)))
}
