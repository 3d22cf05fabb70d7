//! The part of a flush, and of a birth, that keeps the table of approvals: what somebody is asked right now.
//!
//! The rows belong to one run each, and so they may be written by the flush that moves it: what is in the table and what
//! the history says never differ.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::AstPass;
use diesel::sql_types::{Array, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

use crate::ids::RunId;
use crate::run::event::{Asked, Awaited, Event, Recorded, StepWaiting};
use crate::run::state::Decision;

/// What a batch changes, as columns.
#[derive(Default)]
pub(in crate::store) struct Approvals<'a> {
    run_id: Vec<Uuid>,
    step_path: Vec<&'a str>,
    attempt: Vec<i32>,
    title: Vec<&'a str>,
    description: Vec<&'a str>,
    form_schema: Vec<Option<String>>,
    requested_at: Vec<DateTime<Utc>>,
    expires_at: Vec<Option<DateTime<Utc>>>,
    default_decision: Vec<Option<&'static str>>,
    etag: Vec<String>,
    over_run: Vec<Uuid>,
    /// Without a path all of the run's are over.
    over_path: Vec<Option<&'a str>>,
    over_attempt: Vec<Option<i32>>,
}

/// What becomes of one approval in a batch.
enum Change<'a> {
    Asked(&'a Recorded, &'a StepWaiting, &'a Asked),
    Over,
}

impl<'a> Approvals<'a> {
    /// What these events of runs change; `None` if they have nothing to do with approvals.
    pub(in crate::store) fn changed_by(
        runs: impl Iterator<Item = (RunId, &'a [Recorded])>,
    ) -> Option<Self> {
        let mut changes: BTreeMap<(Uuid, &str, u32), Change<'_>> = BTreeMap::new();
        let mut ended: BTreeSet<Uuid> = BTreeSet::new();
        for (run, events) in runs {
            let run = run.uuid();
            for recorded in events {
                match &recorded.event {
                    Event::StepWaiting(event) => {
                        if let Awaited::Approval(asked) = &event.awaited {
                            let change = Change::Asked(recorded, event, asked);
                            changes.insert((run, event.path.as_str(), event.attempt), change);
                        }
                    }
                    Event::ApprovalResolved(event) => {
                        changes.insert((run, event.path.as_str(), event.attempt), Change::Over);
                    }
                    Event::StepExpired(event) => {
                        changes.insert((run, event.path.as_str(), event.attempt), Change::Over);
                    }
                    Event::StepCancelled(event) if event.approval => {
                        changes.insert((run, event.path.as_str(), event.attempt), Change::Over);
                    }
                    // It was ended as a whole. All others are brought to their end step by step.
                    Event::RunFailed(event) if event.error.path.is_none() => {
                        ended.insert(run);
                    }
                    _ => {}
                }
            }
        }
        if changes.is_empty() && ended.is_empty() {
            return None;
        }
        let mut columns = Self::default();
        for ((run, path, attempt), change) in changes {
            let attempt = i32::try_from(attempt).unwrap_or(i32::MAX);
            match change {
                Change::Asked(..) if ended.contains(&run) => {}
                Change::Asked(recorded, event, asked) => {
                    columns.ask(run, (path, attempt), recorded, event, asked);
                }
                Change::Over => columns.end(run, Some((path, attempt))),
            }
        }
        for run in ended {
            columns.end(run, None);
        }
        Some(columns)
    }

    fn ask(
        &mut self,
        run: Uuid,
        (path, attempt): (&'a str, i32),
        recorded: &Recorded,
        event: &StepWaiting,
        asked: &'a Asked,
    ) {
        self.run_id.push(run);
        self.step_path.push(path);
        self.attempt.push(attempt);
        self.title.push(&asked.title);
        self.description.push(&asked.description);
        self.form_schema
            .push(asked.form_schema.as_ref().map(ToString::to_string));
        self.requested_at.push(recorded.at);
        self.expires_at.push(asked.expires.then_some(event.until));
        self.default_decision
            .push(asked.default_decision.map(Decision::as_str));
        self.etag.push(recorded.sequence.to_string());
    }

    fn end(&mut self, run: Uuid, step: Option<(&'a str, i32)>) {
        self.over_run.push(run);
        self.over_path.push(step.map(|(path, _)| path));
        self.over_attempt.push(step.map(|(_, attempt)| attempt));
    }

    /// `INSERT` and `DELETE` of the rows of those runs that `runs` (a name in the statement, with their flows' keys) has
    /// let through.
    ///
    /// A row that is there already is an older question of the same step, which nobody asks any more.
    pub(in crate::store) fn change<'b>(
        &'b self,
        runs: &str,
        out: &mut AstPass<'_, 'b, Pg>,
    ) -> QueryResult<()> {
        out.push_sql(
            ", asked AS (INSERT INTO approvals (namespace, run_id, step_path, attempt, flow_key, title, description, form_schema, \
             requested_at, expires_at, default_decision, etag) \
             SELECT r.namespace, a.run_id, a.step_path, a.attempt, r.flow_key, a.title, a.description, a.form_schema::json, \
             a.requested_at, a.expires_at, a.default_decision, a.etag FROM unnest(",
        );
        out.push_bind_param::<Array<SqlUuid>, _>(&self.run_id)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.step_path)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Integer>, _>(&self.attempt)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.title)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.description)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.form_schema)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Timestamptz>, _>(&self.requested_at)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Timestamptz>>, _>(&self.expires_at)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.default_decision)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.etag)?;
        out.push_sql(
            ") AS a(run_id, step_path, attempt, title, description, form_schema, requested_at, expires_at, default_decision, etag) JOIN ",
        );
        out.push_sql(runs);
        out.push_sql(
            " r ON r.run_id = a.run_id ON CONFLICT (namespace, run_id, step_path, attempt) DO UPDATE SET title = excluded.title, \
             description = excluded.description, form_schema = excluded.form_schema, requested_at = excluded.requested_at, \
             expires_at = excluded.expires_at, default_decision = excluded.default_decision, etag = excluded.etag), \
             over AS (DELETE FROM approvals a USING unnest(",
        );
        out.push_bind_param::<Array<SqlUuid>, _>(&self.over_run)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.over_path)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Integer>>, _>(&self.over_attempt)?;
        out.push_sql(") AS o(run_id, step_path, attempt) JOIN ");
        out.push_sql(runs);
        out.push_sql(
            " r ON r.run_id = o.run_id WHERE a.namespace = r.namespace AND a.run_id = o.run_id \
             AND (o.step_path IS NULL OR (a.step_path = o.step_path AND a.attempt = o.attempt)))",
        );
        Ok(())
    }
}
