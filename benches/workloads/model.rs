//! A model on this machine: it speaks as OpenAI's chat completions do, and each of its tokens is the time at which it
//! was said.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::stream::unfold;
use futures_util::{Stream, StreamExt};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use synapps::bench::Clients;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Interval, MissedTickBehavior};

use crate::Result;
use crate::service::Service;
use crate::settings::Settings;
use crate::stand::{DATABASE, Stand, cluster};

/// The model that says its next token when the one before is on its way.
pub const TALKATIVE: &str = "talkative";
/// The model that says a token each [`BEAT`].
pub const STEADY: &str = "steady";
/// How long the steady one thinks about a token: fewer than most hosted models.
pub const BEAT: Duration = Duration::from_millis(10);
/// Bytes of a token: the nanoseconds since 1970 in 19 digits, and a space.
pub const TOKEN_BYTES: usize = 20;

/// A running model; it falls silent when this is dropped.
pub struct Model {
    port: u16,
    serving: AbortHandle,
}

/// What is read of a request.
#[derive(Deserialize)]
struct Wish {
    model: String,
    /// How many tokens the answer has.
    max_tokens: u32,
}

impl Model {
    /// Starts one on a free port.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let serving = tokio::spawn(serve(listener)).abort_handle();
        Ok(Self { port, serving })
    }

    /// The base URL of its API.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }
}

/// A stand whose service has this model as its provider `custom`.
pub async fn stand(settings: &Settings, model: &Model) -> Result<Stand> {
    let cluster = cluster().await?;
    cluster.ensure_database(DATABASE).await?;
    let (base_url, url) = (
        format!("--custom-llm-base-url={}", model.url()),
        cluster.url(DATABASE),
    );
    let service = Service::launch(&settings.program, &["serve", &base_url], Some(&url)).await?;
    let clients = Clients::connect(&[service.address()]).await?;
    Ok(Stand {
        cluster,
        service,
        clients,
    })
}

/// How long ago a token was made.
pub fn age(token: &str) -> Result<Duration> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let nanos = token.trim_end().parse()?;
    Ok(now.saturating_sub(Duration::from_nanos(nanos)))
}

impl Drop for Model {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener) {
    // Ends the conversations, too, when it is dropped.
    let mut conversations = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        // A token is not to wait for the next one.
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        let conversation = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service_fn(answer));
        conversations.spawn(conversation);
        while conversations.try_join_next().is_some() {}
    }
}

type Answer = Response<StreamBody<Pin<Box<dyn Stream<Item = Piece> + Send>>>>;
type Piece = std::result::Result<Frame<Bytes>, Infallible>;

async fn answer(request: Request<Incoming>) -> Result<Answer> {
    let body = request.into_body().collect().await?.to_bytes();
    let wish: Wish = serde_json::from_slice(&body)?;
    let beat = match wish.model.as_str() {
        STEADY => Some(beat()),
        _ => None,
    };
    let tokens = wish.max_tokens;
    let said = unfold(Some((tokens, beat)), move |left| async move {
        let (left, mut beat) = left?;
        if left == 0 {
            return Some((Frame::data(end(tokens).into()), None));
        }
        if let Some(beat) = &mut beat {
            beat.tick().await;
        }
        Some((Frame::data(token().into()), Some((left - 1, beat))))
    });
    let mut response = Response::new(StreamBody::new(Box::pin(said.map(Ok)) as _));
    let event_stream = HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(CONTENT_TYPE, event_stream);
    Ok(response)
}

fn beat() -> Interval {
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beat
}

fn token() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    // A clock before 1970 would make the token late beyond doubt.
    let nanos = now.unwrap_or_default().as_nanos();
    format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{nanos:019} \"}}}}]}}\n\n")
}

fn end(tokens: u32) -> String {
    format!(
        "data: {{\"choices\":[{{\"delta\":{{}},\"finish_reason\":\"stop\"}}]}}\n\n\
         data: {{\"choices\":[],\"usage\":{{\"prompt_tokens\":3,\"completion_tokens\":{tokens}}}}}\n\n\
         data: [DONE]\n\n"
    )
}

/// How old the tokens in pieces of an answer are when they arrive.
#[derive(Default)]
pub struct Listener {
    /// The beginning of a token whose end has not come.
    rest: String,
    /// Where the answer goes on.
    next: usize,
    /// How much is left of a token whose beginning was left out.
    skipped: usize,
}

impl Listener {
    /// Takes a piece that starts there in the answer; what was left out before it is passed over.
    pub fn take(&mut self, offset: usize, text: &str, ages: &mut Vec<Duration>) -> Result<()> {
        if offset != self.next {
            self.rest.clear();
            self.skipped = offset.next_multiple_of(TOKEN_BYTES) - offset;
        }
        self.next = offset + text.len();
        let cut = self.skipped.min(text.len());
        self.skipped -= cut;
        self.rest
            .push_str(text.get(cut..).ok_or("a token is no text of digits")?);
        let whole = self.rest.len() - self.rest.len() % TOKEN_BYTES;
        for at in (0..whole).step_by(TOKEN_BYTES) {
            ages.push(age(&self.rest[at..at + TOKEN_BYTES])?);
        }
        self.rest.drain(..whole);
        Ok(())
    }
}
