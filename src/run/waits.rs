//! What ends a step's wait: a signal, a decision, the end of a child.

use super::Run;
use super::event::{ApprovalResolved, Awaited, ChildEnded, PayloadInfo, SignalReceived};
use super::scope::StepKey;
use super::state::StepState;
use super::step::Woken;
use crate::ids::RunId;

impl Run {
    /// The step that a signal of this name goes to: the one that has waited for it longest.
    #[must_use]
    pub fn find_awaiting_signal(&self, name: &str) -> Option<StepKey> {
        let awaits = |what: &Awaited| matches!(what, Awaited::Signal { name: awaited, .. } if awaited == name);
        self.waiting()
            .filter(|(key, wait)| awaits(&wait.what) && !self.is_stopped(key.scope))
            .min_by_key(|(_, wait)| wait.since)
            .map(|(key, _)| key)
    }

    /// The oldest signal of this name that nobody has asked for yet: the event that holds it.
    #[must_use]
    pub fn find_kept_signal(&self, name: &str) -> Option<i64> {
        let kept = self.history.signals.get(name)?;
        kept.front().map(|(sequence, _)| *sequence)
    }

    /// How many signals are kept that nobody has asked for yet.
    #[must_use]
    pub fn kept_signals(&self) -> usize {
        self.history
            .signals
            .values()
            .map(std::collections::VecDeque::len)
            .sum()
    }

    /// The step that waits for this child.
    #[must_use]
    pub fn find_awaiting_child(&self, child: RunId) -> Option<StepKey> {
        let awaits = |what: &Awaited| matches!(what, Awaited::Child { run_id } if *run_id == child);
        let mut waiting = self.waiting();
        waiting
            .find(|(_, wait)| awaits(&wait.what))
            .map(|(key, _)| key)
    }

    pub(super) fn signalled(
        &mut self,
        sequence: i64,
        event: &SignalReceived,
    ) -> Result<(), String> {
        if let Some(path) = &event.path {
            let key = self.open_step(path)?;
            self.wake(key, Woken::Signal(sequence, event.payload.clone()));
        } else {
            let kept = self.history.signals.entry(event.name.clone()).or_default();
            kept.push_back((sequence, event.payload.clone()));
        }
        Ok(())
    }

    /// Hands a step the signal that came before it asked.
    pub(super) fn take_signal(&mut self, key: StepKey, name: &str, taken: i64) {
        let Some(kept) = self.history.signals.get_mut(name) else {
            return;
        };
        let found: Option<(i64, PayloadInfo)> = kept
            .iter()
            .position(|(sequence, _)| *sequence == taken)
            .and_then(|at| kept.remove(at));
        if kept.is_empty() {
            self.history.signals.remove(name);
        }
        if let Some((sequence, payload)) = found {
            self.wake(key, Woken::Signal(sequence, payload));
        }
    }

    pub(super) fn approved(
        &mut self,
        sequence: i64,
        event: &ApprovalResolved,
    ) -> Result<(), String> {
        let key = self.open_step(&event.path)?;
        let woken = Woken::Approval(event.decision, sequence, event.payload.clone());
        self.wake(key, woken);
        Ok(())
    }

    pub(super) fn child_ended(&mut self, event: &ChildEnded) -> Result<(), String> {
        let key = self.open_step(&event.path)?;
        self.wake(
            key,
            Woken::Child {
                run_id: event.run_id,
                state: event.state,
                error: event.error.clone(),
            },
        );
        Ok(())
    }

    /// Ends a step's wait; it goes on when it is dispatched again.
    pub(super) fn wake(&mut self, key: StepKey, woken: Woken) {
        self.history.waiting.remove(&key);
        self.history.woken.insert(key, woken);
        self.step_mut(key).state = StepState::Waiting;
    }
}
