//! A server that gives back whatever it is sent, in all the ways that servers do.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

/// A running server; it ends with the runtime.
#[derive(Debug)]
pub struct Echo {
    address: SocketAddr,
    /// All that was sent to it, as text.
    seen: Arc<Mutex<Vec<String>>>,
}

impl Echo {
    /// A server that answers by the first part of the path: `json`, `text`, `number`, `base64`, `status` (whose second
    /// part is the status), and `redirect` (to what the query's `to` says).
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let all = Arc::clone(&all);
                let service = service_fn(move |request| {
                    let all = Arc::clone(&all);
                    async move { Ok::<_, Infallible>(respond(request, &all).await) }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self { address, seen }
    }

    /// The URL of a path, which starts with `/`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Its host and port.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// All that was sent to it: a text for each request.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

type Body = StreamBody<stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>>;

async fn respond(request: Request<Incoming>, all: &Mutex<Vec<String>>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let body = String::from_utf8_lossy(&body).into_owned();
    let query: Vec<(String, String)> = form_urlencoded(head.uri.query().unwrap_or_default());
    let mut headers = Map::new();
    let mut keys = Map::new();
    for (name, value) in &head.headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        keys.insert(format!("<{value}>"), json!(name.as_str()));
        headers.insert(name.to_string(), value.into());
    }
    for (_, value) in &query {
        keys.insert(value.clone(), json!("from the query"));
    }
    let told = json!({
        "uri": head.uri.to_string(), "headers": headers, "query": query, "keys": keys,
        "body": body, "parsed": serde_json::from_str::<Value>(&body).ok(),
        "base64": STANDARD.encode(format!("{query:?}{body}")),
    });
    all.lock()
        .unwrap()
        .push(format!("{} {headers:?} {query:?} {body}", head.uri));
    let mut parts = head.uri.path().split('/').skip(1);
    let mut response = Response::builder();
    // Headers that come back, too.
    for (name, value) in head
        .headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with('x'))
    {
        response = response.header(format!("echo-{name}"), value);
    }
    let text = match (parts.next(), parts.next()) {
        (Some("text"), _) => format!("You sent: {told:#} and {query:?} and {body}"),
        (Some("number"), _) => {
            let number = query.first().map(|(_, value)| value.clone());
            format!("[{}]", number.unwrap_or_default())
        }
        (Some("base64"), _) => STANDARD.encode(told.to_string()),
        (Some("redirect"), _) => {
            let to = query.iter().find(|(name, _)| name == "to");
            response = response.status(307).header("location", &to.unwrap().1);
            String::new()
        }
        (Some("status"), Some(status)) => {
            response = response.status(status.parse::<u16>().unwrap());
            told.to_string()
        }
        _ => told.to_string(),
    };
    // In pieces of three bytes, so that no value comes in one.
    let pieces: Vec<_> = text
        .into_bytes()
        .chunks(3)
        .map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece))))
        .collect();
    response
        .body(StreamBody::new(stream::iter(pieces)))
        .unwrap()
}

fn form_urlencoded(query: &str) -> Vec<(String, String)> {
    url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect()
}
