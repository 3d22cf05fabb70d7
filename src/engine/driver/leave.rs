//! Leaving a run in order, and going on with one whose process died.
//!
//! A process that is told to stop gives its runs back: attempts that may be repeated are cut off and recorded as
//! interrupted, those that may not are waited for, and the last entry of each run makes it due at once and nobody's.

use super::{Driver, Places};
use crate::applet::Effect;
use crate::run::event::{RECOVERY_FORMAT, RunRecovered, StepInterrupted};
use crate::run::scope::StepKey;

impl Driver {
    /// Notes that the executor before has died, and with it the attempts that are open.
    pub(super) fn recover(&mut self) {
        let lost: Vec<StepKey> = self.run.lost().collect();
        let lost = lost.into_iter().map(|key| self.run.path(key)).collect();
        self.record(RunRecovered { lost }, None);
    }

    /// Starts nothing more; the run is given back as soon as nothing keeps it here.
    pub fn drain(&mut self) {
        self.draining = true;
        self.places = Places::default();
        self.finish = None;
        // Letters stay in the inbox, for the next owner.
        self.mailbox.close();
        while self.mailbox.try_recv().is_ok() {}
    }

    /// Cuts off what may be repeated. What may not is waited for.
    pub(super) fn leave_off(&mut self) {
        if self.before_end.is_some() {
            // Nothing is recorded behind an event that may be taken back.
            return;
        }
        // What has come to its end is known, and not repeated.
        while let Some(landed) = self.attempts.try_join_next() {
            if let Ok(landed) = landed {
                self.landed(landed);
            }
        }
        let known = self.parts.lease.event_format() >= RECOVERY_FORMAT;
        let cut: Vec<StepKey> = self.flying.keys().copied().collect();
        for key in cut {
            if self.may_be_cut(key, known) {
                self.cut_off(key, known);
            }
        }
    }

    /// Whether an attempt may be dropped. One that has not begun may if its history can say so.
    fn may_be_cut(&self, key: StepKey, known: bool) -> bool {
        if self.gated.iter().any(|(_, gated)| gated.step == key) {
            let scope = self.run.find_scope(key.scope);
            let once = |scope: &crate::run::scope::Scope| {
                scope.graph().node(key.node).effect == Effect::AtMostOnce
            };
            return known || !scope.is_some_and(once);
        }
        self.flying.get(&key).is_none_or(|flying| !flying.kept)
    }

    fn cut_off(&mut self, key: StepKey, known: bool) {
        let flying = self.flying.remove(&key);
        self.run.landed(key);
        self.gated.retain(|(_, assignment)| assignment.step != key);
        let number = flying.as_ref().map_or(0, |flying| flying.number);
        if let Some(abort) = flying.and_then(|flying| flying.abort) {
            abort.abort();
        }
        let open = self.run.running().contains(&key)
            && self
                .run
                .find_step(key)
                .is_some_and(|step| step.attempt() == number);
        // What is to be cut off with its item or its run is left to the next owner to cut off.
        if known && open && !self.run.is_stopped(key.scope) {
            let (path, attempt) = (self.run.path(key), number);
            self.record(StepInterrupted { path, attempt }, None);
        }
    }

    /// Whether nothing keeps the run in a process that is about to end.
    pub(super) fn is_free_to_leave(&self) -> bool {
        self.draining && self.birth.is_none() && self.before_end.is_none() && self.flying.is_empty()
    }
}
