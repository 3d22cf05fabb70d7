//! A relay service that stands before the one of an owner: it counts, and passes on what a test wants.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt};
use synapps::proto::internal::relay_service_client::RelayServiceClient;
use synapps::proto::internal::relay_service_server::{RelayService, RelayServiceServer};
use synapps::proto::internal::{FollowRequest, FollowResponse};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use crate::support::within;

/// What is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Everything.
    All,
    /// The first message of each stream, and then nothing for ever.
    First,
    /// So many messages of each stream, which is cut then.
    CutAfter(usize),
}

/// The service in between; it ends with the runtime.
#[derive(Debug)]
pub struct Between {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    behind: watch::Sender<Option<SocketAddr>>,
    mode: watch::Sender<Pass>,
    followed: watch::Sender<usize>,
    open: watch::Sender<usize>,
}

impl Between {
    /// A service that passes on everything once it knows where to.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            behind: watch::Sender::default(),
            mode: watch::Sender::new(Pass::All),
            followed: watch::Sender::default(),
            open: watch::Sender::default(),
        });
        let service = RelayServiceServer::new(Front(Arc::clone(&shared)));
        let serving = Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(serving);
        Self { address, shared }
    }

    /// The flag that has other replicas find the owner here.
    pub fn flag(&self) -> String {
        format!("--advertise={}", self.address)
    }

    /// Says where the owner is.
    pub fn lead_to(&self, owner: SocketAddr) {
        self.shared.behind.send_replace(Some(owner));
    }

    /// Says what is passed on of streams that begin from now on.
    pub fn pass(&self, mode: Pass) {
        self.shared.mode.send_replace(mode);
    }

    /// What is passed on.
    pub fn mode(&self) -> Pass {
        *self.shared.mode.borrow()
    }

    /// How many streams were opened.
    pub fn followed(&self) -> usize {
        *self.shared.followed.borrow()
    }

    /// Waits until so many streams are open.
    pub async fn open_become(&self, wanted: usize) {
        let mut open = self.shared.open.subscribe();
        let wait = open.wait_for(|open| *open == wanted);
        within("open streams", wait).await.unwrap();
    }
}

struct Front(Arc<Shared>);

/// One stream, open until this is dropped.
struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.send_modify(|open| *open -= 1);
    }
}

#[tonic::async_trait]
impl RelayService for Front {
    type FollowStream = Pin<Box<dyn Stream<Item = Result<FollowResponse, Status>> + Send>>;

    async fn follow(
        &self,
        request: Request<FollowRequest>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        self.0.followed.send_modify(|followed| *followed += 1);
        self.0.open.send_modify(|open| *open += 1);
        let open = Open(Arc::clone(&self.0));
        let behind = *self.0.behind.borrow();
        let owner = behind.ok_or_else(|| Status::unavailable("nobody is behind"))?;
        let client = RelayServiceClient::connect(format!("http://{owner}")).await;
        let mut client = client.map_err(|error| Status::unavailable(error.to_string()))?;
        let stream = client.follow(request.into_inner()).await?.into_inner();
        let mode = *self.0.mode.borrow();
        let cut = futures_util::stream::once(async { Err(Status::unavailable("cut")) });
        let stream: Self::FollowStream = match mode {
            Pass::All => stream.boxed(),
            Pass::First => stream
                .take(1)
                .chain(futures_util::stream::pending())
                .boxed(),
            Pass::CutAfter(count) => stream.take(count).chain(cut).boxed(),
        };
        let stream = stream.inspect(move |_| {
            // Open as long as the stream is there.
            let _open = &open;
        });
        Ok(Response::new(stream.boxed()))
    }
}
