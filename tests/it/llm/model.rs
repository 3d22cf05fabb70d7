//! A server that answers as a provider of models does, piece by piece where a test wants it.
//!
//! ```ignore
//! let model = ModelServer::start().await;
//! model.says(&["Hel", "lo"]);             // the next request is answered so, in the words of its path
//! let mut speech = model.speech();        // the one after that as the test goes on
//! speech.say("Hel");
//! ```

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

type Piece = Result<Frame<Bytes>, std::io::Error>;

/// A running server; it ends with the runtime.
#[derive(Debug)]
pub struct ModelServer {
    address: SocketAddr,
    seen: watch::Sender<Vec<Seen>>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    /// With its query.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Value,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    pieces: mpsc::UnboundedReceiver<Piece>,
}

/// An answer that goes on as the test says; it ends, whole or not, when this is dropped.
#[derive(Debug)]
pub struct Speech(mpsc::UnboundedSender<Piece>);

/// How an API writes an answer that comes in these texts, with 11 tokens for 5.
pub fn spoken(path: &str, texts: &[&str]) -> String {
    let events = |events: Vec<Value>| -> String {
        events
            .iter()
            .flat_map(|event| ["data: ".to_owned(), event.to_string(), "\n\n".to_owned()])
            .collect()
    };
    if path.ends_with("/messages") {
        let start = json!({"type": "message_start", "message": {"model": "m-1", "usage": {"input_tokens": 11}}});
        let texts = texts.iter().map(|text| {
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})
        });
        let end = json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}});
        let all = std::iter::once(start)
            .chain(texts)
            .chain([end, json!({"type": "message_stop"})]);
        events(all.collect())
    } else if path.contains(":streamGenerateContent") {
        let texts = texts
            .iter()
            .map(|text| json!({"candidates": [{"content": {"parts": [{"text": text}]}}]}));
        let end = json!({"candidates": [{"finishReason": "STOP"}], "modelVersion": "m-1",
                         "usageMetadata": {"promptTokenCount": 11, "candidatesTokenCount": 5}});
        events(texts.chain([end]).collect())
    } else if path.ends_with("/api/chat") {
        let texts = texts
            .iter()
            .map(|text| json!({"model": "m-1", "message": {"content": text}, "done": false}));
        let end = json!({"model": "m-1", "message": {"content": ""}, "done": true, "done_reason": "stop",
                         "prompt_eval_count": 11, "eval_count": 5});
        let lines = texts.chain([end]);
        lines
            .flat_map(|line| [line.to_string(), "\n".to_owned()])
            .collect()
    } else {
        let texts = texts
            .iter()
            .map(|text| json!({"model": "m-1", "choices": [{"delta": {"content": text}}]}));
        let end = json!({"choices": [{"delta": {}, "finish_reason": "stop"}]});
        let usage = json!({"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 5}});
        events(texts.chain([end, usage]).collect()) + "data: [DONE]\n\n"
    }
}

impl ModelServer {
    /// A server that answers what it is told, and 500 when it is told nothing.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            seen: watch::Sender::default(),
            answers: Arc::default(),
        };
        let (seen, answers) = (server.seen.clone(), Arc::clone(&server.answers));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, answers) = (seen.clone(), Arc::clone(&answers));
                let service = service_fn(move |request| {
                    let (seen, answers) = (seen.clone(), Arc::clone(&answers));
                    async move { Ok::<_, Infallible>(respond(request, &seen, &answers).await) }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        server
    }

    /// The URL of a path, which starts with `/`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Answers the next request whole, as OpenAI's API does.
    pub fn says(&self, texts: &[&str]) {
        self.sends(&spoken("", texts));
    }

    /// Answers the next request with this body of a stream, byte by byte.
    pub fn sends(&self, body: &str) {
        let speech = self.speech();
        for byte in body.as_bytes() {
            speech.send(&[*byte]);
        }
    }

    /// Answers the next request with a stream that goes on as the test says.
    pub fn speech(&self) -> Speech {
        self.answer(200, Vec::new())
    }

    /// Answers the next request with a status, headers and a JSON body.
    pub fn refuses(&self, status: u16, headers: &[(&'static str, &str)], body: &Value) {
        let headers = headers
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()));
        let headers = headers.chain([("content-type", "application/json".to_owned())]);
        let speech = self.answer(status, headers.collect());
        speech.send(body.to_string().as_bytes());
    }

    /// All requests that came, in order.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.borrow().clone()
    }

    fn answer(&self, status: u16, headers: Vec<(&'static str, String)>) -> Speech {
        let (sender, pieces) = mpsc::unbounded_channel();
        self.answers.lock().unwrap().push_back(Answer {
            status,
            headers,
            pieces,
        });
        Speech(sender)
    }
}

impl Speech {
    /// Sends a piece of text as OpenAI's API does.
    pub fn say(&self, text: &str) {
        let event = json!({"choices": [{"delta": {"content": text}}]});
        self.send(format!("data: {event}\n\n").as_bytes());
    }

    /// Ends the answer in order.
    pub fn end(self) {
        self.send(spoken("", &[]).as_bytes());
    }

    fn send(&self, bytes: &[u8]) {
        // Nobody may be there any more to hear it.
        drop(self.0.send(Ok(Frame::data(Bytes::copy_from_slice(bytes)))));
    }
}

async fn respond(
    request: Request<Incoming>,
    seen: &watch::Sender<Vec<Seen>>,
    answers: &Mutex<VecDeque<Answer>>,
) -> Response<http_body_util::combinators::BoxBody<Bytes, std::io::Error>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    seen.send_modify(|all| {
        all.push(Seen {
            path: head.uri.to_string(),
            headers: head.headers,
            body: serde_json::from_slice(&body).unwrap_or_default(),
        });
    });
    let answer = answers.lock().unwrap().pop_front();
    let Some(answer) = answer else {
        let nothing = StreamBody::new(stream::empty::<Piece>());
        let response = Response::builder().status(500);
        return response.body(BodyExt::boxed(nothing)).unwrap();
    };
    let mut response = Response::builder().status(answer.status);
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    let mut pieces = answer.pieces;
    let pieces = stream::poll_fn(move |context| pieces.poll_recv(context));
    response
        .body(BodyExt::boxed(StreamBody::new(pieces)))
        .unwrap()
}
