//! What a fork takes from the run that it was forked from, in place of running its steps.
//!
//! All of it follows from the fork's first event and the original's journal: an owner that takes the fork over decides
//! the same. The original is read when the first step is due that may take something from it.

use std::collections::HashSet;
use std::sync::Arc;

use super::Driver;
use crate::applet::BoxFuture;
use crate::engine::attempt::{Taken, Task};
use crate::engine::fork;
use crate::flow::graph::NodeIndex;
use crate::ids::RunKey;
use crate::run::event::Reused;
use crate::run::reuse::Past;
use crate::run::scope::{ScopeId, StepKey};

/// What a driver knows of the run that its run was forked from.
#[derive(Default)]
pub(super) struct Ancestry {
    /// Reads it.
    reading: Option<BoxFuture<'static, Read>>,
    /// What came of that; `None` before.
    read: Option<Read>,
    /// Nodes whose recorded output is gone.
    gone: HashSet<NodeIndex>,
}

/// The original; `None` if it is not there any more.
pub(super) type Read = Option<Arc<Past>>;

impl Ancestry {
    /// What reads the original, while it is read.
    pub(super) fn reading(&mut self) -> &mut Option<BoxFuture<'static, Read>> {
        &mut self.reading
    }
}

/// What becomes of a step that is due.
enum Due {
    /// It runs.
    Runs,
    /// It does not run: this is its output.
    Takes(Taken),
    /// It has to wait until the original is read.
    Later,
}

impl Driver {
    /// Has a step take its output from the original, or from the fork's author, if it is to. Says whether the run has
    /// changed; `None` if the step is to run.
    pub(super) fn take_recorded(
        &mut self,
        key: StepKey,
        number: u32,
        waited: bool,
    ) -> Option<bool> {
        if key.scope != ScopeId::TOP || waited {
            return None;
        }
        // Also where the step was tried before: it was cut off while it took its output, or runs for the same reason again.
        match self.due(key.node) {
            Due::Runs => None,
            Due::Later => Some(false),
            Due::Takes(taken) => {
                let assignment = self.assign(key, number, Task::Take(Box::new(taken)), None);
                self.launch(assignment);
                Some(true)
            }
        }
    }

    fn due(&mut self, node: NodeIndex) -> Due {
        let Some(origin) = self.run.origin() else {
            return Due::Runs;
        };
        let id = &self.run.graph().node(node).id;
        if let Some(given) = origin.find_given(id) {
            return Due::Takes(Taken::Given {
                value: Arc::new(given.value.clone()),
                port: given.port.to_owned(),
            });
        }
        if origin.from_nodes.contains(id) || self.ancestry.gone.contains(&node) {
            return Due::Runs;
        }
        let original = RunKey {
            namespace: self.key.namespace.clone(),
            run_id: origin.run_id,
        };
        let Some(read) = &self.ancestry.read else {
            if self.ancestry.reading.is_none() {
                let (parts, plan) = (Arc::clone(&self.parts), Arc::clone(&self.plan));
                let sequence = origin.sequence;
                self.ancestry.reading = Some(Box::pin(async move {
                    fork::read_past(&parts, &original, sequence, &plan).await
                }));
            }
            return Due::Later;
        };
        let Some(past) = read else {
            return Due::Runs;
        };
        let Ok(step) = past.get_recorded(&self.run, node) else {
            return Due::Runs;
        };
        match (&step.output, past.computed(step)) {
            (Some(output), Some(reused)) => Due::Takes(Taken::Recorded {
                from: original,
                output: output.clone(),
                details: step.details.clone(),
                reused,
            }),
            _ => Due::Runs,
        }
    }

    /// The original was read.
    pub(super) fn past_read(&mut self, read: Read) {
        self.ancestry.reading = None;
        self.ancestry.read = Some(read);
    }

    /// The output that a step was to take is not there any more: the step runs.
    pub(super) fn recorded_is_gone(&mut self, node: NodeIndex) {
        self.ancestry.gone.insert(node);
    }

    /// What the journal says of an output that the fork's author gave.
    pub(super) fn given_here(&self) -> Reused {
        Reused {
            run_id: self.key.run_id,
            sequence: 0,
        }
    }
}
