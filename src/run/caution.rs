//! Caution: finding the step that kills its process, and leaving all others alone.
//!
//! A run that was taken from a dead executor goes cautiously: each attempt is durable before it begins. So whatever was
//! open when the process died is a suspect, and each further death with an open attempt is counted on its step. One that
//! has died twice is tried alone ([`PROBED_AFTER`]), and one that has died thrice is not tried again by itself
//! ([`QUARANTINED_AFTER`]). Since a step that kills dies each time, no other can have died more often than it, and what is
//! tried alone dies by itself or not at all.

use super::Run;
use super::event::RunRecovered;
use super::scope::StepKey;
use super::state::RunState;
use crate::flow::Effect;

/// After so many deaths a step takes its process's one place for suspects.
pub const PROBED_AFTER: u32 = 2;

/// After so many deaths a step is not tried again by itself.
pub const QUARANTINED_AFTER: u32 = 3;

impl Run {
    /// Whether each attempt has to be durable before it begins, whatever its effect.
    #[must_use]
    pub fn is_cautious(&self) -> bool {
        self.history.cautious
    }

    /// How often attempts at a step have died with their process, as far as that can be told.
    ///
    /// Before the run was cautious no attempt at a `PURE` step was durable, so one that runs then may be what killed the
    /// process the first time, without having been seen: that death is counted on each of them.
    #[must_use]
    pub fn deaths(&self, key: StepKey) -> u32 {
        let Some(step) = self.find_step(key) else {
            return 0;
        };
        let pure = self.graph_of(key.scope).node(key.node).effect == Effect::Pure;
        step.deaths + u32::from(pure && self.history.cautious)
    }

    /// Steps whose attempt is open in the journal and not in this process: lost with the process that made it. Those are
    /// left out that were counted before and have not been tried again since: they wait for their turn.
    pub fn lost(&self) -> impl Iterator<Item = StepKey> {
        let running = self.history.running.iter().copied();
        running.filter(|key| {
            let step = self.step(*key);
            // What was decided by somebody's word waits for nobody's attempt.
            !self.in_flight.contains(key)
                && step.condemned.is_none()
                && step.died_at < step.attempt()
        })
    }

    pub(super) fn recovered(&mut self, event: &RunRecovered) -> Result<(), String> {
        for path in &event.lost {
            let key = self.open_step(path)?;
            let step = self.step_mut(key);
            step.deaths += 1;
            step.died_at = step.attempt();
        }
        self.history.cautious = true;
        // It belongs to somebody now, whatever it waited for.
        if self.history.state == RunState::Waiting {
            self.goes_on();
        } else {
            self.no_longer_waits();
        }
        Ok(())
    }
}
