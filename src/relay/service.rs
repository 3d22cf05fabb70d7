//! What the owner of a run tells a replica whose callers watch it.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::wire;
use crate::engine::{Drive, Engine};
use crate::hub::drafts::Reader;
use crate::hub::{Signal, Subscription};
use crate::ids::{Namespace, RunId, RunKey, StepPath};
use crate::proto::internal::follow_response::Message;
use crate::proto::internal::relay_service_server::RelayService;
use crate::proto::internal::{
    End, EndReason, FollowRequest, FollowResponse, Joined, Missed, Reached,
};
use crate::run::event::Recorded;

/// How many messages wait for a follower that reads slowly, besides those that the hub keeps for it.
const BACKLOG: usize = 8;

/// The service, as the server has it.
#[derive(Clone, Debug)]
pub struct Service {
    engine: Engine,
}

impl Service {
    pub(super) fn new(engine: Engine) -> Self {
        Self { engine }
    }
}

#[tonic::async_trait]
impl RelayService for Service {
    type FollowStream = ReceiverStream<Result<FollowResponse, Status>>;

    async fn follow(
        &self,
        request: Request<FollowRequest>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        let request = request.into_inner();
        let (sender, messages) = mpsc::channel(BACKLOG);
        let engine = self.engine.clone();
        self.engine.keep(async move {
            let follower = Follower { sender };
            // Where the follower has left there is nobody to be told.
            if let Ok(reason) = tell(&engine, &request, &follower).await {
                let end = End {
                    reason: reason.into(),
                };
                follower.send(Message::End(end)).await.ok();
            }
        });
        Ok(Response::new(ReceiverStream::new(messages)))
    }
}

/// The follower has left.
struct Gone;

/// The way to a follower.
struct Follower {
    sender: mpsc::Sender<Result<FollowResponse, Status>>,
}

impl Follower {
    async fn send(&self, message: Message) -> Result<(), Gone> {
        let message = Some(message);
        let sent = self.sender.send(Ok(FollowResponse { message })).await;
        sent.map_err(|_| Gone)
    }
}

/// Tells a follower what happens in a run for as long as it is driven here, and gives why that has ended.
async fn tell(
    engine: &Engine,
    request: &FollowRequest,
    follower: &Follower,
) -> Result<EndReason, Gone> {
    let Ok(run_id) = Uuid::parse_str(&request.run_id) else {
        return Ok(EndReason::NotDriven);
    };
    let key = RunKey {
        namespace: Namespace::from(request.namespace.as_str()),
        run_id: RunId::new(run_id),
    };
    let Some(drive) = engine.find_drive(&key) else {
        return Ok(EndReason::NotDriven);
    };
    let Ok(subscription) = engine.hub().subscribe(&key) else {
        return Ok(EndReason::Busy);
    };
    let drafts = request.include_drafts.then(|| Drafts::of(engine, &key));
    let told = Told {
        engine,
        key,
        drive,
        subscription,
        drafts,
        follower,
    };
    told.until_it_leaves().await
}

/// A run as it is told to one follower.
struct Told<'a> {
    engine: &'a Engine,
    key: RunKey,
    drive: Drive,
    subscription: Subscription,
    drafts: Option<Drafts>,
    follower: &'a Follower,
}

impl Told<'_> {
    async fn until_it_leaves(mut self) -> Result<EndReason, Gone> {
        self.follower.send(Message::Joined(Joined {})).await?;
        loop {
            if let Some(drafts) = &mut self.drafts {
                drafts.send(None, self.follower).await?;
            }
            tokio::select! {
                biased;
                signal = self.subscription.next() => self.pass_on(signal).await?,
                // They are sent at the beginning of the next turn.
                () = changed(&mut self.drafts) => {}
                () = self.drive.ended() => break,
                () = self.follower.sender.closed() => return Err(Gone),
            }
        }
        // What the driver has committed came to the hub before it ended.
        while let Some(signal) = self.subscription.find_next() {
            self.pass_on(signal).await?;
        }
        Ok(EndReason::Left)
    }

    async fn pass_on(&mut self, signal: Signal) -> Result<(), Gone> {
        match signal {
            Signal::Events(events) => self.pass_on_events(&events).await,
            Signal::Behind(sequence) => {
                let reached = Reached { sequence };
                self.follower.send(Message::Reached(reached)).await
            }
            Signal::Missed => {
                if self.drafts.is_some() {
                    // It may have been told of no end of an attempt: it begins again with those that go on.
                    self.drafts = Some(Drafts::of(self.engine, &self.key));
                }
                self.follower.send(Message::Missed(Missed {})).await
            }
        }
    }

    async fn pass_on_events(&mut self, events: &Arc<[Recorded]>) -> Result<(), Gone> {
        if let Some(drafts) = &mut self.drafts {
            for recorded in events.iter().filter(|one| one.event.ends_drafts()) {
                if let Some((path, _)) = recorded.event.step() {
                    drafts.send(Some(path), self.follower).await?;
                }
            }
        }
        for message in wire::sent_events(events) {
            self.follower.send(message).await?;
        }
        Ok(())
    }
}

async fn changed(drafts: &mut Option<Drafts>) {
    match drafts {
        Some(drafts) => drafts.reader.changed().await,
        None => std::future::pending().await,
    }
}

/// What the steps of the run show.
struct Drafts {
    reader: Reader,
}

impl Drafts {
    fn of(engine: &Engine, key: &RunKey) -> Self {
        Self {
            reader: engine.hub().read_drafts(key),
        }
    }

    /// Sends what was not sent yet, of all steps or of one.
    async fn send(&mut self, of: Option<&StepPath>, follower: &Follower) -> Result<(), Gone> {
        while let Some(piece) = self.reader.find_next(of) {
            self.reader.shown(&piece);
            let draft = wire::sent_draft(piece);
            follower.send(Message::Draft(draft)).await?;
        }
        Ok(())
    }
}
