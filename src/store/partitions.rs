//! The partitions of history: each holds the runs that were accepted in one span of time.
//!
//! They are made ahead of time, at start and by the tick. A run id is a UUIDv7, so a span of time is a span of ids.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use tracing::info;
use uuid::Uuid;

use super::runs::first_id_at;
use super::{Error, Result};

/// The tables that are partitioned, and how the parts of each are stored. Rows of `workflow_runs` are updated in place,
/// which needs room in their pages.
const TABLES: [(&str, &str); 3] = [
    ("workflow_runs", " WITH (fillfactor = 70)"),
    ("run_events", ""),
    ("payload_chunks", ""),
];

/// How many spans are made ahead of the current one.
const AHEAD: i32 = 2;

/// Any number, the same in all versions: only one process makes partitions at a time.
const LOCK: i64 = 0x0073_796e_6170_7073;

#[derive(QueryableByName)]
struct Bound {
    #[diesel(sql_type = Text)]
    bound: String,
}

/// Makes the partitions that runs accepted at `now`, and in the two spans after, will need; gives how many it made.
///
/// Spans follow one another without gaps, so that `width` may be changed at any time. Another process that does the
/// same at the same time makes this one wait.
///
/// # Errors
///
/// As every query: above all where a lock on a table cannot be had within two seconds, which passes.
pub async fn ensure(
    conn: &mut AsyncPgConnection,
    now: DateTime<Utc>,
    width: Duration,
) -> Result<usize> {
    let width = TimeDelta::from_std(width)
        .map_err(|error| Error::Corrupt(format!("width of a partition: {error}")))?;
    let mut made = 0;
    for (table, storage) in TABLES {
        made += conn
            .transaction(async |conn| {
                conn.batch_execute(&format!(
                    "SET LOCAL lock_timeout = '2s'; SELECT pg_advisory_xact_lock({LOCK})"
                ))
                .await?;
                let until = now + width * AHEAD;
                let mut start = match newest_end(conn, table).await? {
                    Some(end) => end.max(aligned(now, width)),
                    // A clock that is a little behind still finds a place.
                    None => aligned(now - TimeDelta::hours(1), width),
                };
                let mut made = 0;
                while start <= until {
                    attach(conn, table, storage, start, start + width).await?;
                    start += width;
                    made += 1;
                }
                Ok::<_, Error>(made)
            })
            .await?;
    }
    if made > 0 {
        info!(partitions.made = made, "partitions of history were made");
    }
    Ok(made)
}

/// The end of the newest span of a table.
async fn newest_end(conn: &mut AsyncPgConnection, table: &str) -> Result<Option<DateTime<Utc>>> {
    let bounds: Vec<Bound> = diesel::sql_query(
        "SELECT pg_get_expr(c.relpartbound, c.oid) AS bound FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
         WHERE i.inhparent = to_regclass($1)",
    )
    .bind::<Text, _>(table)
    .load(conn)
    .await?;
    bounds
        .iter()
        .map(|bound| end_of(&bound.bound))
        .try_fold(None, |newest, end| Ok(newest.max(Some(end?))))
}

/// The time in `FOR VALUES FROM ('…') TO ('…')`.
fn end_of(bound: &str) -> Result<DateTime<Utc>> {
    let unknown = || Error::Corrupt(format!("bound of a partition: {bound}"));
    let id = bound.rsplit('\'').nth(1).ok_or_else(unknown)?;
    let id = Uuid::try_parse(id).map_err(|_| unknown())?;
    let millis = i64::try_from(id.as_u128() >> 80).map_err(|_| unknown())?;
    DateTime::from_timestamp_millis(millis).ok_or_else(unknown)
}

/// Adds one span as a plain table first: attaching it then takes a short lock only.
async fn attach(
    conn: &mut AsyncPgConnection,
    table: &str,
    storage: &str,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<()> {
    // Names and bounds are made here, of fixed texts and times.
    let name = format!("{table}_p{}", from.format("%Y%m%d%H%M"));
    conn.batch_execute(&format!(
        "CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS){storage}; \
         ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{}') TO ('{}')",
        first_id_at(from),
        first_id_at(to)
    ))
    .await?;
    Ok(())
}

/// The start of the span of this width that `time` lies in.
fn aligned(time: DateTime<Utc>, width: TimeDelta) -> DateTime<Utc> {
    let width = width.num_milliseconds().max(1);
    let millis = time.timestamp_millis();
    DateTime::from_timestamp_millis(millis - millis.rem_euclid(width)).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_span_is_read_from_its_bound() {
        let end = DateTime::from_timestamp_millis(1_800_000_000_000).expect("a time");
        let bound = format!(
            "FOR VALUES FROM ('{}') TO ('{}')",
            Uuid::nil(),
            first_id_at(end)
        );

        assert_eq!(end_of(&bound).expect("a bound"), end);
        assert!(end_of("DEFAULT").is_err());
    }
}
