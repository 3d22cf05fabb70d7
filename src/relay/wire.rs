//! Events and drafts as replicas send them to each other.

use chrono::DateTime;
use prost::Message as _;

use crate::hub::drafts::{Author, Kind, Piece};
use crate::ids::{NodeId, StepPath};
use crate::proto::internal::follow_response::Message;
use crate::proto::internal::{CommittedEvent, CommittedEvents, Draft, DraftKind, Reached};
use crate::run::event::{Event, Recorded};

/// The most bytes of events that are sent at once. What is larger by itself is read from the store.
const MOST_BYTES: usize = 256 * 1024;

/// An event that was sent and means nothing here, as by a newer replica: it is to be read from the store, which says why.
#[derive(Debug, thiserror::Error)]
#[error("event {sequence} cannot be read: {problem}")]
pub(super) struct Unreadable {
    sequence: i64,
    problem: String,
}

/// Events for another replica, in as many messages as it takes.
pub(super) fn sent_events(events: &[Recorded]) -> Vec<Message> {
    let mut messages = Vec::new();
    let mut batch = CommittedEvents::default();
    let mut bytes = 0;
    for recorded in events {
        let event = sent_event(recorded);
        let size = event.encoded_len();
        if bytes + size > MOST_BYTES && !batch.events.is_empty() {
            messages.push(Message::Events(std::mem::take(&mut batch)));
            bytes = 0;
        }
        if size > MOST_BYTES {
            let sequence = recorded.sequence;
            messages.push(Message::Reached(Reached { sequence }));
        } else {
            bytes += size;
            batch.events.push(event);
        }
    }
    if !batch.events.is_empty() {
        messages.push(Message::Events(batch));
    }
    messages
}

fn sent_event(recorded: &Recorded) -> CommittedEvent {
    CommittedEvent {
        sequence: recorded.sequence,
        time_unix_micros: recorded.at.timestamp_micros(),
        kind: recorded.event.kind().to_owned(),
        data: recorded.event.encode(),
        payload: recorded.payload.as_deref().map(str::to_owned),
    }
}

/// An event of another replica.
pub(super) fn received_event(event: CommittedEvent) -> Result<Recorded, Unreadable> {
    let sequence = event.sequence;
    let unreadable = |problem| Unreadable { sequence, problem };
    let at = DateTime::from_timestamp_micros(event.time_unix_micros)
        .ok_or_else(|| unreadable("its time is out of range".to_owned()))?;
    Ok(Recorded {
        sequence,
        at,
        event: Event::decode(&event.kind, &event.data).map_err(unreadable)?,
        payload: event.payload.map(Into::into),
    })
}

/// A piece of a draft for another replica.
pub(super) fn sent_draft(piece: Piece) -> Draft {
    Draft {
        node_id: piece.author.node_id.to_string(),
        step_path: piece.author.path.to_string(),
        attempt: piece.author.attempt,
        epoch: piece.author.epoch,
        kind: match piece.kind {
            Kind::Output => DraftKind::Output,
            Kind::Log => DraftKind::Log,
        }
        .into(),
        edition: piece.edition,
        offset: piece.offset,
        text: piece.text,
    }
}

/// A piece of a draft of another replica; `None` for a kind that is not known here.
pub(super) fn received_draft(draft: Draft) -> Option<Piece> {
    let kind = match draft.kind() {
        DraftKind::Output => Kind::Output,
        DraftKind::Log => Kind::Log,
        DraftKind::Unspecified => return None,
    };
    Some(Piece {
        author: Author {
            node_id: NodeId::from(draft.node_id),
            path: StepPath::from(draft.step_path),
            attempt: draft.attempt,
            epoch: draft.epoch,
        },
        kind,
        edition: draft.edition,
        offset: draft.offset,
        text: draft.text,
    })
}

#[cfg(test)]
mod tests {
    use chrono::{SubsecRound, Utc};

    use super::*;
    use crate::run::event::RunCancelled;

    fn cancelled(sequence: i64, payload: Option<&str>) -> Recorded {
        Recorded {
            sequence,
            at: Utc::now().trunc_subsecs(6),
            event: RunCancelled {
                reason: "done".to_owned(),
            }
            .into(),
            payload: payload.map(Into::into),
        }
    }

    #[test]
    fn events_arrive_as_they_were_sent() {
        let sent = [cancelled(7, Some("{\"a\":1}")), cancelled(8, None)];

        let messages = sent_events(&sent);

        let [Message::Events(batch)] = messages.as_slice() else {
            panic!("one message holds them: {messages:?}");
        };
        let received = batch.events.iter().cloned().map(received_event);
        let received: Vec<Recorded> = received.collect::<Result<_, _>>().expect("they are known");
        assert_eq!(received, sent);
    }

    #[test]
    fn what_one_message_cannot_hold_is_parted_and_what_none_can_is_only_named() {
        let large = "x".repeat(MOST_BYTES / 2);
        let too_large = "x".repeat(MOST_BYTES);
        let sent = [
            cancelled(1, Some(&large)),
            cancelled(2, Some(&large)),
            cancelled(3, Some(&too_large)),
            cancelled(4, None),
        ];

        let messages = sent_events(&sent);

        let places = messages.iter().map(|message| match message {
            Message::Events(batch) => batch.events.iter().map(|one| one.sequence).collect(),
            Message::Reached(reached) => vec![-reached.sequence],
            other => panic!("no event is {other:?}"),
        });
        let places: Vec<Vec<i64>> = places.collect();
        assert_eq!(places, [vec![1], vec![2], vec![-3], vec![4]]);
    }

    #[test]
    fn an_event_of_a_kind_that_is_not_known_is_unreadable() {
        let event = CommittedEvent {
            sequence: 3,
            kind: "run_teleported".to_owned(),
            data: "{}".to_owned(),
            ..CommittedEvent::default()
        };

        let problem = received_event(event).expect_err("nobody knows it");

        assert!(problem.to_string().contains("run_teleported"), "{problem}");
    }

    #[test]
    fn a_piece_arrives_as_it_was_sent_and_one_of_an_unknown_kind_does_not() {
        let node_id = NodeId::from("ask");
        let sent = Piece {
            author: Author {
                path: StepPath::from("loop[3]/ask"),
                node_id,
                attempt: 2,
                epoch: 5,
            },
            kind: Kind::Log,
            edition: 1,
            offset: 17,
            text: "so far".to_owned(),
        };

        let draft = sent_draft(sent.clone());
        let odd = Draft {
            kind: 99,
            ..draft.clone()
        };

        assert_eq!(received_draft(draft), Some(sent));
        assert_eq!(received_draft(odd), None);
    }
}
