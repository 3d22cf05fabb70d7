//! A connection that tells why a statement failed, to the letter of the SQLSTATE.
//!
//! diesel says how a statement is written and its values are encoded; `tokio_postgres` sends it. So a lane takes the
//! same [`QueryFragment`]s as a connection of the pool, and its errors keep what diesel-async drops: after a failed
//! flush the journal has to tell a bad row (classes 22, 23) from a deadlock, a full disk, a standby and a cut
//! connection.

use std::collections::HashMap;
use std::time::Duration;

use bytes::BytesMut;
use diesel::pg::{Pg, PgMetadataLookup, PgQueryBuilder, PgTypeMetadata};
use diesel::query_builder::bind_collector::RawBytesBindCollector;
use diesel::query_builder::{QueryBuilder, QueryFragment};
use tokio::time::Instant;
use tokio_postgres::types::{Format, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Row, Statement};

use super::dial::{Dialer, Line};
use super::{Error, Result};

/// A connection outside the pool, with its own prepared statements and generic plans.
///
/// One statement at a time: the journal has one flush in flight per lane.
///
/// An answer that does not come in time is not waited for: the connection counts as lost then.
#[derive(Debug)]
pub struct Lane {
    client: Client,
    line: Line,
    answer_timeout: Duration,
    /// An answer is under way that nobody waits for any more.
    is_behind: bool,
    statements: HashMap<String, Prepared>,
}

/// A statement that the server knows.
#[derive(Debug)]
struct Prepared {
    statement: Statement,
    since: Instant,
}

/// How long a plan serves: it is made of what the server knows of the tables at the time, which may be nothing.
const PLAN_TIME: Duration = Duration::from_secs(15);

/// How a lane's statements are planned.
///
/// Generic plans: a custom plan costs five times as much on partitioned tables. All that a lane asks for is found by the
/// keys of what it was given, so a plan that reads more than that is wrong, however small a table looks that it was made
/// for: each entry of an index that is read counts as much as a page, and ways that read tables whole are barred.
const PLANNING: &str = "SET plan_cache_mode = force_generic_plan; SET jit = off; \
    SET cpu_index_tuple_cost = 1; SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_mergejoin = off";

impl Lane {
    /// Connects. A lock is waited for no longer than half the time of an answer, so that the server says what it waits
    /// for.
    pub(super) async fn open(dialer: &Dialer) -> Result<Self> {
        let (client, line) = dialer.client().await?;
        let mut lane = Self {
            client,
            line,
            answer_timeout: dialer.answer_timeout,
            is_behind: false,
            statements: HashMap::new(),
        };
        let lock_timeout = dialer.lock_timeout;
        lane.in_time(async |lane| {
            let patience = lock_timeout.min(lane.answer_timeout / 2).as_millis();
            let session = format!("{PLANNING}; SET lock_timeout = {patience}");
            Ok(lane.client.batch_execute(&session).await?)
        })
        .await?;
        Ok(lane)
    }

    /// Runs a statement in a transaction of its own and gives the number of rows it touched.
    ///
    /// # Errors
    ///
    /// [`Error::class`] says what may be done now; the connection is of no use after [`Class::Lost`](super::Class).
    pub async fn execute(&mut self, query: &(impl QueryFragment<Pg> + Sync)) -> Result<u64> {
        let query = Encoded::of(query)?;
        self.in_time(async |lane| {
            let (statement, binds) = lane.prepared(query).await?;
            Ok(lane.client.execute_raw(&statement, binds).await?)
        })
        .await
    }

    /// Runs a statement in a transaction of its own and gives its rows.
    ///
    /// # Errors
    ///
    /// As for [`Lane::execute`].
    pub async fn load(&mut self, query: &(impl QueryFragment<Pg> + Sync)) -> Result<Vec<Row>> {
        self.load_encoded(Encoded::of(query)?).await
    }

    /// The same of a statement that is encoded already.
    ///
    /// # Errors
    ///
    /// As for [`Lane::execute`].
    pub async fn load_encoded(&mut self, query: Encoded) -> Result<Vec<Row>> {
        use futures_util::TryStreamExt;

        self.in_time(async |lane| {
            let (statement, binds) = lane.prepared(query).await?;
            let rows = lane.client.query_raw(&statement, binds).await?;
            Ok(rows.try_collect().await?)
        })
        .await
    }

    /// Whether the connection is of no use any more: it has ended, or an answer on it was given up.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.is_behind || self.line.has_ended()
    }

    /// Does what asks the server something, and gives it up when the answer does not come in time.
    async fn in_time<T>(&mut self, asking: impl AsyncFnOnce(&mut Self) -> Result<T>) -> Result<T> {
        // Stays set where the caller drops this, too.
        self.is_behind = true;
        let answered = tokio::time::timeout(self.answer_timeout, asking(self)).await;
        let answer = answered.map_err(|_| Error::no_answer("a statement of the journal"))?;
        self.is_behind = false;
        answer
    }

    /// The statement, prepared at its first use and now and then; statements are told apart by their text, so the text
    /// must not hold values.
    async fn prepared(&mut self, query: Encoded) -> Result<(Statement, Vec<Bind>)> {
        let Encoded { sql, types, binds } = query;
        let known = self.statements.get(&sql);
        let known = known.filter(|known| known.since.elapsed() < PLAN_TIME);
        let statement = if let Some(known) = known {
            known.statement.clone()
        } else {
            let types = types.iter().map(type_of).collect::<Result<Vec<_>>>()?;
            let statement = self.client.prepare_typed(&sql, &types).await?;
            let prepared = Prepared {
                statement: statement.clone(),
                since: Instant::now(),
            };
            self.statements.insert(sql, prepared);
            statement
        };
        Ok((statement, binds.into_iter().map(Bind).collect()))
    }
}

/// A statement as it is sent: its text, and its values as diesel encodes them.
#[derive(Debug)]
pub struct Encoded {
    sql: String,
    types: Vec<PgTypeMetadata>,
    binds: Vec<Option<Vec<u8>>>,
}

impl Encoded {
    /// This statement.
    ///
    /// # Errors
    ///
    /// If a value cannot be encoded.
    pub fn of(query: &impl QueryFragment<Pg>) -> Result<Self> {
        let mut builder = PgQueryBuilder::default();
        query.to_sql(&mut builder, &Pg)?;
        let mut collector = RawBytesBindCollector::<Pg>::new();
        query.collect_binds(&mut collector, &mut BuiltIn, &Pg)?;
        Ok(Self {
            sql: builder.finish(),
            types: collector.metadata,
            binds: collector.binds,
        })
    }

    /// What its values take, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.binds.iter().flatten().map(Vec::len).sum()
    }
}

/// A value as diesel has encoded it.
#[derive(Debug)]
struct Bind(Option<Vec<u8>>);

impl ToSql for Bind {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        Ok(match &self.0 {
            Some(bytes) => {
                out.extend_from_slice(bytes);
                IsNull::No
            }
            None => IsNull::Yes,
        })
    }

    // diesel gave the type together with the bytes, so whatever it is, it fits.
    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Binary
    }

    to_sql_checked!();
}

fn type_of(metadata: &PgTypeMetadata) -> Result<Type> {
    metadata
        .oid()
        .ok()
        .and_then(Type::from_oid)
        .ok_or_else(|| Error::Corrupt("a lane knows only the types built into Postgres".to_owned()))
}

/// Looks up no type: the schema uses only those that are built in, whose numbers diesel knows.
struct BuiltIn;

impl PgMetadataLookup for BuiltIn {
    fn lookup_type(&mut self, name: &str, schema: Option<&str>) -> PgTypeMetadata {
        let _ = (name, schema);
        PgTypeMetadata::new(0, 0)
    }
}
