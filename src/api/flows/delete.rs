//! Deleting flows, and with force what is still running of them.

use std::time::Duration;

use futures_util::stream::{self, TryStreamExt};

use super::{Api, Error, Result, expected, flow_id_violation, refuse};
use crate::engine;
use crate::ids::{FlowId, FlowKey, Namespace, RunId, RunKey};
use crate::proto::DeleteFlowRequest;
use crate::run::state::RunState;
use crate::store::{flows, runs};

/// How long attempts in flight may go on: the default of `CancelRun`.
const GRACE: Duration = Duration::from_secs(10);
/// What the runs are told.
const REASON: &str = "the flow was deleted";
/// How many runs are looked at at once.
const PAGE: i64 = 100;
/// How many are cancelled at once: each waits for its run's word, and has a connection now and then.
const AT_ONCE: usize = 8;

/// Hides a flow. Runs that are open keep it from that, unless the request says to cancel them.
pub(super) async fn delete(
    api: &Api,
    namespace: &Namespace,
    request: &DeleteFlowRequest,
) -> Result<()> {
    refuse(flow_id_violation(&request.flow_id).into_iter().collect())?;
    let flow_id = FlowId::from(request.flow_id.as_str());
    let expected = expected(&request.etag);
    let mut conn = api.engine.store().conn().await?;
    let head = flows::get_head(&mut conn, namespace, &flow_id).await?;
    flows::check_etag(&head, expected)?;
    let mut newest = None;
    if request.force {
        drop(conn);
        newest = cancel_all(api, namespace, head.flow_key, None).await?;
        conn = api.engine.store().conn().await?;
    } else {
        let open = runs::open_of_flow(&mut conn, namespace, head.flow_key, PAGE).await?;
        if !open.is_empty() {
            let open = open.len();
            return Err(Error::FlowHasOpenRuns { flow_id, open });
        }
    }
    let flow_key = flows::delete(&mut conn, namespace, &flow_id, expected).await?;
    drop(conn);
    if request.force {
        // Those that were started while the others were being cancelled.
        cancel_all(api, namespace, flow_key, newest).await?;
    }
    Ok(())
}

/// Cancels a flow's open runs, from the newest on down to those that `after` is newer than, and gives the newest.
///
/// Does not wait for their end.
async fn cancel_all(
    api: &Api,
    namespace: &Namespace,
    flow_key: FlowKey,
    after: Option<RunId>,
) -> Result<Option<RunId>> {
    let open = RunState::ALL.iter().filter(|state| !state.is_final());
    let mut filter = runs::Filter {
        flow_key: Some(flow_key),
        states: open.copied().collect(),
        ..runs::Filter::default()
    };
    let mut newest = after;
    loop {
        let mut conn = api.engine.store().conn().await?;
        let found = runs::list(&mut conn, namespace, &filter, PAGE).await?;
        drop(conn);
        let all: Vec<RunId> = found.iter().map(|row| row.run_id).collect();
        let wanted = all
            .iter()
            .copied()
            .filter(|run| after.is_none_or(|after| *run > after));
        let wanted: Vec<RunId> = wanted.collect();
        newest = newest.max(wanted.first().copied());
        let is_last = wanted.len() < all.len() || i64::try_from(all.len()) != Ok(PAGE);
        filter.older_than = wanted.last().copied();
        stream::iter(wanted.into_iter().map(Ok))
            .try_for_each_concurrent(AT_ONCE, |run_id| cancel(api, namespace, run_id))
            .await?;
        if is_last {
            return Ok(newest);
        }
    }
}

async fn cancel(api: &Api, namespace: &Namespace, run_id: RunId) -> Result<()> {
    let key = RunKey {
        namespace: namespace.clone(),
        run_id,
    };
    match api.engine.cancel(&key, REASON.to_owned(), GRACE).await {
        // Ended or was deleted meanwhile: that is as good.
        Ok(_) | Err(engine::Error::RunDone { .. } | engine::Error::RunNotFound(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
