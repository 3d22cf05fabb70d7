//! Deciding about a step that cannot go on by itself.

use super::control::{Refused, Taken, check_open};
use super::{Engine, Error, View};
use crate::flow::Violation;
use crate::ids::{RunKey, StepPath};
use crate::run::Run;
use crate::run::event::{Event, Recorded};
use crate::run::state::{Resolution, StepState};
use crate::store::events::{self, Payloads};
use crate::store::inbox::{self, Letter, Request, Verdict};

impl Engine {
    /// Decides about a step whose outcome is unknown, or that is quarantined.
    ///
    /// The decision is durable when this returns; of decisions at the same time the first one holds. The output must keep
    /// the rules of payloads and be small enough to lie beside an event.
    ///
    /// # Errors
    ///
    /// [`Error::RunNotFound`], [`Error::RunDone`], [`Refused::Cancelling`], [`Refused::StepNotFound`],
    /// [`Refused::NotResolvable`], [`Refused::Unfit`] for a port that the node does not have, or the store's own.
    pub async fn resolve_step(&self, key: &RunKey, verdict: Verdict) -> Result<(), Error> {
        let view = self.view_with_items(key).await?;
        check_open(key, view.row.state)?;
        self.check_port(key, &view, &verdict).await?;
        if !can_be_resolved(&view.run, &verdict) {
            return Err(not_resolvable(key, &view.run, &verdict.path));
        }
        let since = view.run.last_sequence();
        let request = Request::Resolve(verdict.clone());
        let mut conn = self.store().conn().await?;
        let fits = |news: &[Recorded], letters: &[Letter]| {
            let now = view.run.clone().after(news);
            let open = now.is_ok_and(|run| {
                check_open(key, run.state()).is_ok() && can_be_resolved(&run, &verdict)
            });
            open && !letters
                .iter()
                .any(|letter| is_about(&letter.request, &verdict))
        };
        let posted = inbox::post_if(&mut conn, key, &request, since, fits).await?;
        drop(conn);
        let Some(id) = posted else {
            return Err(self.why_unresolved(key, &verdict.path).await?);
        };
        let taken = self.bring(key, id, request).await?;
        if taken == Taken::Yes && !self.was_resolved(key, since, &verdict).await? {
            // It was cut off by what the run had taken in before.
            return Err(self.why_unresolved(key, &verdict.path).await?);
        }
        Ok(())
    }

    async fn why_unresolved(&self, key: &RunKey, path: &StepPath) -> Result<Error, Error> {
        let view = self.view_with_items(key).await?;
        Ok(match check_open(key, view.row.state) {
            Err(error) => error,
            Ok(()) => not_resolvable(key, &view.run, path),
        })
    }

    /// Whether the history says so since this event.
    async fn was_resolved(
        &self,
        key: &RunKey,
        mut since: i64,
        verdict: &Verdict,
    ) -> Result<bool, Error> {
        const PAGE: i64 = 1_000;
        loop {
            let mut conn = self.store().conn().await?;
            let page = events::page(&mut conn, key, since, PAGE, Payloads::Left).await?;
            let Some(last) = page.last() else {
                return Ok(false);
            };
            since = last.sequence;
            let decided = page.iter().any(|recorded| {
                matches!(&recorded.event, Event::StepResolved(event)
                    if event.path == verdict.path && event.attempt == verdict.attempt)
            });
            if decided {
                return Ok(true);
            }
        }
    }

    /// A success leaves by a port of the node.
    async fn check_port(&self, key: &RunKey, view: &View, verdict: &Verdict) -> Result<(), Error> {
        let Some(step) = view.run.find(&verdict.path) else {
            let (id, path) = (key.run_id, verdict.path.clone());
            return Err(Refused::StepNotFound { id, path }.into());
        };
        if verdict.resolution != Resolution::Succeeded {
            return Ok(());
        }
        let (flow_key, revision) = (view.row.flow_key, view.row.revision);
        let plans = &self.inner.parts.plans;
        let plan = plans.get(&key.namespace, flow_key, revision).await?;
        let graph = view.run.graph_of(step.scope).number();
        let node = &plan.node(graph, step.node).node;
        let inspection = self.registry().inspect(node).unwrap_or_default();
        let names: Vec<&str> = inspection.ports.iter().map(|port| &**port).collect();
        let problem = match (&*names, verdict.port.as_str()) {
            ([], "") => return Ok(()),
            ([], _) => Violation {
                field: "port".to_owned(),
                reason: "UNKNOWN_HANDLE",
                description: "has to be empty: the node has one way out only".to_owned(),
            },
            (names, port) if names.contains(&port) => return Ok(()),
            (names, port) => Violation {
                field: "port".to_owned(),
                reason: if port.is_empty() {
                    "REQUIRED"
                } else {
                    "UNKNOWN_HANDLE"
                },
                description: format!("has to be one of {}", names.join(", ")),
            },
        };
        Err(Refused::Unfit(vec![problem]).into())
    }
}

fn can_be_resolved(run: &Run, verdict: &Verdict) -> bool {
    run.find(&verdict.path).is_some_and(|key| {
        let step = run.step(key);
        let waits = matches!(
            step.state,
            StepState::OutcomeUnknown | StepState::Quarantined
        );
        waits && step.attempt() == verdict.attempt
    })
}

fn is_about(request: &Request, verdict: &Verdict) -> bool {
    matches!(request, Request::Resolve(other) if other.path == verdict.path && other.attempt == verdict.attempt)
}

fn not_resolvable(key: &RunKey, run: &Run, path: &StepPath) -> Error {
    let (id, path) = (key.run_id, path.clone());
    let Some(step) = run.find(&path).and_then(|key| run.find_step(key)) else {
        return Refused::StepNotFound { id, path }.into();
    };
    let (state, attempt) = (step.state, step.attempt());
    Refused::NotResolvable {
        id,
        path,
        state,
        attempt,
    }
    .into()
}
