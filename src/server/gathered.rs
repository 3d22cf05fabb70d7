//! A stream whose small writes go out together: what several calls of a connection say in one turn of the executor is one
//! write, which costs the system, and the client's too, as much as a write of one message.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How many bytes wait at most for the others of their turn.
const MOST: usize = 64 << 10;

/// The stream, and what waits to be written to it.
///
/// A flush lets all other tasks have their turn that are ready, once, before it writes: no time passes for it where
/// there are none.
#[derive(Debug)]
pub(super) struct Gathered<S> {
    stream: S,
    waiting: BytesMut,
    /// Whether the others have had their turn since the first byte came that waits.
    yielded: bool,
}

impl<S: AsyncWrite + Unpin> Gathered<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            waiting: BytesMut::new(),
            yielded: false,
        }
    }

    pub(super) fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Writes what waits.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.waiting.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.waiting))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.waiting.advance(written);
        }
        self.yielded = false;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gathered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathered<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bytes: usize = slices.iter().map(|slice| slice.len()).sum();
        if self.waiting.len() + bytes > MOST {
            ready!(self.poll_drain(cx))?;
            if bytes > MOST {
                return Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
            }
        }
        for slice in slices {
            self.waiting.extend_from_slice(slice);
        }
        Poll::Ready(Ok(bytes))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.waiting.is_empty() && !self.yielded {
            self.yielded = true;
            // A task that wakes itself is the last in line.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::io::AsyncWriteExt;

    use super::*;

    /// Notes each write, and takes no more than so many bytes of it.
    #[derive(Clone)]
    struct Log {
        writes: Arc<Mutex<Vec<Vec<u8>>>>,
        most: usize,
    }

    impl Log {
        fn taking(most: usize) -> Self {
            Self {
                writes: Arc::default(),
                most,
            }
        }

        fn writes(&self) -> Vec<Vec<u8>> {
            self.writes.lock().expect("no panic before").clone()
        }
    }

    impl AsyncWrite for Log {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let taken = bytes.len().min(self.most);
            let mut writes = self.writes.lock().expect("no panic before");
            writes.push(bytes[..taken].to_vec());
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn what_is_written_before_a_flush_goes_out_together() {
        let log = Log::taking(MOST);
        let mut stream = Gathered::new(log.clone());

        stream.write_all(b"one ").await.expect("room");
        stream.write_all(b"two").await.expect("room");
        assert!(log.writes().is_empty(), "nothing goes out by itself");
        stream.flush().await.expect("flushed");

        assert_eq!(log.writes(), [b"one two"]);
    }

    #[tokio::test]
    async fn a_stream_that_takes_little_gets_all_in_order() {
        let log = Log::taking(3);
        let mut stream = Gathered::new(log.clone());

        stream.write_all(b"one two").await.expect("room");
        stream.shutdown().await.expect("written");

        assert_eq!(log.writes().concat(), b"one two");
    }

    #[tokio::test]
    async fn no_more_waits_than_its_bound() {
        let log = Log::taking(usize::MAX);
        let mut stream = Gathered::new(log.clone());
        let large = vec![7; MOST + 1];

        stream.write_all(b"one").await.expect("room");
        stream.write_all(&large).await.expect("written");

        assert_eq!(log.writes(), [b"one".to_vec(), large]);
    }
}
