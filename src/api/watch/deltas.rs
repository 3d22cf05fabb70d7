//! What steps show while they work, as a watch sends it: first to be left out where the client is slow, and always
//! before the event that ends its attempt.

use std::collections::VecDeque;

use super::outlet::{Outlet, Unsent};
use crate::hub::drafts::{Kind, Piece, Reader};
use crate::ids::StepPath;
use crate::proto::watch_run_response::Message;
use crate::proto::{DeltaKind, StepDelta, WatchRunResponse};
use crate::run::event::Event;

/// How many attempts that have ended are remembered: what their texts were may come late only while it is on its way.
const MOST_OVER: usize = 256;

/// The drafts of the watched run, if the client wants to see them.
pub(super) struct Deltas {
    reader: Option<Reader>,
    /// Attempts whose end was sent, after all that they had shown by then.
    over: VecDeque<(StepPath, u32)>,
}

impl Deltas {
    pub(super) fn of(reader: Option<Reader>) -> Self {
        Self {
            reader,
            over: VecDeque::new(),
        }
    }

    /// Resolves when there may be something to send.
    pub(super) async fn changed(&mut self) {
        match &mut self.reader {
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
        self.send_of(None, outlet, sequence).map(|_| ())
    }

    /// Sends what is left of the texts of an attempt before the event that ends it.
    pub(super) fn send_before(
        &mut self,
        event: &Event,
        outlet: &Outlet<WatchRunResponse>,
        sequence: i64,
    ) -> Result<(), Unsent> {
        let Some((path, attempt)) = event.step().filter(|_| self.reader.is_some()) else {
            return Ok(());
        };
        if event.ends_drafts() {
            if self.send_of(Some(path), outlet, sequence)? == Sent::All {
                // Of a run that is relayed more may still be on its way, where its end was read from the store.
                self.over.truncate(MOST_OVER - 1);
                self.over.push_front((path.clone(), attempt));
            }
        } else {
            // The next attempt, which has the number of the one before if that one does not count.
            self.over.retain(|(over, _)| over != path);
        }
        Ok(())
    }

    fn send_of(
        &mut self,
        path: Option<&StepPath>,
        outlet: &Outlet<WatchRunResponse>,
        sequence: i64,
    ) -> Result<Sent, Unsent> {
        let Some(reader) = &mut self.reader else {
            return Ok(Sent::All);
        };
        while let Some(piece) = reader.find_next(path) {
            if is_over(&self.over, &piece) {
                reader.shown(&piece);
                continue;
            }
            let message = WatchRunResponse {
                sequence,
                message: Some(Message::Delta(delta(&piece))),
            };
            match outlet.try_send(message) {
                Ok(()) => reader.shown(&piece),
                Err(Unsent::TooSlow) => return Ok(Sent::Some),
                Err(Unsent::Gone) => return Err(Unsent::Gone),
            }
        }
        Ok(Sent::All)
    }
}

/// How much there was room for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sent {
    All,
    Some,
}

fn is_over(over: &VecDeque<(StepPath, u32)>, piece: &Piece) -> bool {
    let author = &piece.author;
    over.iter()
        .any(|(path, attempt)| *path == author.path && *attempt == author.attempt)
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
