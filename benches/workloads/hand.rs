//! HAND: what a careful programmer would write who needs each step durable, in SQL, run by `pgbench`.
//!
//! No engine and no gRPC. A run is six commits: one inserts it with its document, then five times one statement moves
//! the run on and inserts the step. The rows of steps hold what the transforms of W5 make.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use synapps::bench::order_text;
use synapps::config::search_path;
use synapps::postgres::PrivateCluster;
use synapps::postgres::programs::Programs;
use tempfile::NamedTempFile;
use tokio::process::Command;

use crate::Result;

/// A database of its own in the cluster that the service uses too.
const DATABASE: &str = "hand";

/// Rows of runs are updated in place, which needs room in their pages: as the service has it.
const TABLES: &str = "CREATE TABLE IF NOT EXISTS runs (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, state text NOT NULL, \
    step integer NOT NULL, document json NOT NULL, created_at timestamptz NOT NULL DEFAULT now(), \
    updated_at timestamptz NOT NULL DEFAULT now()) WITH (fillfactor = 70); \
    CREATE TABLE IF NOT EXISTS steps (run_id bigint NOT NULL, step integer NOT NULL, output json NOT NULL, \
    at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (run_id, step)); \
    CREATE TABLE IF NOT EXISTS orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, document json NOT NULL)";

/// A script that `pgbench` repeats.
pub struct Hand {
    pgbench: PathBuf,
    script: NamedTempFile,
    socket_dir: PathBuf,
}

/// What it says of a round.
#[derive(Clone, Copy, Debug)]
pub struct Said {
    /// Scripts a second, without the time to connect.
    pub throughput: f64,
    /// How long one took on average, in ms.
    pub mean_ms: f64,
}

impl Hand {
    /// Runs of six commits.
    pub async fn runs(cluster: &PrivateCluster) -> Result<Self> {
        let mut script = vec![format!(
            "INSERT INTO runs (state, step, document) VALUES ('RUNNING', 0, '{}') RETURNING id \\gset\n",
            order_text()
        )];
        for (step, name) in ["start", "t1", "t2", "t3", "end"].iter().enumerate() {
            let state = if *name == "end" {
                "SUCCEEDED"
            } else {
                "RUNNING"
            };
            script.push(format!(
                "WITH run AS (UPDATE runs SET state = '{state}', step = {step}, updated_at = now() WHERE id = :id RETURNING id) \
                 INSERT INTO steps (run_id, step, output) SELECT id, {step}, '\"A-1000247 is past {name}\"' FROM run;\n"
            ));
        }
        Self::prepare(cluster, &script.concat()).await
    }

    /// Single rows of about 300 bytes, a commit each.
    pub async fn rows(cluster: &PrivateCluster) -> Result<Self> {
        let order = order_text();
        let script = format!("INSERT INTO orders (document) VALUES ('{order}');\n");
        Self::prepare(cluster, &script).await
    }

    async fn prepare(cluster: &PrivateCluster, text: &str) -> Result<Self> {
        let server = Programs::find(&search_path(), Some(cluster.version().major))?.postgres;
        let pgbench = server.with_file_name("pgbench");
        if !pgbench.is_file() {
            let missing = "is missing: it comes with the packages postgresql or postgresql-contrib";
            return Err(format!("{} {missing}", pgbench.display()).into());
        }
        cluster.ensure_database(DATABASE).await?;
        cluster
            .connect(DATABASE)
            .await?
            .batch_execute(TABLES)
            .await?;
        let mut script = NamedTempFile::new()?;
        script.write_all(text.as_bytes())?;
        Ok(Self {
            pgbench,
            script,
            socket_dir: cluster.socket_dir().to_owned(),
        })
    }

    /// So many clients for so long (whole seconds, at least one), each its next script when the one before is durable.
    pub async fn round(&self, clients: u16, window: Duration) -> Result<Said> {
        let threads = clients.min(2);
        let output = Command::new(&self.pgbench)
            .args(["--no-vacuum", "--protocol=prepared", "--username=synapps"])
            .arg(format!("--client={clients}"))
            .arg(format!("--jobs={threads}"))
            .arg(format!("--time={}", window.as_secs().max(1)))
            .arg(format!("--file={}", self.script.path().display()))
            .arg(format!("--host={}", self.socket_dir.display()))
            .arg(DATABASE)
            .kill_on_drop(true)
            .output()
            .await?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            return Err(format!("pgbench failed: {}", errors.trim()).into());
        }
        Ok(Said {
            throughput: number(&text, "tps = ")?,
            mean_ms: number(&text, "latency average = ")?,
        })
    }
}

/// The number behind these words.
fn number(text: &str, words: &str) -> Result<f64> {
    let unknown = || format!("pgbench does not say {words:?}: {text}");
    let behind = text.split_once(words).ok_or_else(unknown)?.1;
    let number = behind.split_whitespace().next().ok_or_else(unknown)?;
    Ok(number.parse()?)
}
