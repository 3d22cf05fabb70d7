//! One run that another replica drives, followed for all who watch it here.

use std::sync::Arc;
use std::time::Duration;

use tonic::{Status, Streaming};
use tracing::debug;

use super::peers::Peer;
use super::wire;
use crate::engine::Engine;
use crate::hub::feed::{Feed, Unwatched};
use crate::ids::RunKey;
use crate::proto::internal::follow_response::Message;
use crate::proto::internal::{CommittedEvents, EndReason, FollowRequest, FollowResponse};

/// How long the other side may take to say whether it drives the run.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why a run is followed no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Nobody watches it here any more.
    Unwatched,
    /// It has left the one who drove it: somebody may know where to.
    Left,
    /// It is not told of, though the other side was reached; or the other side was not.
    Refused,
}

/// What one message leads to.
enum Step {
    GoOn,
    /// The stream is opened anew, with drafts.
    Again,
    Stop(Ended),
}

/// Follows a run for as long as somebody watches it here and the peer drives it.
pub(super) async fn follow(engine: &Engine, key: &RunKey, peer: &Peer) -> Ended {
    let Some(feed) = engine.hub().feed(key) else {
        return Ended::Unwatched;
    };
    let mut follower = Follower { engine, key, feed };
    loop {
        let include_drafts = follower.feed.drafts_wanted();
        match follower.one_stream(peer, include_drafts).await {
            Ok(None) => {}
            Ok(Some(ended)) => return ended,
            Err(status) => {
                peer.failed(&status);
                return Ended::Refused;
            }
        }
        follower.feed.parted();
    }
}

struct Follower<'a> {
    engine: &'a Engine,
    key: &'a RunKey,
    feed: Feed,
}

impl Follower<'_> {
    /// Takes in one stream to its end; `None` if it is to be opened again. Fails if the other side was not reached.
    async fn one_stream(
        &mut self,
        peer: &Peer,
        include_drafts: bool,
    ) -> Result<Option<Ended>, Status> {
        let request = FollowRequest {
            namespace: self.key.namespace.to_string(),
            run_id: self.key.run_id.to_string(),
            include_drafts,
        };
        let joined = async {
            let mut stream = peer.client().follow(request).await?.into_inner();
            let first = stream.message().await?;
            Ok::<_, Status>((stream, first))
        };
        let joined = tokio::select! {
            joined = tokio::time::timeout(PATIENCE, joined) => joined,
            () = self.unwatched() => return Ok(Some(Ended::Unwatched)),
        };
        let (stream, first) =
            joined.map_err(|_| Status::deadline_exceeded("it does not answer in time"))??;
        peer.answered();
        match first.and_then(|first| first.message) {
            Some(Message::Joined(_)) => {}
            Some(Message::End(end)) if end.reason() == EndReason::Left => {
                return Ok(Some(Ended::Left));
            }
            _ => return Ok(Some(Ended::Refused)),
        }
        // What was committed before the stream began is in the store.
        let located = self.engine.locate(vec![self.key.clone()]).await;
        let position = located
            .inspect_err(|error| debug!(error = error as &dyn std::error::Error, run.id = %self.key, "a run that is followed is not found yet"))
            .ok()
            .and_then(|found| found.into_iter().next());
        let Some(position) = position else {
            return Ok(Some(Ended::Left));
        };
        self.feed.joined(position.last_sequence);
        if self.feed.drafts_wanted() && !include_drafts {
            return Ok(None);
        }
        self.take_in(stream, include_drafts).await
    }

    async fn take_in(
        &mut self,
        mut stream: Streaming<FollowResponse>,
        with_drafts: bool,
    ) -> Result<Option<Ended>, Status> {
        loop {
            let step = tokio::select! {
                change = self.feed.changed() => match change {
                    Err(Unwatched) => Step::Stop(Ended::Unwatched),
                    Ok(()) if with_drafts => Step::GoOn,
                    Ok(()) => Step::Again,
                },
                response = stream.message() => match response? {
                    Some(response) => self.take(response),
                    None => return Err(Status::unavailable("the stream was cut")),
                },
            };
            match step {
                Step::GoOn => {}
                Step::Again => return Ok(None),
                Step::Stop(ended) => return Ok(Some(ended)),
            }
        }
    }

    fn take(&mut self, response: FollowResponse) -> Step {
        if self.engine.drives(self.key) {
            // It was taken over by this very process, which tells of it by itself now.
            return Step::Stop(Ended::Left);
        }
        match response.message {
            Some(Message::Events(events)) => self.take_events(events),
            Some(Message::Reached(reached)) => self.feed.reached(reached.sequence),
            Some(Message::Draft(draft)) => {
                if let Some(piece) = wire::received_draft(draft) {
                    self.feed.draft(&piece);
                }
            }
            Some(Message::Missed(_)) => self.feed.missed(),
            Some(Message::End(_)) => return Step::Stop(Ended::Left),
            // Said before, or by a newer replica.
            Some(Message::Joined(_)) | None => {}
        }
        Step::GoOn
    }

    fn take_events(&mut self, sent: CommittedEvents) {
        let Some(last) = sent.events.last().map(|event| event.sequence) else {
            return;
        };
        let events: Result<Vec<_>, _> = sent.events.into_iter().map(wire::received_event).collect();
        match events {
            Ok(events) => self.feed.events(&Arc::from(events)),
            Err(unreadable) => {
                debug!(error = &unreadable as &dyn std::error::Error, run.id = %self.key, "an event came that is not known here");
                self.feed.reached(last);
            }
        }
    }

    /// Resolves when nobody watches the run any more.
    async fn unwatched(&mut self) {
        while self.feed.changed().await.is_ok() {}
    }
}
