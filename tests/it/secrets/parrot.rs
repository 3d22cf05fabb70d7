//! A provider of models and images that repeats the keys that it is sent, in all that it says.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::image::painter::PNG;
use crate::llm::model::spoken;

/// The headers that hold keys.
const HEADERS: [&str; 5] = [
    "authorization",
    "x-api-key",
    "x-goog-api-key",
    "x-key",
    "x-secret",
];

/// More than is read of an answer that says what went wrong.
const MUCH: usize = 100 * 1024;

/// A running provider; it ends with the runtime.
#[derive(Debug)]
pub struct Parrot {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Parrot {
    /// A server that answers by the first part of the path, as [`answer`] says.
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
                    async move { Ok::<_, Infallible>(respond(request, &all, address).await) }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .max_buf_size(1 << 20)
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self { address, seen }
    }

    /// The base URL under which it answers in this way.
    pub fn url(&self, way: &str) -> String {
        format!("http://{}/{way}", self.address)
    }

    /// The keys that were sent to it.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

type Body = StreamBody<stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>>;

async fn respond(
    request: Request<Incoming>,
    all: &Mutex<Vec<String>>,
    address: SocketAddr,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let keys = keys(&head.headers);
    all.lock().unwrap().extend(keys.iter().cloned());
    let path = head.uri.path();
    let (way, rest) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
    // Where the path is the server's own, the prompt says how to answer.
    let way = match way {
        "asked" if String::from_utf8_lossy(&body).contains("refuse") => "refuses",
        "asked" if rest.contains("text-to-image") => "draws",
        "asked" => "says",
        way => way,
    };
    let rest = format!("/{rest}");
    let (status, text) = answer(way, &rest, &keys, &head.uri.to_string(), address);
    let pieces = text.into_bytes();
    let pieces: Vec<_> = pieces
        .chunks(37)
        .map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece))))
        .collect();
    let response = Response::builder().status(status);
    response
        .body(StreamBody::new(stream::iter(pieces)))
        .unwrap()
}

/// The keys in the headers of a request.
fn keys(headers: &HeaderMap) -> Vec<String> {
    let values = HEADERS.iter().filter_map(|name| headers.get(*name));
    let texts = values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    texts
        .map(|text| text.strip_prefix("Bearer ").unwrap_or(&text).to_owned())
        .collect()
}

/// Status and body.
fn answer(way: &str, path: &str, keys: &[String], uri: &str, address: SocketAddr) -> (u16, String) {
    let key = keys.first().cloned().unwrap_or_default();
    let all = keys.join(" and ");
    let encoded = STANDARD.encode(format!("key={all}"));
    let said = format!("You sent {all}, which is {keys:?} or {encoded}, to {uri}.");
    let error = json!({"error": {"message": format!("Incorrect API key: {said}"), "code": "invalid_api_key",
                                 "param": {"key": key, "parsed": serde_json::from_str::<Value>(&key).ok()}}});
    // In words that no key fits into.
    let chars: Vec<char> = said.chars().collect();
    let words: Vec<String> = chars.chunks(3).map(String::from_iter).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match way {
        "says" => (200, spoken(path, &words)),
        // JSON that holds it, and JSON that is it.
        "json" => {
            let value = json!({"key": key, "list": [serde_json::from_str::<Value>(&key).ok()], key.clone(): 1});
            (200, spoken(path, &[&value.to_string()]))
        }
        "quotes" => (200, spoken(path, &[&json!(key).to_string()])),
        "breaks" => {
            // Within the key.
            let begun = spoken(path, &words[..words.len().min(5)]);
            let begun = begun.split_inclusive("\n\n").take(5).collect::<String>();
            (200, format!("{begun}data: {error}\n\n"))
        }
        "refuses" => (401, error.to_string()),
        "fails" => (503, error.to_string()),
        // More than is read, so that the last key is cut.
        "rambles" => (
            400,
            format!("No: {key} ").repeat(MUCH / (key.len() + 5) + 1),
        ),
        "babbles" => (200, format!("<p>{said}</p>")),
        "draws" if path.contains("text-to-image") => {
            let drawn =
                json!({"base64": STANDARD.encode(PNG), "finishReason": "SUCCESS", "seed": key});
            (200, json!({"artifacts": [drawn]}).to_string())
        }
        "draws" => {
            let drawn = json!({"b64_json": STANDARD.encode(PNG), "revised_prompt": said});
            (200, json!({"data": [drawn], "note": said}).to_string())
        }
        "places" => {
            let key: String = url::form_urlencoded::byte_serialize(key.as_bytes()).collect();
            let place = format!("http://10.1.2.3/{key}?key={key}");
            (200, json!({"data": [{"url": place}]}).to_string())
        }
        "waits" => {
            let key: String = url::form_urlencoded::byte_serialize(key.as_bytes()).collect();
            let place = format!("http://{address}/loses?key={key}");
            (200, json!({"polling_url": place}).to_string())
        }
        "loses" => (200, json!({"status": format!("Error: {said}")}).to_string()),
        _ => (404, error.to_string()),
    }
}
