//! A provider of images: notes what arrives, and answers what it is told, to the byte.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The smallest content that passes for an image.
pub const PNG: &[u8] = b"\x89PNG\r\n\x1a\nthe rest of it";

/// A running provider; it ends with the runtime.
#[derive(Clone, Debug)]
pub struct Painter {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Method and path.
    pub line: String,
    head: String,
    /// What the body says; null without one.
    pub body: Value,
}

impl Seen {
    /// A header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut found = lines.filter(|(own, _)| own.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value)
    }
}

/// What is answered.
#[derive(Clone, Debug)]
pub struct Reply {
    status: &'static str,
    headers: String,
    body: Vec<u8>,
    /// Bytes that are announced and never come.
    missing: usize,
    /// Whether the connection stays open without a word.
    hangs: bool,
}

impl Reply {
    /// This status with this body.
    pub fn new(status: &'static str, body: impl AsRef<[u8]>) -> Self {
        Self {
            status,
            headers: String::new(),
            body: body.as_ref().to_vec(),
            missing: 0,
            hangs: false,
        }
    }

    /// 200 with JSON.
    pub fn json(body: &Value) -> Self {
        Self::new("200 OK", body.to_string())
    }

    /// The same with a header.
    pub fn header(mut self, line: &str) -> Self {
        self.headers.push_str(line);
        self.headers.push_str("\r\n");
        self
    }

    /// The same, cut off before its end.
    pub fn cut(mut self) -> Self {
        self.missing = 10;
        self
    }

    /// Nothing at all.
    pub fn silence() -> Self {
        Self {
            hangs: true,
            ..Self::new("", "")
        }
    }
}

/// What OpenAI answers with this content.
pub fn within(content: &[u8]) -> Reply {
    let data = json!([{"b64_json": STANDARD.encode(content), "revised_prompt": "As I see it"}]);
    Reply::json(&json!({"created": 1, "data": data}))
}

impl Painter {
    /// Starts on a free port of 127.0.0.1.
    pub async fn start(reply: impl Fn(&Seen, &str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let painter = Self { address, seen };
        let (own, reply) = (painter.clone(), Arc::new(reply));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (own, reply) = (own.clone(), Arc::clone(&reply));
                tokio::spawn(async move { own.serve(stream, &*reply).await });
            }
        });
        painter
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All requests that came, in order.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The only request that came.
    pub fn only(&self) -> Seen {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen[0].clone()
    }

    async fn serve(&self, mut stream: TcpStream, reply: &(dyn Fn(&Seen, &str) -> Reply + Sync)) {
        let Some(request) = read(&mut stream).await else {
            return;
        };
        self.seen.lock().unwrap().push(request.clone());
        let reply = reply(&request, &self.url());
        if reply.hangs {
            std::future::pending::<()>().await;
        }
        let length = reply.body.len() + reply.missing;
        let (status, headers) = (reply.status, reply.headers);
        let head = format!(
            "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
        );
        // A client may break off.
        drop(stream.write_all(head.as_bytes()).await);
        drop(stream.write_all(&reply.body).await);
        drop(stream.shutdown().await);
    }
}

async fn read(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    loop {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let lines: Vec<_> = head.splitn(2, "\r\n").collect();
            let line = lines[0].trim_end_matches(" HTTP/1.1").to_owned();
            let mut seen = Seen {
                line,
                head: lines.get(1).copied().unwrap_or_default().to_owned(),
                body: Value::Null,
            };
            let length = seen
                .header("content-length")
                .map_or(0, |text| text.parse().unwrap());
            if bytes.len() >= end + 4 + length {
                if length > 0 {
                    seen.body = serde_json::from_slice(&bytes[end + 4..end + 4 + length]).unwrap();
                }
                return Some(seen);
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
