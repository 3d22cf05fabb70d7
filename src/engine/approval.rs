//! Deciding what a step asks approval for, on whichever replica its run is.

use serde_json::Value;

use super::control::Refused;
use super::{Engine, Error};
use crate::expression::schema::Schema;
use crate::flow::Violation;
use crate::ids::{RunKey, StepPath};
use crate::run::event::Event;
use crate::run::state::Decision;
use crate::store::inbox::{self, Decided, Request};
use crate::store::{approvals, events};

/// What somebody decided.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The step that asks.
    pub path: StepPath,
    /// Which question of it.
    pub etag: String,
    /// Yes or no.
    pub decision: Decision,
    /// What was filled into the form: an object that keeps the rules of payloads and is small enough to lie beside an
    /// event.
    pub values: Value,
    /// May be empty.
    pub comment: String,
    /// Who decided.
    pub decided_by: String,
}

impl Engine {
    /// Decides what a step asks.
    ///
    /// The decision is durable when this returns and wins over a later expiry; of decisions at the same time exactly one
    /// is accepted.
    ///
    /// # Errors
    ///
    /// [`Error::RunNotFound`], [`Refused::ApprovalNotFound`], [`Refused::ApprovalDecided`], [`Refused::ApprovalChanged`],
    /// [`Refused::Unfit`] for values that do not fit the form, or the store's own.
    pub async fn decide(&self, key: &RunKey, answer: Answer) -> Result<(), Error> {
        let asked = {
            let mut conn = self.store().conn().await?;
            approvals::find(&mut conn, key, &answer.path).await?
        };
        let Some(asked) = asked else {
            return Err(self.why_undecidable(key, &answer.path).await?);
        };
        if asked.asked_at.to_string() != answer.etag {
            return Err(Refused::ApprovalChanged {
                id: key.run_id,
                path: answer.path,
                given: answer.etag,
                current: asked.asked_at.to_string(),
            }
            .into());
        }
        let answer = self.checked_values(answer, asked.form_schema).await?;
        let decided = Decided {
            path: answer.path,
            attempt: asked.attempt,
            asked_at: asked.asked_at,
            decision: answer.decision,
            values: answer.values,
            comment: answer.comment,
            decided_by: answer.decided_by,
        };
        let posted = {
            let mut conn = self.store().conn().await?;
            approvals::decide(&mut conn, key, &decided).await?
        };
        match posted {
            Some(id) => {
                self.bring(key, id, Request::Approval(decided)).await?;
                Ok(())
            }
            None => Err(self.why_undecidable(key, &decided.path).await?),
        }
    }

    async fn checked_values(
        &self,
        answer: Answer,
        form_schema: Option<Value>,
    ) -> Result<Answer, Error> {
        let Some(schema) = form_schema else {
            return Ok(answer);
        };
        let check = move || {
            let violations = misfits(&schema, &answer.values);
            (answer, violations)
        };
        let checked = self.inner.parts.cpu.run(check).await;
        let (answer, violations) = checked.map_err(|panic| Error::Rejected(panic.to_string()))?;
        if violations.is_empty() {
            Ok(answer)
        } else {
            Err(Refused::Unfit(violations).into())
        }
    }

    /// Why a step that is on no list cannot be decided about.
    async fn why_undecidable(&self, key: &RunKey, path: &StepPath) -> Result<Error, Error> {
        let (id, path) = (key.run_id, path.clone());
        let mut conn = self.store().conn().await?;
        // Letters first: one that is taken in meanwhile is in the history.
        let (_, letters) = inbox::read(&mut conn, key).await?;
        drop(conn);
        for letter in letters {
            if let Request::Approval(decided) = letter.request
                && decided.path == path
            {
                return Ok(Refused::ApprovalDecided {
                    id,
                    path,
                    decision: decided.decision.as_str(),
                    decided_by: decided.decided_by,
                }
                .into());
            }
        }
        let row = self.row(key).await?;
        let mut conn = self.store().conn().await?;
        let history = events::history(&mut conn, key, row.last_sequence).await?;
        let last = history.into_iter().rev().find_map(|recorded| {
            let about = recorded.event.step().is_some_and(|(of, _)| *of == path);
            match recorded.event {
                Event::ApprovalResolved(event) if about => {
                    Some(Some((event.decision.as_str(), event.decided_by)))
                }
                Event::StepExpired(_) if about => Some(Some(("EXPIRED", String::new()))),
                Event::StepWaiting(_) | Event::StepCancelled(_) if about => Some(None),
                _ => None,
            }
        });
        Ok(match last.flatten() {
            Some((decision, decided_by)) => Refused::ApprovalDecided {
                id,
                path,
                decision,
                decided_by,
            },
            None => Refused::ApprovalNotFound { id, path },
        }
        .into())
    }
}

/// What of the values does not fit the form.
fn misfits(schema: &Value, values: &Value) -> Vec<Violation> {
    let misfit = |field: String, description: String| Violation {
        field,
        reason: "INVALID_VALUES",
        description,
    };
    // The schema compiled when the flow was saved, perhaps in another version.
    let checked = Schema::compile(schema).and_then(|form| {
        form.check_cost(values)?;
        Ok(form)
    });
    let form = match checked {
        Ok(form) => form,
        Err(error) => return vec![misfit("values".to_owned(), error.to_string())],
    };
    let misfits = form.validate(values).err().unwrap_or_default();
    misfits
        .into_iter()
        .map(|mismatch| {
            let field = format!("values{}", mismatch.path.replace('/', "."));
            misfit(field, mismatch.message)
        })
        .collect()
}
