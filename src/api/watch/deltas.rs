//! What steps show while they work, as a watch sends it: first to be left out where the client is slow, and always
//! before the event that ends its attempt.

use super::outlet::{Outlet, Unsent};
use crate::hub::drafts::{Kind, Piece, Reader};
use crate::ids::StepPath;
use crate::proto::watch_run_response::Message;
use crate::proto::{DeltaKind, StepDelta, WatchRunResponse};
use crate::run::event::Event;

/// The drafts of the watched run, if the client wants to see them.
pub(super) struct Deltas(Option<Reader>);

impl Deltas {
    pub(super) fn of(reader: Option<Reader>) -> Self {
        Self(reader)
    }

    /// Resolves when there may be something to send.
    pub(super) async fn changed(&mut self) {
        match &mut self.0 {
            Some(reader) => reader.changed().await,
            None => std::future::pending().await,
        }
    }

    /// Sends what there is room for. What there is none for is sent later, as one piece with what follows it.
    pub(super) fn send(
        &mut self,
        outlet: &Outlet<WatchRunResponse>,
        sequence: i64,
    ) -> Result<(), Unsent> {
        self.send_of(None, outlet, sequence)
    }

    /// Sends what is left of the texts of an attempt before the event that ends it.
    pub(super) fn send_before(
        &mut self,
        event: &Event,
        outlet: &Outlet<WatchRunResponse>,
        sequence: i64,
    ) -> Result<(), Unsent> {
        let ends = !matches!(event, Event::StepStarted(_) | Event::SignalReceived(_));
        match event.step() {
            Some((path, _)) if ends => self.send_of(Some(path), outlet, sequence),
            _ => Ok(()),
        }
    }

    fn send_of(
        &mut self,
        path: Option<&StepPath>,
        outlet: &Outlet<WatchRunResponse>,
        sequence: i64,
    ) -> Result<(), Unsent> {
        let Some(reader) = &mut self.0 else {
            return Ok(());
        };
        while let Some(piece) = reader.find_next(path) {
            let message = WatchRunResponse {
                sequence,
                message: Some(Message::Delta(delta(&piece))),
            };
            match outlet.try_send(message) {
                Ok(()) => reader.shown(&piece),
                Err(Unsent::TooSlow) => return Ok(()),
                Err(Unsent::Gone) => return Err(Unsent::Gone),
            }
        }
        Ok(())
    }
}

fn delta(piece: &Piece) -> StepDelta {
    StepDelta {
        node_id: piece.author.node_id.to_string(),
        step_path: piece.author.path.to_string(),
        attempt: i32::try_from(piece.author.attempt).unwrap_or(i32::MAX),
        epoch: piece.author.epoch,
        kind: match piece.kind {
            Kind::Output => DeltaKind::Output,
            Kind::Log => DeltaKind::Log,
        }
        .into(),
        offset: i64::try_from(piece.offset).unwrap_or(i64::MAX),
        text: piece.text.clone(),
    }
}
