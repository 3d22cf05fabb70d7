//! A shop on this machine that the example flow asks over HTTP.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long the shop thinks about stock and price: long enough to be seen to happen at the same time.
const STOCK_TIME: Duration = Duration::from_millis(60);
const PRICE_TIME: Duration = Duration::from_millis(80);

/// A running shop. It closes when it is dropped.
#[derive(Debug)]
pub struct Shop {
    address: SocketAddr,
    _open: DropGuard,
}

impl Shop {
    /// Opens the shop on a free port of loopback.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub async fn open() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let closed = CancellationToken::new();
        tokio::spawn(closed.clone().run_until_cancelled_owned(serve(listener)));
        Ok(Self {
            address,
            _open: closed.drop_guard(),
        })
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn serve(listener: TcpListener) {
    // Ends the connections, too, when it is dropped.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(converse(stream));
            }
            Err(error) => tracing::debug!(%error, "a customer was turned away"),
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn converse(stream: TcpStream) {
    let conversation = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service_fn(answer));
    if let Err(error) = conversation.await {
        tracing::debug!(%error, "a customer has left");
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, body) = look_up(request.uri().path()).await;
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    let json = http::HeaderValue::from_static("application/json");
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, json);
    Ok(response)
}

async fn look_up(path: &str) -> (StatusCode, Value) {
    match path.trim_start_matches('/').split_once('/') {
        Some(("stock", item)) if known(item) => {
            tokio::time::sleep(STOCK_TIME).await;
            (StatusCode::OK, json!({ "item": item, "units": 12 }))
        }
        Some(("price", item)) if known(item) => {
            tokio::time::sleep(PRICE_TIME).await;
            let price = json!({ "item": item, "price": 24.5, "currency": "EUR" });
            (StatusCode::OK, price)
        }
        _ => (StatusCode::NOT_FOUND, json!({ "error": "no such item" })),
    }
}

fn known(item: &str) -> bool {
    ["lamp", "chair"].contains(&item)
}
