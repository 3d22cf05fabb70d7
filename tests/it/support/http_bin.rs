//! A local HTTP server for flows to call: it counts, and answers as each test wants.
//!
//! ```ignore
//! let bin = HttpBin::start().await;
//! bin.answer("/flaky", Answer::status(503));
//! let held = bin.hold("/slow");           // requests to /slow wait …
//! bin.requested("/slow", 1).await;        // … for the test to see that one has come
//! held.release();
//! bin.answer_first("/flaky", 2, Answer::status(503)); // twice, then as before
//! assert_eq!(bin.most_at_once(), 3);
//! ```

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// A running server; it ends with the runtime.
#[derive(Debug)]
pub struct HttpBin {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    /// `GET`, `POST` …
    pub method: String,
    /// Without the query.
    pub path: String,
    /// The `idempotency-key`; empty if there was none.
    pub idempotency_key: String,
    /// The body.
    pub body: Bytes,
}

/// What a path answers.
#[derive(Clone, Debug)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Option<Bytes>,
}

/// Requests to a path wait until this is released or dropped.
#[derive(Debug)]
pub struct Held {
    gate: watch::Sender<bool>,
}

#[derive(Debug)]
struct Shared {
    seen: watch::Sender<Vec<Seen>>,
    /// How often each path was asked for.
    counts: Mutex<HashMap<String, usize>>,
    answers: Mutex<HashMap<String, Answer>>,
    first_answers: Mutex<HashMap<String, (usize, Answer)>>,
    present: Mutex<Present>,
    gates: Mutex<HashMap<String, watch::Receiver<bool>>>,
}

/// How many requests are being answered.
#[derive(Debug, Default)]
struct Present {
    now: usize,
    most: usize,
}

impl Answer {
    /// This status, with the usual body.
    pub fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: None,
        }
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }
}

impl Held {
    /// Lets the requests go on.
    pub fn release(self) {
        drop(self);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.gate.send_replace(true);
    }
}

impl HttpBin {
    /// A server that answers every path with 200 and `{"path": …, "count": …}`, where `count` is how often it was asked
    /// for.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            seen: watch::Sender::default(),
            counts: Mutex::default(),
            answers: Mutex::default(),
            first_answers: Mutex::default(),
            present: Mutex::default(),
            gates: Mutex::default(),
        });
        tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared }
    }

    /// The URL of a path, which starts with `/`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Answers a path like this from now on.
    pub fn answer(&self, path: &str, answer: Answer) {
        self.shared
            .answers
            .lock()
            .unwrap()
            .insert(path.to_owned(), answer);
    }

    /// Answers the first so many requests to a path like this, counted from the server's start; the others as ever.
    pub fn answer_first(&self, path: &str, times: usize, answer: Answer) {
        let mut first_answers = self.shared.first_answers.lock().unwrap();
        first_answers.insert(path.to_owned(), (times, answer));
    }

    /// The most requests that were there at once.
    pub fn most_at_once(&self) -> usize {
        self.shared.present.lock().unwrap().most
    }

    /// Has requests to a path wait, those that are there already excepted.
    #[must_use]
    pub fn hold(&self, path: &str) -> Held {
        let (gate, waiting) = watch::channel(false);
        self.shared
            .gates
            .lock()
            .unwrap()
            .insert(path.to_owned(), waiting);
        Held { gate }
    }

    /// All requests that came, in order.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.borrow().clone()
    }

    /// How often a path was asked for, whether it was answered or not.
    pub fn count(&self, path: &str) -> usize {
        self.shared.count(path)
    }

    /// Waits until a path was asked for so often.
    pub async fn requested(&self, path: &str, times: usize) {
        let mut seen = self.shared.seen.subscribe();
        let wait = seen.wait_for(|_| self.count(path) >= times);
        super::within("requests", wait).await.unwrap();
    }

    /// Waits until so many requests have come, to whatever paths.
    pub async fn requested_in_all(&self, times: usize) {
        let mut seen = self.shared.seen.subscribe();
        let wait = seen.wait_for(|seen| seen.len() >= times);
        super::within("requests", wait).await.unwrap();
    }
}

/// Counts a request as gone when it is dropped.
struct Leaving<'a>(&'a Mutex<Present>);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.lock().unwrap().now -= 1;
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        let service = service_fn(move |request| {
            let shared = Arc::clone(&shared);
            async move { Ok::<_, Infallible>(shared.respond(request).await) }
        });
        // A client that breaks off is what some tests are about.
        tokio::spawn(
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service),
        );
    }
}

impl Shared {
    fn count(&self, path: &str) -> usize {
        let counts = self.counts.lock().unwrap();
        counts.get(path).copied().unwrap_or_default()
    }

    /// Counts a request as there for as long as what it gives is kept, also if the client breaks off.
    fn enter(&self) -> Leaving<'_> {
        let mut present = self.present.lock().unwrap();
        present.now += 1;
        present.most = present.most.max(present.now);
        drop(present);
        Leaving(&self.present)
    }

    async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        let key = head.headers.get("idempotency-key");
        let seen = Seen {
            method: head.method.to_string(),
            path: path.clone(),
            idempotency_key: key
                .map(|key| key.to_str().unwrap().to_owned())
                .unwrap_or_default(),
            body: body
                .collect()
                .await
                .map(http_body_util::Collected::to_bytes)
                .unwrap_or_default(),
        };
        let _present = self.enter();
        let mut count = 0;
        // Together, or whoever waits for one would find the other too old.
        self.seen.send_modify(|all| {
            all.push(seen);
            let mut counts = self.counts.lock().unwrap();
            let counted = counts.entry(path.clone()).or_default();
            *counted += 1;
            count = *counted;
        });
        let gate = self.gates.lock().unwrap().get(&path).cloned();
        if let Some(mut gate) = gate {
            // An error says that who held it is gone, which releases it too.
            drop(gate.wait_for(|open| *open).await);
        }
        let first = self.first_answers.lock().unwrap().get(&path).cloned();
        let first = first.and_then(|(times, answer)| (count <= times).then_some(answer));
        let answer = first.or_else(|| self.answers.lock().unwrap().get(&path).cloned());
        let answer = answer.unwrap_or_else(|| Answer::status(200));
        let mut response = Response::builder().status(StatusCode::from_u16(answer.status).unwrap());
        for (name, value) in answer.headers {
            response = response.header(name, value);
        }
        let body = if let Some(body) = answer.body {
            body
        } else {
            response = response.header("content-type", "application/json");
            json!({ "path": path, "count": count }).to_string().into()
        };
        response.body(Full::new(body)).unwrap()
    }
}
