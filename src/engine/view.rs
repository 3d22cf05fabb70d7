//! A run as it stands, for whoever asks.

use std::sync::Arc;

use super::{Engine, Error, View};
use crate::flow::graph::Graph;
use crate::ids::{FlowKey, Namespace, RunKey};
use crate::run::Run;
use crate::run::event::PayloadInfo;
use crate::store::runs::RunRow;
use crate::store::{self, events, runs};

impl Engine {
    /// The run's row, and the fold of its events up to that row's last sequence.
    ///
    /// # Errors
    ///
    /// [`Error::RunNotFound`], or the store's own.
    pub async fn view(&self, key: &RunKey) -> Result<View, Error> {
        self.folded(key, Run::new).await
    }

    /// The same with the steps of all items of its loops, those that have ended included.
    ///
    /// # Errors
    ///
    /// As [`Engine::view`].
    pub async fn view_with_items(&self, key: &RunKey) -> Result<View, Error> {
        self.folded(key, Run::keeping_all).await
    }

    async fn folded(&self, key: &RunKey, empty: fn(Arc<Graph>) -> Run) -> Result<View, Error> {
        let mut conn = self.store().conn().await?;
        let row = runs::find(&mut conn, key)
            .await?
            .ok_or(Error::RunNotFound(key.run_id))?;
        let history = events::history(&mut conn, key, row.last_sequence).await?;
        drop(conn);
        let plan = self
            .inner
            .parts
            .plans
            .get(&key.namespace, row.flow_key, row.revision)
            .await?;
        let run = empty(Arc::clone(&plan.graph))
            .after(&history)
            .map_err(|mismatch| {
                store::Error::Corrupt(format!("journal of run {key}: {mismatch}"))
            })?;
        Ok(View { row, run })
    }

    /// The graph of a revision that runs refer to.
    ///
    /// # Errors
    ///
    /// As every query; [`store::Error::Corrupt`] if there is no such revision.
    pub async fn graph(
        &self,
        namespace: &Namespace,
        flow_key: FlowKey,
        revision: i32,
    ) -> Result<Arc<Graph>, Error> {
        Ok(Arc::clone(
            &self
                .inner
                .parts
                .plans
                .get(namespace, flow_key, revision)
                .await?
                .graph,
        ))
    }

    /// The run's row.
    ///
    /// # Errors
    ///
    /// [`Error::RunNotFound`], or the store's own.
    pub async fn row(&self, key: &RunKey) -> Result<RunRow, Error> {
        let mut conn = self.store().conn().await?;
        runs::find(&mut conn, key)
            .await?
            .ok_or(Error::RunNotFound(key.run_id))
    }

    /// The JSON text of the payload of the run's event `sequence`, of which the event says `info`.
    ///
    /// # Errors
    ///
    /// As every query; [`store::Error::Corrupt`] if it is not there.
    pub async fn payload(
        &self,
        key: &RunKey,
        sequence: i64,
        info: &PayloadInfo,
    ) -> Result<Arc<str>, Error> {
        Ok(self
            .inner
            .parts
            .payloads
            .text(key, sequence, info)
            .await?
            .into())
    }
}
