//! `ExplainRun`: each reason why a run is not moving, told where it holds.

mod executors;
mod limits;
mod steps;

use synapps::ids::{Namespace, RunId, RunKey};
use synapps::proto::{
    ExplainRunRequest, ExplainRunResponse, Obstacle, ObstacleKind, obstacle::Detail,
};
use synapps::store::inbox::{self, Request};
use uuid::Uuid;

use crate::support::calls::Calls;
use crate::support::database::Database;
use crate::support::within;

async fn explain(server: &Calls, run_id: &str) -> ExplainRunResponse {
    let request = ExplainRunRequest {
        run_id: run_id.to_owned(),
    };
    let answer = server.runs().explain_run(request).await;
    answer.unwrap().into_inner()
}

fn kinds(answer: &ExplainRunResponse) -> Vec<ObstacleKind> {
    answer.obstacles.iter().map(Obstacle::kind).collect()
}

/// The obstacles once one of them is of this kind.
pub async fn explained(server: &Calls, run_id: &str, kind: ObstacleKind) -> ExplainRunResponse {
    let wait = async {
        loop {
            let answer = explain(server, run_id).await;
            if kinds(&answer).contains(&kind) {
                return answer;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    within(kind.as_str_name(), wait).await
}

/// The one obstacle of this kind, which says what would free the run.
pub fn one(answer: &ExplainRunResponse, kind: ObstacleKind) -> (Obstacle, Detail) {
    let found = answer.obstacles.iter().find(|one| one.kind() == kind);
    let found = found.unwrap_or_else(|| panic!("no {kind:?}: {answer:?}"));
    assert!(!found.message.is_empty());
    assert!(!found.freed_by.is_empty());
    let detail = found.detail.clone();
    (found.clone(), detail.expect("it has its facts"))
}

fn key(run_id: &str) -> RunKey {
    RunKey {
        namespace: Namespace::default_namespace(),
        run_id: RunId::new(Uuid::try_parse(run_id).unwrap()),
    }
}

/// Posts a letter, as any replica may.
async fn post(database: &Database, run_id: &str, request: Request) {
    let store = database.store().await;
    let mut conn = store.conn().await.unwrap();
    let posted = inbox::post(&mut conn, &key(run_id), &request).await;
    posted.unwrap().unwrap();
}
