//! GROW: what history in the tables costs a run.

use synapps::bench::{Call, Prepared, Unit, Workload};
use tokio_postgres::Client;

use crate::Result;
use crate::processes::Spent;
use crate::report::Section;
use crate::settings::{Name, Settings};
use crate::stand::{DATABASE, Stand, pace};

/// How many runs one statement makes.
const BATCH: i64 = 20_000;

/// How many events a long history has.
const MANY: u32 = 10_000_000;

/// A service with so much behind it.
struct Grown {
    label: String,
    stand: Stand,
    load: Prepared,
}

/// W5 with empty tables, with some events in them, and with 10 million if there is time: each on a Postgres
/// of its own, measured in turn, so that the phase of the machine is the same for all.
pub async fn grow(settings: &Settings) -> Result<Section> {
    let mut section = Section::new(Name::Grow);
    let mut sizes = vec![0, settings.events];
    if settings.full {
        sizes.push(MANY);
    } else {
        section.note(format!("{} only with FULL=1", label(MANY)));
    }
    let mut grown = Vec::new();
    for events in sizes {
        let stand = Stand::start(settings).await?;
        let load = Workload::W5.prepare(&stand.clients).await?;
        fill(&stand, &load, events).await?;
        load.warm_up().await?;
        grown.push(Grown {
            label: label(events),
            stand,
            load,
        });
    }

    for _ in 0..settings.pairs {
        section.phase();
        let mut empty = None;
        for one in &grown {
            let ours = one.load.crowd(pace(settings, settings.window())).await?;
            section.add(&one.label, Unit::PerSecond, ours.throughput());
            if let Some(empty) = empty {
                let share = 100.0 * ours.throughput() / empty;
                section.add(&one.against_empty(), Unit::Percent, share);
            }
            empty.get_or_insert(ours.throughput());
        }
    }
    // The cost of reading and writing one more run, apart from what comes and goes with throughput.
    for one in &grown {
        let services = [&one.stand.service];
        let before = Spent::so_far(&one.stand.cluster, &services).await?;
        let ours = one.load.single(settings.single_window()).await?;
        let after = Spent::so_far(&one.stand.cluster, &services).await?;
        let cost = after.since(&before, &one.stand.cluster).await?;
        let runs = ours.throughput() * ours.window.as_secs_f64();
        let name = format!("{}, p50 of one client", one.label);
        section.add(&name, Unit::Millis, ours.latencies.percentile_ms(50));
        let name = format!("{}, WAL a run", one.label);
        section.add(&name, Unit::Bytes, cost.wal_bytes / runs);
    }

    for one in grown.iter().skip(1) {
        section.at_least(&one.against_empty(), 90.0);
    }
    for one in grown {
        one.load.remove().await?;
        one.stand.stop().await?;
    }
    Ok(section)
}

impl Grown {
    /// The row of its throughput by that with empty tables.
    fn against_empty(&self) -> String {
        format!("{} / none", self.label)
    }
}

/// So many events in words.
fn label(events: u32) -> String {
    match events {
        0 => "no events".to_owned(),
        millions if millions % 1_000_000 == 0 => format!("{} M events", millions / 1_000_000),
        _ => format!("{events} events"),
    }
}

/// Copies an ended run, row for row, until there are so many events more.
async fn fill(stand: &Stand, load: &Prepared, events: u32) -> Result<()> {
    if events == 0 {
        return Ok(());
    }
    let call = Call::execute(load.flow_id());
    call.make(&mut stand.clients.runs(0)).await?;
    let client = stand.cluster.connect(DATABASE).await?;
    let row = client
        .query_one("SELECT count(*) FROM run_events", &[])
        .await?;
    let each: i64 = row.get(0);
    // Rounded up: the last one need not be full.
    let runs = (i64::from(events) + each - 1) / each;
    for table in ["workflow_runs", "run_events"] {
        // The original apart, so that no copy of a copy is made.
        let keep = format!("CREATE TEMPORARY TABLE one_of_{table} AS SELECT * FROM {table}");
        client.batch_execute(&keep).await?;
        let copy = copy_of(&client, table).await?;
        let mut first = 0;
        while first < runs {
            let next = (first + BATCH).min(runs);
            client.execute(&copy, &[&first, &(next - 1)]).await?;
            first = next;
        }
    }
    let row = client
        .query_one("SELECT count(*) FROM run_events", &[])
        .await?;
    let there: i64 = row.get(0);
    if there < i64::from(events) {
        return Err(format!("{there} events are in the table, not {events}").into());
    }
    // What happens by itself in a database of that age.
    client.batch_execute("VACUUM ANALYZE").await?;
    client.batch_execute("CHECKPOINT").await?;
    Ok(())
}

/// The statement that copies the one run of a table, with all columns it has, once for each number from $1 to $2.
///
/// The ids are UUIDs of version 7, spread over the half hour before: they lie in the partition that is in use, behind
/// one another as real ones do.
async fn copy_of(client: &Client, table: &str) -> Result<String> {
    let rows = client
        .query(
            "SELECT column_name::text FROM information_schema.columns WHERE table_schema = 'public' AND table_name = $1 \
             AND is_generated = 'NEVER' AND column_name <> 'run_id' ORDER BY ordinal_position",
            &[&table],
        )
        .await?;
    let columns: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let columns = columns.join(", ");
    Ok(format!(
        "INSERT INTO {table} (run_id, {columns}) SELECT (lpad(to_hex((extract(epoch FROM now() - interval '32 minutes') * \
         1000)::bigint + number % 1800000), 12, '0') || '7' || substr(md5(number::text), 1, 3) || '8' || \
         substr(md5(number::text), 4, 15))::uuid, {columns} \
         FROM generate_series($1::bigint, $2::bigint) number, one_of_{table}"
    ))
}
