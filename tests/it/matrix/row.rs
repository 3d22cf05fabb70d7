//! One row: the cells of a boundary, one after the other, on a database of their own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use tokio_postgres::Client;

use super::boundaries::{Boundary, Scene};
use super::fault::{Fault, Victim};
use super::{Outcome, cell};
use crate::support::binary::Binary;
use crate::support::database::Database;
use crate::support::proxy::Proxy;
use crate::traffic::{Choice, Traffic, Visit};

/// What the cells of a row share.
#[derive(Debug)]
pub struct Row {
    pub boundary: Arc<Boundary>,
    pub database: Database,
    pub sql: Client,
    pub traffic: Traffic,
    /// Serves all the while; in take-overs it would be in the way, and each cell begins one in time.
    pub heir: Option<Binary>,
    /// All that clients have done so far.
    pub visits: Vec<Visit>,
}

/// The flags of all processes of the trials.
pub const FLAGS: [&str; 2] = ["--lease=2s", "--drain-timeout=3s"];

impl Row {
    pub async fn prepare(boundary: &Arc<Boundary>) -> Self {
        let database = Database::migrated().await;
        let heir = Binary::start_on(&database, &FLAGS).await;
        let traffic = Traffic::new(Choice::FirstFirst).await;
        traffic.save_flows(&heir).await;
        Self {
            boundary: Arc::clone(boundary),
            sql: database.sql().await,
            heir: (boundary.scene != Scene::TakingOver).then_some(heir),
            database,
            traffic,
            visits: Vec::new(),
        }
    }

    /// All cells.
    pub async fn work(mut self) -> BTreeMap<Fault, Outcome> {
        let mut cells = BTreeMap::new();
        for fault in Fault::ALL {
            let started = Instant::now();
            let outcome = cell::work(&mut self, fault).await;
            let took = started.elapsed().as_secs_f64();
            println!(
                "{} × {fault:?}: {outcome:?}, {took:.1} s",
                self.boundary.name
            );
            cells.insert(fault, outcome);
        }
        cells
    }

    /// Starts the process that the fault is to strike when it comes to the boundary.
    pub async fn victim(&self, fault: Fault) -> Victim {
        let Boundary { point, passes, .. } = &*self.boundary;
        let passes = if *passes > 0 {
            format!("{passes}*off->")
        } else {
            String::new()
        };
        let points = format!("{point}={passes}1*return({})", fault.action());
        let proxy = Proxy::start().await;
        let url = format!("--database-url={}", proxy.url(&self.database));
        let flags = [FLAGS[0], FLAGS[1], url.as_str()];
        let binary = Binary::start_armed(&self.database, &flags, &points).await;
        Victim { binary, proxy }
    }

    /// Starts another process.
    pub async fn another(&self) -> Binary {
        Binary::start_on(&self.database, &FLAGS).await
    }
}
