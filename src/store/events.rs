//! The journal, read: events of one run in order.

use chrono::{DateTime, Utc};
use diesel::deserialize::{self, FromSql};
use diesel::pg::{Pg, PgValue};
use diesel::prelude::*;
use diesel::sql_types::{Json, Nullable};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::schema::run_events::dsl;
use super::{Error, Result};
use crate::ids::RunKey;
use crate::run::event::{Event, Recorded};

/// JSON as its text, not parsed.
#[derive(Debug, diesel::deserialize::FromSqlRow)]
struct JsonText(String);

impl FromSql<Json, Pg> for JsonText {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(std::str::from_utf8(value.as_bytes())?.to_owned()))
    }
}

type Row = (i64, DateTime<Utc>, String, JsonText, Option<JsonText>);

/// Whether payloads are read with their events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payloads {
    /// Only what the events say of them.
    Left,
    /// Those that lie beside their events.
    Read,
}

/// At most `limit` events after `after`, oldest first.
///
/// Only what is committed is seen, without gaps: a run has one writer at a time.
///
/// # Errors
///
/// [`Error::Corrupt`] for an event that this binary cannot read; else as every query.
pub async fn page(
    conn: &mut AsyncPgConnection,
    key: &RunKey,
    after: i64,
    limit: i64,
    payloads: Payloads,
) -> Result<Vec<Recorded>> {
    let query = dsl::run_events
        .filter(
            dsl::namespace
                .eq(key.namespace.as_str())
                .and(dsl::run_id.eq(key.run_id.uuid())),
        )
        .filter(dsl::sequence.gt(after))
        .order(dsl::sequence)
        .limit(limit);
    let rows: Vec<Row> = match payloads {
        Payloads::Read => {
            query
                .select((dsl::sequence, dsl::at, dsl::kind, dsl::data, dsl::payload))
                .load(conn)
                .await?
        }
        Payloads::Left => {
            let none = diesel::dsl::sql::<Nullable<Json>>("NULL::json");
            query
                .select((dsl::sequence, dsl::at, dsl::kind, dsl::data, none))
                .load(conn)
                .await?
        }
    };
    rows.into_iter()
        .map(|(sequence, at, kind, data, payload)| {
            let event = Event::decode(&kind, &data.0).map_err(|problem| {
                Error::Corrupt(format!("event {sequence} of run {key}: {problem}"))
            })?;
            Ok(Recorded {
                sequence,
                at,
                event,
                payload: payload.map(|text| text.0.into()),
            })
        })
        .collect()
}

/// How many events are read at once where all of a run are wanted.
const PAGE: i64 = 1_000;

/// All events of a run up to `last`, without payloads: what a run is folded from.
///
/// # Errors
///
/// [`Error::Corrupt`] if they do not reach `last`; else as [`page`].
pub async fn history(
    conn: &mut AsyncPgConnection,
    key: &RunKey,
    last: i64,
) -> Result<Vec<Recorded>> {
    let mut events: Vec<Recorded> = Vec::new();
    loop {
        let reached = events.last().map_or(0, |event| event.sequence);
        let wanted = last - reached;
        if wanted <= 0 {
            return Ok(events);
        }
        let page = page(conn, key, reached, wanted.min(PAGE), Payloads::Left).await?;
        if page.is_empty() {
            return Err(Error::Corrupt(format!(
                "the journal of run {key} ends at {reached}, not at {last}"
            )));
        }
        events.extend(page);
    }
}

/// The payload that lies beside one event.
///
/// # Errors
///
/// As every query.
pub async fn find_payload(
    conn: &mut AsyncPgConnection,
    key: &RunKey,
    sequence: i64,
) -> Result<Option<String>> {
    let text: Option<Option<JsonText>> = dsl::run_events
        .filter(
            dsl::namespace
                .eq(key.namespace.as_str())
                .and(dsl::run_id.eq(key.run_id.uuid())),
        )
        .filter(dsl::sequence.eq(sequence))
        .select(dsl::payload)
        .first(conn)
        .await
        .optional()?;
    Ok(text.flatten().map(|text| text.0))
}

/// The payloads that lie beside these events, by their sequences.
///
/// # Errors
///
/// As every query.
pub async fn payloads(
    conn: &mut AsyncPgConnection,
    key: &RunKey,
    sequences: &[i64],
) -> Result<Vec<(i64, String)>> {
    let rows: Vec<(i64, Option<JsonText>)> = dsl::run_events
        .filter(
            dsl::namespace
                .eq(key.namespace.as_str())
                .and(dsl::run_id.eq(key.run_id.uuid())),
        )
        .filter(dsl::sequence.eq_any(sequences))
        .select((dsl::sequence, dsl::payload))
        .load(conn)
        .await?;
    Ok(rows
        .into_iter()
        .filter_map(|(sequence, text)| Some((sequence, text?.0)))
        .collect())
}

/// One event with its payload.
///
/// # Errors
///
/// As [`page`].
pub async fn find(
    conn: &mut AsyncPgConnection,
    key: &RunKey,
    sequence: i64,
) -> Result<Option<Recorded>> {
    let found = page(conn, key, sequence - 1, 1, Payloads::Read).await?;
    Ok(found
        .into_iter()
        .next()
        .filter(|event| event.sequence == sequence))
}
