//! Connections of callers: how many there may be, how long one may keep silent at first, and how all are cut at last.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{Stream, unfold};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::{Connected, TcpConnectInfo};

use super::gathered::Gathered;

/// How long a connection may send nothing at all before it is closed; afterwards HTTP/2 keeps watch.
const OPENING_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait when the system gives no connection, which usually is for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the service does not listen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else does.
    #[error(
        "cannot listen on {0}: the port is in use. Stop what listens there (another synapps?), or choose another \
         address by --listen"
    )]
    InUse(SocketAddr),
    /// Another cause.
    #[error("cannot listen on {address}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
}

/// Listens on an address.
pub(super) async fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address)
        .await
        .map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => Error::InUse(address),
            _ => Error::Bind { address, source },
        })
}

/// The connections that come in, at most `most` of them open at once, all of them gone after `cut`.
///
/// One too many is accepted and closed at once rather than left waiting: its client learns that it has to turn
/// elsewhere.
pub(super) fn incoming(
    listener: TcpListener,
    most: usize,
    cut: CancellationToken,
) -> impl Stream<Item = io::Result<Connection>> {
    let accept = Accept {
        listener,
        places: Arc::new(Semaphore::new(most)),
        most,
        full: false,
        cut,
    };
    unfold(accept, |mut accept| async move {
        let connection = accept.next().await;
        Some((Ok(connection), accept))
    })
}

struct Accept {
    listener: TcpListener,
    places: Arc<Semaphore>,
    most: usize,
    // So that the log says once that there are too many.
    full: bool,
    cut: CancellationToken,
}

impl Accept {
    async fn next(&mut self) -> Connection {
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
                if !self.full {
                    tracing::warn!(
                        max_connections = self.most,
                        "too many connections: refusing more"
                    );
                }
                self.full = true;
                continue;
            };
            self.full = false;
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "cannot set TCP_NODELAY");
            }
            return Connection {
                stream: Gathered::new(stream),
                cut: Box::pin(self.cut.clone().cancelled_owned()),
                opening: Some(Box::pin(tokio::time::sleep(OPENING_TIMEOUT))),
                _place: place,
            };
        }
    }
}

/// A connection of a caller.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Gathered<TcpStream>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    // Until the first byte has come.
    opening: Option<Pin<Box<Sleep>>>,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    /// Fails once all connections are to be gone, and wakes the task for it.
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.cut.as_mut().poll(cx).is_ready() {
            return Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "the service has stopped",
            ));
        }
        Ok(())
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.get_ref().connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(cx)?;
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if polled.is_ready() {
            self.opening = None;
        } else if let Some(opening) = &mut self.opening
            && opening.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        polled
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
