//! Places of the pool that a run has asked for: one of each kind at a time, so that no run hoards them.

use super::{Driver, at_hand};
use crate::applet::BoxFuture;
use crate::engine::pool::{Place, Pool, Probe, Slot};

/// What a run has asked the pool for.
#[derive(Default)]
pub(super) struct Places {
    slot: Asked,
    probe: Asked,
}

/// A place of one kind: on its way, or here and not yet taken up.
#[derive(Default)]
struct Asked {
    request: Option<BoxFuture<'static, Slot>>,
    spare: Option<Slot>,
}

impl Places {
    /// A place, if one is free; else it is asked for, and [`Places::come`] says when it is here.
    pub(super) fn take(&mut self, pool: &Pool, place: Place) -> Option<Slot> {
        let asked = match place {
            Place::Slot => &mut self.slot,
            Place::Probe => &mut self.probe,
        };
        let taken = asked.spare.take().or_else(|| pool.try_take(place));
        if taken.is_none() {
            asked
                .request
                .get_or_insert_with(|| Box::pin(pool.clone().take(place)));
        }
        taken
    }

    /// Whether a place of this kind is waited for.
    pub(super) fn awaits(&self, place: Place) -> bool {
        match place {
            Place::Slot => self.slot.request.is_some(),
            Place::Probe => self.probe.request.is_some(),
        }
    }

    /// Gives back what nobody took up: it belongs to the other runs.
    pub(super) fn give_back(&mut self) {
        self.slot.spare = None;
        self.probe.spare = None;
    }

    /// Waits until a place is here that was asked for; for ever if none was.
    pub(super) async fn come(&mut self) {
        tokio::select! {
            slot = at_hand(&mut self.slot.request) => {
                self.slot = Asked { request: None, spare: Some(slot) };
            }
            slot = at_hand(&mut self.probe.request) => {
                self.probe = Asked { request: None, spare: Some(slot) };
            }
        }
    }
}

/// The place of suspects, which an attempt has until what came of it is durable: an attempt that has ended in memory only
/// dies all the same, with whichever suspect comes next.
pub(super) struct Probing {
    #[expect(dead_code, reason = "held for its drop")]
    probe: Probe,
    /// The last event when the attempt was found to have ended.
    ended_at: Option<i64>,
}

impl Probing {
    pub(super) fn new(probe: Probe) -> Self {
        let ended_at = None;
        Self { probe, ended_at }
    }
}

impl Driver {
    /// Gives the places of suspects back whose attempts have ended for good.
    pub(super) fn end_probes(&mut self) {
        let (committed, last) = (self.committed, self.run.last_sequence());
        let flying = &self.flying;
        self.probes.retain(|key, probing| {
            flying.contains_key(key) || *probing.ended_at.get_or_insert(last) > committed
        });
    }
}
