//! What a watch of many runs has sent of each, and so what is to be sent next.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use crate::ids::RunId;
use crate::run::state::{RunState, WaitReason};
use crate::store::changes::Wanted;
use crate::store::runs::RunRow;

/// The open runs that were sent and that the client believes to satisfy its filter.
#[derive(Debug)]
pub(super) struct Tracked {
    wanted: Wanted,
    limit: usize,
    sent: HashMap<RunId, (RunState, Option<WaitReason>)>,
    /// Those that were not there any more when somebody looked.
    missing: HashSet<RunId>,
}

/// What is to be sent of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing: the client does not want it, or knows.
    Nothing,
    /// It is wanted as it is now.
    Current,
    /// It was wanted and is not any more.
    Left,
    /// It is wanted, but there are too many already.
    TooMany,
}

impl Tracked {
    /// Nothing was sent yet; at most `limit` runs are to be open at once.
    pub(super) fn new(wanted: Wanted, limit: usize) -> Self {
        Self {
            wanted,
            limit,
            sent: HashMap::new(),
            missing: HashSet::new(),
        }
    }

    /// What the client wants.
    pub(super) fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// Takes in that the state of a run has changed to this.
    pub(super) fn changed(&mut self, row: &RunRow) -> Verdict {
        if !self.is_wanted(row) {
            return match self.sent.remove(&row.run_id) {
                Some(_) => Verdict::Left,
                None => Verdict::Nothing,
            };
        }
        if row.state.is_final() {
            self.sent.remove(&row.run_id);
            return Verdict::Current;
        }
        self.sent.insert(row.run_id, (row.state, row.wait_reason));
        if self.sent.len() > self.limit {
            return Verdict::TooMany;
        }
        Verdict::Current
    }

    /// Takes in that this is the state of a run, whether or not it has changed.
    pub(super) fn found(&mut self, row: &RunRow) -> Verdict {
        if self.sent.get(&row.run_id) == Some(&(row.state, row.wait_reason)) {
            return Verdict::Nothing;
        }
        self.changed(row)
    }

    /// All but these.
    pub(super) fn all_but(&self, known: &[RunId]) -> Vec<RunId> {
        let known: HashSet<&RunId> = known.iter().collect();
        let sent = self.sent.keys().filter(|run| !known.contains(run));
        sent.copied().collect()
    }

    /// Takes in that these are not there any more, and gives those that were not there the last time either: what was
    /// told of their end has been taken in by then.
    pub(super) fn missing(&mut self, missing: Vec<RunId>) -> Vec<RunId> {
        let before = std::mem::take(&mut self.missing);
        let (gone, fresh): (Vec<_>, Vec<_>) =
            missing.into_iter().partition(|run| before.contains(run));
        self.missing = fresh.into_iter().collect();
        gone.into_iter()
            .filter(|run| self.sent.remove(run).is_some())
            .collect()
    }

    fn is_wanted(&self, row: &RunRow) -> bool {
        let Wanted {
            flow_key,
            states,
            labels,
        } = &self.wanted;
        flow_key.is_none_or(|key| key == row.flow_key)
            && (states.is_empty() || states.contains(&row.state))
            && labels
                .as_ref()
                .is_none_or(|labels| has_all(&row.labels, labels))
    }
}

fn has_all(labels: &Value, wanted: &Value) -> bool {
    let mut wanted = wanted.as_object().into_iter().flatten();
    wanted.all(|(key, value)| labels.get(key) == Some(value))
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::ids::FlowKey;
    use crate::usage::Usage;

    fn run(state: RunState) -> RunRow {
        RunRow {
            run_id: RunId::new(Uuid::now_v7()),
            flow_id: None,
            flow_key: FlowKey(1),
            revision: 1,
            state,
            wait_reason: None,
            priority: 0,
            labels: json!({"team": "a", "env": "prod"}),
            request_id: None,
            owner: None,
            epoch: 1,
            last_sequence: 1,
            wake_at: None,
            total_steps: 1,
            progress: 0,
            usage: Usage::default(),
            error: None,
            created_at: Utc::now(),
            started_at: None,
            ended_at: None,
            parent: None,
            forked_from: None,
            concurrency_key: None,
            admitted: true,
        }
    }

    fn at(row: &RunRow, state: RunState) -> RunRow {
        RunRow {
            state,
            ..row.clone()
        }
    }

    fn all() -> Tracked {
        Tracked::new(Wanted::default(), 2)
    }

    #[test]
    fn a_run_is_followed_to_its_end() {
        let mut tracked = all();
        let row = run(RunState::Queued);

        assert_eq!(tracked.found(&row), Verdict::Current);
        assert_eq!(tracked.found(&row), Verdict::Nothing);
        assert_eq!(
            tracked.changed(&at(&row, RunState::Running)),
            Verdict::Current
        );
        assert_eq!(
            tracked.changed(&at(&row, RunState::Running)),
            Verdict::Current
        );
        assert_eq!(
            tracked.changed(&at(&row, RunState::Failed)),
            Verdict::Current
        );
        assert!(tracked.all_but(&[]).is_empty());
        assert_eq!(
            tracked.changed(&at(&row, RunState::Running)),
            Verdict::Current,
            "tried again"
        );
    }

    #[test]
    fn a_run_that_leaves_the_filter_is_told_of_once() {
        let wanted = Wanted {
            states: vec![RunState::Queued],
            ..Wanted::default()
        };
        let mut tracked = Tracked::new(wanted, 2);
        let (row, other) = (run(RunState::Queued), run(RunState::Running));

        assert_eq!(tracked.found(&row), Verdict::Current);
        assert_eq!(tracked.changed(&other), Verdict::Nothing);
        assert_eq!(
            tracked.changed(&at(&other, RunState::Succeeded)),
            Verdict::Nothing
        );
        assert_eq!(
            tracked.changed(&at(&row, RunState::Succeeded)),
            Verdict::Left
        );
        assert_eq!(
            tracked.changed(&at(&row, RunState::Succeeded)),
            Verdict::Nothing
        );
    }

    #[test]
    fn flow_and_all_labels_have_to_fit() {
        let verdict = |flow: i64, labels: Value| {
            let wanted = Wanted {
                flow_key: Some(FlowKey(flow)),
                labels: Some(labels),
                ..Wanted::default()
            };
            Tracked::new(wanted, 2).changed(&run(RunState::Running))
        };

        assert_eq!(verdict(1, json!({"team": "a"})), Verdict::Current);
        assert_eq!(
            verdict(1, json!({"team": "a", "env": "prod"})),
            Verdict::Current
        );
        assert_eq!(verdict(2, json!({"team": "a"})), Verdict::Nothing);
        assert_eq!(verdict(1, json!({"team": "b"})), Verdict::Nothing);
        assert_eq!(verdict(1, json!({"team": "a", "x": "y"})), Verdict::Nothing);
    }

    #[test]
    fn no_more_than_the_limit_are_followed() {
        let mut tracked = all();
        let row = run(RunState::Running);

        assert_eq!(tracked.changed(&run(RunState::Running)), Verdict::Current);
        assert_eq!(tracked.changed(&row), Verdict::Current);
        assert_eq!(tracked.changed(&run(RunState::Cancelled)), Verdict::Current);
        assert_eq!(
            tracked.changed(&at(&row, RunState::Waiting)),
            Verdict::Current
        );
        assert_eq!(tracked.changed(&run(RunState::Running)), Verdict::TooMany);
    }

    #[test]
    fn a_run_is_gone_when_it_is_missing_twice() {
        let mut tracked = all();
        let row = run(RunState::Running);
        tracked.changed(&row);

        assert!(tracked.missing(vec![row.run_id]).is_empty());
        assert_eq!(tracked.missing(vec![row.run_id]), [row.run_id]);
        assert!(tracked.missing(vec![row.run_id]).is_empty());
        assert!(tracked.all_but(&[]).is_empty());
    }
}
