//! A small HTTP server on loopback for tests: it notes what arrives and answers what it is told, to the byte.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// A running server; ends with its handle.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    arrived: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

/// A request that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

/// What the server does with a request.
pub(crate) enum Reply {
    /// Writes it and closes the connection.
    Whole(Vec<u8>),
    /// Writes it and then keeps silent with the connection open.
    Hang(Vec<u8>),
}

impl Reply {
    /// An answer with this status line, these header lines and this body.
    pub(crate) fn new(status: &str, headers: &[&str], body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let mut text = format!("HTTP/1.1 {status}\r\nConnection: close\r\n");
        for header in headers {
            text.push_str(header);
            text.push_str("\r\n");
        }
        let mut bytes = text.into_bytes();
        bytes.extend(format!("Content-Length: {}\r\n\r\n", body.len()).into_bytes());
        bytes.extend_from_slice(body);
        Self::Whole(bytes)
    }

    /// An answer of 200.
    pub(crate) fn ok(body: impl AsRef<[u8]>) -> Self {
        Self::new("200 OK", &[], body)
    }

    /// A redirect.
    pub(crate) fn redirect(status: &str, location: &str) -> Self {
        Self::new(status, &[&format!("Location: {location}")], "")
    }
}

impl Seen {
    /// The value of a header, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter();
        all.find(|(own, _)| own == name)
            .map(|(_, value)| value.as_str())
    }
}

impl TestServer {
    /// Starts on a free port of 127.0.0.1.
    pub(crate) async fn start(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::serve(None, answer).await
    }

    /// The same with TLS and a certificate for `localhost` that nobody trusts.
    pub(crate) async fn start_tls(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        Self::serve(Some(TlsAcceptor::from(Arc::new(config))), answer).await
    }

    async fn serve(
        tls: Option<TlsAcceptor>,
        answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (count, arrived) = watch::channel(0);
        let noted = Arc::clone(&seen);
        let answer = Arc::new(answer);
        let count = Arc::new(count);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (noted, count) = (Arc::clone(&noted), Arc::clone(&count));
                let (answer, tls) = (Arc::clone(&answer), tls.clone());
                tokio::spawn(async move {
                    let note = |request: &Seen| {
                        noted.lock().unwrap().push(request.clone());
                        count.send_modify(|count| *count += 1);
                        answer(request)
                    };
                    match tls {
                        None => exchange(stream, note).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                exchange(stream, note).await;
                            }
                        }
                    }
                });
            }
        });
        Self {
            address,
            seen,
            arrived,
            task,
        }
    }

    /// The URL of a path on this server, by address.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The requests that have arrived.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Waits until a request has arrived.
    pub(crate) async fn arrival(&self) {
        let mut arrived = self.arrived.clone();
        arrived.wait_for(|count| *count > 0).await.unwrap();
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: impl Fn(&Seen) -> Reply,
) {
    let Some(request) = read(&mut stream).await else {
        return;
    };
    let (bytes, hangs) = match answer(&request) {
        Reply::Whole(bytes) => (bytes, false),
        Reply::Hang(bytes) => (bytes, true),
    };
    // A client that has gone away is what some tests are about.
    if stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err() {
        return;
    }
    if hangs {
        // Ends when the client goes.
        let mut rest = [0; 1];
        stream.read_exact(&mut rest).await.ok();
    }
    stream.shutdown().await.ok();
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Seen> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|part| part == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let mut seen = Seen {
        method: first.next()?.to_owned(),
        target: first.next()?.to_owned(),
        headers: lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect(),
        body: String::new(),
    };
    let length: usize = match seen.header("content-length") {
        Some(length) => length.parse().ok()?,
        None => 0,
    };
    let mut body = bytes.split_off(end + 4);
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    seen.body = String::from_utf8_lossy(&body).into_owned();
    Some(seen)
}
