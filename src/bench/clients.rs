//! The clients of a service: their connections, and the flows that they save and delete.

use std::sync::Arc;

use tonic::transport::{Channel, Endpoint};

use super::Error;
use crate::proto::flow_service_client::FlowServiceClient;
use crate::proto::run_service_client::RunServiceClient;
use crate::proto::{CreateFlowRequest, DeleteFlowRequest, Flow};

/// How many HTTP/2 connections the clients share: as if eight processes called, each with as many calls at once on its
/// one channel as it likes, which is how generated clients are used.
pub const CONNECTIONS: usize = 8;

/// Connections to one service or to replicas of it, all of which get the same share of the calls.
#[derive(Clone, Debug)]
pub struct Clients {
    // Never empty.
    channels: Arc<[Channel]>,
}

impl Clients {
    /// Connects to these addresses (`http://HOST:PORT`), [`CONNECTIONS`] times in all, rounded up to the same number
    /// for each.
    ///
    /// # Errors
    ///
    /// [`Error::Address`], also if there is none, and [`Error::Unreachable`].
    pub async fn connect(addresses: &[String]) -> Result<Self, Error> {
        if addresses.is_empty() {
            return Err(Error::Address(String::new()));
        }
        let mut channels = Vec::new();
        for _ in 0..CONNECTIONS.div_ceil(addresses.len()) {
            for address in addresses {
                channels.push(connect(address).await?);
            }
        }
        Ok(Self {
            channels: channels.into(),
        })
    }

    /// The calls about runs of one client. Clients of neighbouring numbers use other connections.
    #[must_use]
    pub fn runs(&self, client: usize) -> RunServiceClient<Channel> {
        RunServiceClient::new(self.channels[client % self.channels.len()].clone())
    }

    /// The calls about flows.
    #[must_use]
    pub fn flows(&self) -> FlowServiceClient<Channel> {
        FlowServiceClient::new(self.channels[0].clone())
    }

    /// Saves a new flow and gives its id.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`].
    pub async fn save(&self, flow: Flow) -> Result<String, Error> {
        let flow_id = flow.id.clone();
        let request = CreateFlowRequest {
            flow: Some(flow),
            ..CreateFlowRequest::default()
        };
        let saved = self.flows().create_flow(request).await;
        saved.map_err(refused("CreateFlow"))?;
        Ok(flow_id)
    }

    /// Deletes a flow and cancels what is open of it; its runs stay.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`].
    pub async fn delete(&self, flow_id: &str) -> Result<(), Error> {
        let request = DeleteFlowRequest {
            flow_id: flow_id.to_owned(),
            force: true,
            ..DeleteFlowRequest::default()
        };
        let deleted = self.flows().delete_flow(request).await;
        deleted.map_err(refused("DeleteFlow"))?;
        Ok(())
    }
}

async fn connect(address: &str) -> Result<Channel, Error> {
    let unknown = || Error::Address(address.to_owned());
    if !address.starts_with("http://") {
        return Err(unknown());
    }
    let endpoint = Endpoint::from_shared(address.to_owned()).map_err(|_| unknown())?;
    let connected = endpoint.connect().await;
    connected.map_err(|source| Error::Unreachable {
        address: address.to_owned(),
        source,
    })
}

/// An error of `call`.
pub(super) fn refused(call: &'static str) -> impl FnOnce(tonic::Status) -> Error {
    move |status| Error::Refused {
        call,
        status: Box::new(status),
    }
}
