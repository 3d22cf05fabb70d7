//! `synapps demo`: saves the example flows, runs one that branches, calls HTTP, runs JavaScript and remembers, and
//! prints each update.
//!
//! It is a client like any other: all of it goes through the gRPC interface of the service that it has started.

pub(crate) mod document;
mod print;
mod shop;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Instant;

use serde_json::json;
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

use crate::cli;
use crate::config::Listen;
use crate::config::listen::reachable;
use crate::dev::{self, Dev, loopback};
use crate::postgres::Place;
use crate::proto::execute_run_response::Message;
use crate::proto::flow_service_client::FlowServiceClient;
use crate::proto::run_service_client::RunServiceClient;
use crate::proto::{ExecuteRunRequest, UpdateFlowRequest};
use print::Printer;
use shop::Shop;

/// The flows of `examples/`, by their ids.
const EXAMPLES: [(&str, &str); 4] = [
    (
        "branch-and-merge",
        include_str!("../examples/branch-and-merge.json"),
    ),
    ("delay", include_str!("../examples/delay.json")),
    HELLO,
    ("parallel", include_str!("../examples/parallel.json")),
];

/// The example that a newcomer starts with.
const HELLO: (&str, &str) = ("hello", include_str!("../examples/hello.json"));

/// The example that is shown.
const SHOWN: &str = "branch-and-merge";

/// Why there is nothing to see.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The service does not start.
    #[error(transparent)]
    Dev(#[from] dev::Error),
    /// Nothing can be printed, or the shop does not open.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// An example is no flow.
    #[error("the example {name} is no flow")]
    Document {
        /// Its id.
        name: &'static str,
        /// What is wrong with it.
        source: document::Error,
    },
    /// The service cannot be reached.
    #[error("the service does not answer")]
    Connect(#[from] tonic::transport::Error),
    /// The service answers with an error.
    #[error("{call} was answered with {:?}: {}", .status.code(), .status.message())]
    Refused {
        /// What was called.
        call: &'static str,
        /// The answer.
        status: Box<tonic::Status>,
    },
    /// The run did not succeed.
    #[error("the run did not succeed")]
    NotSucceeded,
}

/// The service with a private Postgres, and a shop that its flows can ask.
#[derive(Debug)]
pub struct Demo {
    dev: Dev,
    shop: Shop,
    started: Instant,
}

impl Demo {
    /// Starts everything.
    ///
    /// # Errors
    ///
    /// [`Error::Dev`] and [`Error::Io`].
    pub async fn start(mut arguments: cli::Demo) -> Result<Self, Error> {
        let started = Instant::now();
        let place = match &arguments.private.data_dir {
            Some(dir) => Place::Kept(dir.clone()),
            None => Place::Ephemeral,
        };
        // The shop is on this machine, whatever else flows may call.
        let allowed = arguments
            .common
            .execution
            .egress_allow
            .get_or_insert_default();
        allowed.allow.extend(loopback().allow);
        let shop = Shop::open().await?;
        let listen = Listen::on_loopback(arguments.listen);
        let dev = Dev::start(listen, place, &arguments.private, arguments.common).await?;
        Ok(Self { dev, shop, started })
    }

    /// The service.
    #[must_use]
    pub fn dev(&self) -> &Dev {
        &self.dev
    }

    /// Ends the demonstration but not what it has started.
    #[must_use]
    pub fn into_dev(self) -> (Dev, Shop) {
        (self.dev, self.shop)
    }

    /// Saves the examples, runs one, and prints each update as it comes, then the result.
    ///
    /// # Errors
    ///
    /// All kinds of [`Error`].
    pub async fn show(&self, out: &mut impl Write) -> Result<(), Error> {
        let address = self.address();
        let about = self.dev.server().about();
        writeln!(
            out,
            "synapps is up on {address} with a Postgres {} of its own, after {} ms",
            about.postgres,
            self.started.elapsed().as_millis()
        )?;
        let channel = Endpoint::from_shared(format!("http://{address}"))?
            .connect()
            .await?;
        save(channel.clone(), out).await?;
        self.run(channel, out).await?;
        writeln!(
            out,
            "\nall of it took {} ms",
            self.started.elapsed().as_millis()
        )?;
        Ok(())
    }

    async fn run(&self, channel: Channel, out: &mut impl Write) -> Result<(), Error> {
        let call = "ExecuteRun";
        let refused = |status| refused(call, status);
        let input = self.input();
        writeln!(out, "running {SHOWN} with {input}\n")?;
        let request = ExecuteRunRequest {
            flow_id: SHOWN.to_owned(),
            input: Some(document::value(&input)),
            include_payloads: true,
            include_deltas: true,
            ..ExecuteRunRequest::default()
        };
        let mut printer = Printer::new(out);
        printer.head()?;
        let mut updates = RunServiceClient::new(channel)
            .execute_run(Request::new(request))
            .await
            .map_err(refused)?
            .into_inner();
        while let Some(update) = updates.message().await.map_err(refused)? {
            match update.message {
                Some(Message::Event(event)) => printer.event(&event)?,
                Some(Message::Delta(delta)) => printer.delta(&delta)?,
                _ => {}
            }
        }
        if printer.result()? {
            Ok(())
        } else {
            Err(Error::NotSucceeded)
        }
    }

    fn input(&self) -> serde_json::Value {
        json!({
            "shop": format!("http://{}", self.shop.address()),
            "item": "lamp",
            "quantity": 3,
            "delivery": "express",
        })
    }

    fn address(&self) -> SocketAddr {
        reachable(self.dev.server().address())
    }

    /// The line that runs the flow once more.
    #[must_use]
    pub fn again(&self) -> String {
        let request = json!({ "flow_id": SHOWN, "input": self.input(), "include_payloads": true, "include_deltas": true });
        let line = grpcurl(
            self.address(),
            "RunService/ExecuteRun",
            &request.to_string(),
        );
        format!("\nstill serving; to run it again:\n\n  {line}\n\nCtrl-C stops it.")
    }
}

/// Two lines that save a first flow and run it, to be pasted into a shell.
///
/// # Errors
///
/// [`Error::Document`].
pub fn hello(address: SocketAddr) -> Result<String, Error> {
    let flow = document::in_one_line(HELLO.1).map_err(|source| Error::Document {
        name: HELLO.0,
        source,
    })?;
    let save = format!(r#"{{"flow":{flow},"allow_missing":true}}"#);
    let run = json!({ "flow_id": HELLO.0, "input": { "name": "world" } }).to_string();
    Ok(format!(
        "To save a first flow and run it:\n\n  {}\n\n  {}\n\nCtrl-C stops it.",
        grpcurl(address, "FlowService/UpdateFlow", &save),
        grpcurl(address, "RunService/ExecuteRun", &run)
    ))
}

fn grpcurl(address: SocketAddr, method: &str, request: &str) -> String {
    // Inside single quotes a shell takes everything as it is but the quote itself.
    let request = request.replace('\'', r"'\''");
    format!("grpcurl -plaintext -d '{request}' {address} synapps.v1.{method}")
}

async fn save(channel: Channel, out: &mut impl Write) -> Result<(), Error> {
    let mut flows = FlowServiceClient::new(channel);
    for (name, text) in EXAMPLES {
        let flow = document::flow(text).map_err(|source| Error::Document { name, source })?;
        let request = UpdateFlowRequest {
            flow: Some(flow),
            // So that the data of an earlier demonstration is no obstacle.
            allow_missing: true,
            ..UpdateFlowRequest::default()
        };
        let refused = |status| refused("UpdateFlow", status);
        let answer = flows.update_flow(request).await.map_err(refused)?;
        let revision = answer.into_inner().flow.map_or(0, |flow| flow.revision);
        writeln!(out, "saved {name}, revision {revision}")?;
    }
    Ok(())
}

fn refused(call: &'static str, status: tonic::Status) -> Error {
    Error::Refused {
        call,
        status: Box::new(status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_a_flow_with_the_name_of_its_file() {
        for (name, text) in EXAMPLES {
            let flow = document::flow(text).unwrap();

            assert_eq!(flow.id, name);
            assert!(!flow.description.is_empty());
            assert!(flow.nodes.iter().any(|node| node.r#type == "end"));
        }
    }

    #[test]
    fn lines_for_the_shell_survive_quotes() {
        let address = "127.0.0.1:50051".parse().unwrap();

        let line = grpcurl(address, "RunService/GetRun", r#"{"run_id":"it's"}"#);

        assert_eq!(
            line,
            r#"grpcurl -plaintext -d '{"run_id":"it'\''s"}' 127.0.0.1:50051 synapps.v1.RunService/GetRun"#
        );
    }
}
