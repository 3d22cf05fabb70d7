//! Payloads too large to lie beside their event, and files of runs, in chunks.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::Result;
use super::schema::payload_chunks::dsl;
use crate::crash_points::reach;
use crate::ids::RunKey;
use crate::run::event::ChunkKey;

/// The most bytes of one chunk.
pub const CHUNK_BYTES: usize = 256 * 1024;

/// `INSERT` of selected chunks; those that are there stay as they are.
macro_rules! insert {
    ($chunks:expr) => {
        diesel::insert_into(dsl::payload_chunks)
            .values($chunks)
            .into_columns((
                dsl::namespace,
                dsl::run_id,
                dsl::step_path,
                dsl::attempt,
                dsl::epoch,
                dsl::chunk,
                dsl::data,
            ))
            .on_conflict_do_nothing()
    };
}

/// Writes a payload in chunks, before the event that names it.
///
/// A repeated call with the same key and content changes nothing.
///
/// # Errors
///
/// As every query; chunks written before it remain, and harm nobody.
pub async fn write(
    conn: &mut AsyncPgConnection,
    key: &RunKey,
    at: &ChunkKey,
    content: &[u8],
) -> Result<()> {
    for (number, chunk) in (0_i32..).zip(content.chunks(CHUNK_BYTES)) {
        reach(if number == 0 {
            "payload.before"
        } else {
            "payload.between"
        });
        diesel::insert_into(dsl::payload_chunks)
            .values((
                dsl::namespace.eq(key.namespace.as_str()),
                dsl::run_id.eq(key.run_id.uuid()),
                dsl::step_path.eq(&at.path),
                dsl::attempt.eq(i32::try_from(at.attempt).unwrap_or(i32::MAX)),
                dsl::epoch.eq(at.epoch),
                dsl::chunk.eq(number),
                dsl::data.eq(chunk),
            ))
            .on_conflict_do_nothing()
            .execute(conn)
            .await?;
    }
    Ok(())
}

/// Removes all payloads of a run that never came into being.
///
/// # Errors
///
/// As every query.
pub async fn forget(conn: &mut AsyncPgConnection, key: &RunKey) -> Result<()> {
    diesel::delete(
        dsl::payload_chunks
            .filter(dsl::namespace.eq(key.namespace.as_str()))
            .filter(dsl::run_id.eq(key.run_id.uuid())),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// One chunk of a payload, counted from 0; `None` after the last.
///
/// # Errors
///
/// As every query.
pub async fn find_chunk(
    conn: &mut AsyncPgConnection,
    key: &RunKey,
    at: &ChunkKey,
    number: i32,
) -> Result<Option<Vec<u8>>> {
    Ok(dsl::payload_chunks
        .filter(
            dsl::namespace
                .eq(key.namespace.as_str())
                .and(dsl::run_id.eq(key.run_id.uuid())),
        )
        .filter(
            dsl::step_path
                .eq(&at.path)
                .and(dsl::attempt.eq(i32::try_from(at.attempt).unwrap_or(i32::MAX))),
        )
        .filter(dsl::epoch.eq(at.epoch).and(dsl::chunk.eq(number)))
        .select(dsl::data)
        .first(conn)
        .await
        .optional()?)
}

/// A whole payload; empty if there is none.
///
/// # Errors
///
/// As every query.
pub async fn read(conn: &mut AsyncPgConnection, key: &RunKey, at: &ChunkKey) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut number = 0;
    while let Some(chunk) = find_chunk(conn, key, at, number).await? {
        bytes.extend_from_slice(&chunk);
        number += 1;
    }
    Ok(bytes)
}

/// Copies a payload to another place, of the same run or of another one, and gives its size there in bytes: less than
/// the payload's own if that is not there as a whole.
///
/// The bytes stay within the database. A repeated call changes nothing.
///
/// # Errors
///
/// As every query.
pub async fn copy(
    conn: &mut AsyncPgConnection,
    (from, at): (&RunKey, &ChunkKey),
    (to, place): (&RunKey, &ChunkKey),
) -> Result<u64> {
    let attempt = |key: &ChunkKey| i32::try_from(key.attempt).unwrap_or(i32::MAX);
    let chunks = dsl::payload_chunks
        .filter(
            dsl::namespace
                .eq(from.namespace.as_str())
                .and(dsl::run_id.eq(from.run_id.uuid())),
        )
        .filter(
            dsl::step_path
                .eq(&at.path)
                .and(dsl::attempt.eq(attempt(at))),
        )
        .filter(dsl::epoch.eq(at.epoch))
        .select((
            to.namespace.as_str().into_sql::<Text>(),
            to.run_id.uuid().into_sql::<SqlUuid>(),
            place.path.as_str().into_sql::<Text>(),
            attempt(place).into_sql::<Integer>(),
            place.epoch.into_sql::<BigInt>(),
            dsl::chunk,
            dsl::data,
        ));
    insert!(chunks).execute(conn).await?;
    Ok(find_size(conn, to, place).await?.unwrap_or(0))
}

/// The size of a payload in bytes; `None` if there is none.
///
/// # Errors
///
/// As every query.
pub async fn find_size(
    conn: &mut AsyncPgConnection,
    key: &RunKey,
    at: &ChunkKey,
) -> Result<Option<u64>> {
    let bytes: Option<i64> = dsl::payload_chunks
        .filter(
            dsl::namespace
                .eq(key.namespace.as_str())
                .and(dsl::run_id.eq(key.run_id.uuid())),
        )
        .filter(
            dsl::step_path
                .eq(&at.path)
                .and(dsl::attempt.eq(i32::try_from(at.attempt).unwrap_or(i32::MAX))),
        )
        .filter(dsl::epoch.eq(at.epoch))
        .select(diesel::dsl::sql::<Nullable<BigInt>>("sum(length(data))"))
        .first(conn)
        .await?;
    Ok(bytes.and_then(|bytes| u64::try_from(bytes).ok()))
}

/// Copies all payloads of a run whose paths begin so to another run, to the same places.
///
/// The bytes stay within the database. A repeated call changes nothing.
///
/// # Errors
///
/// As every query.
pub async fn copy_below(
    conn: &mut AsyncPgConnection,
    from: &RunKey,
    to: &RunKey,
    begin: &str,
) -> Result<()> {
    let chunks = dsl::payload_chunks
        .filter(
            dsl::namespace
                .eq(from.namespace.as_str())
                .and(dsl::run_id.eq(from.run_id.uuid())),
        )
        .filter(dsl::step_path.like(format!("{begin}%")))
        .select((
            to.namespace.as_str().into_sql::<Text>(),
            to.run_id.uuid().into_sql::<SqlUuid>(),
            dsl::step_path,
            dsl::attempt,
            dsl::epoch,
            dsl::chunk,
            dsl::data,
        ));
    insert!(chunks).execute(conn).await?;
    Ok(())
}
