//! CEILING: how many rows a second this Postgres takes at all: plain inserts of 1,000 rows a commit, four connections.

use std::time::{Duration, Instant};

use synapps::bench::figures::rate;
use synapps::bench::order_text;
use synapps::postgres::PrivateCluster;
use tokio::task::JoinSet;
use tokio_postgres::Client;

use crate::Result;

const DATABASE: &str = "ceiling";

const TABLE: &str = "CREATE TABLE IF NOT EXISTS rows (id bigint GENERATED ALWAYS AS IDENTITY, document json NOT NULL)";

const INSERT: &str =
    "INSERT INTO rows (document) SELECT document::json FROM unnest($1::text[]) AS given (document)";

/// Rows of one commit.
const ROWS: usize = 1_000;

/// How many connections insert at once.
const CONNECTIONS: usize = 4;

/// Connections to a table that nothing else is done with.
pub struct Ceiling {
    clients: Vec<std::sync::Arc<Client>>,
}

impl Ceiling {
    /// Makes the table and connects.
    pub async fn prepare(cluster: &PrivateCluster) -> Result<Self> {
        cluster.ensure_database(DATABASE).await?;
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            clients.push(std::sync::Arc::new(cluster.connect(DATABASE).await?));
        }
        clients[0].batch_execute(TABLE).await?;
        Ok(Self { clients })
    }

    /// Inserts for so long, and gives rows a second.
    pub async fn round(&self, window: Duration) -> Result<f64> {
        let until = Instant::now() + window;
        let mut tasks = JoinSet::new();
        for client in &self.clients {
            let client = std::sync::Arc::clone(client);
            tasks.spawn(async move {
                let document = order_text();
                let documents = vec![document.as_str(); ROWS];
                let insert = client.prepare(INSERT).await?;
                let mut rows = 0;
                loop {
                    client.execute(&insert, &[&documents]).await?;
                    if Instant::now() > until {
                        return Ok::<_, tokio_postgres::Error>(rows);
                    }
                    rows += ROWS;
                }
            });
        }
        let mut rows = 0;
        while let Some(done) = tasks.join_next().await {
            rows += done??;
        }
        // Room for the next round: this is much more than what the others write.
        self.clients[0].batch_execute("TRUNCATE rows").await?;
        Ok(rate(rows, window))
    }
}
