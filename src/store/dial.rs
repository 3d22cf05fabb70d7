//! How a connection comes to be: address, TLS, session settings; and how it is given up.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use diesel_async::AsyncPgConnection;
use tokio_postgres::{Client, Config, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Class, Error, Result, Settings, preflight, tls};

/// How long a connection that nobody needs any more may take to take its leave of the server.
const FAREWELL: Duration = Duration::from_secs(1);

/// What reads and writes the socket of a [`Client`].
pub(super) type Wire = tokio_postgres::Connection<
    Socket,
    <MakeRustlsConnect as tokio_postgres::tls::MakeTlsConnect<Socket>>::Stream,
>;

/// Makes connections.
pub(super) struct Dialer {
    config: Config,
    tls: MakeRustlsConnect,
    session: String,
    /// The longest that connecting takes, session settings and all.
    timeout: Duration,
    /// How long a [`Lane`](super::lane::Lane) waits for an answer.
    pub(super) answer_timeout: Duration,
    /// The longest that a statement may wait for a lock.
    pub(super) lock_timeout: Duration,
    /// Raised where older connections are not to be used again.
    generation: AtomicU64,
    /// Ends all connections that were made since it was renewed last.
    cut: Mutex<CancellationToken>,
}

/// The task that reads and writes the socket of a [`Client`]. It ends with this.
#[derive(Debug)]
pub(super) struct Line {
    ended: CancellationToken,
    generation: u64,
    _left: DropGuard,
}

impl Line {
    /// Whether the connection has ended, as far as its socket has told.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }
}

impl fmt::Debug for Dialer {
    /// Leaves out what the URL says, because it may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer").finish_non_exhaustive()
    }
}

impl Dialer {
    /// Reads the URL and what it names (root certificates), without connecting.
    pub(super) fn new(settings: &Settings) -> Result<Self, preflight::Error> {
        let tls::Url { mut config, mode } = tls::split(&settings.url)?;
        if config.get_application_name().is_none() {
            config.application_name("synapps");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(settings.wait_timeout.max(Duration::from_secs(1)));
        }
        // A peer that is gone without a word is noticed by the kernel in half a minute rather than in two hours.
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(Duration::from_secs(30));
        }
        if config.get_keepalives_idle() == Duration::from_hours(2) {
            config.keepalives_idle(Duration::from_secs(15));
        }
        if config.get_keepalives_interval().is_none() {
            config.keepalives_interval(Duration::from_secs(5));
        }
        if config.get_keepalives_retries().is_none() {
            config.keepalives_retries(3);
        }
        Ok(Self {
            config,
            tls: tls::connector(&mode)?,
            session: session(settings),
            timeout: settings.wait_timeout.max(Duration::from_secs(1)),
            answer_timeout: settings.answer_timeout,
            lock_timeout: settings.lock_timeout,
            generation: AtomicU64::new(0),
            cut: Mutex::default(),
        })
    }

    /// From now on no connection is used again that was made before: it may lead to a server that is no primary any
    /// more. Those in use are left alone.
    pub(super) fn distrust(&self) {
        self.generation.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends all connections at once, with whatever waits for an answer on them; new ones can be made.
    pub(super) fn cut_all(&self) {
        self.distrust();
        let mut cut = self.cut.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *cut).cancel();
    }

    /// Whether a connection may be used again.
    pub(super) fn trusts(&self, line: &Line) -> bool {
        !line.has_ended() && line.generation == self.generation.load(Ordering::Relaxed)
    }

    /// The address, user and database, without the password: for messages.
    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// A connection as the server gives it, before any session setting.
    pub(super) async fn bare(&self) -> Result<(Client, Wire), tokio_postgres::Error> {
        self.config.connect(self.tls.clone()).await
    }

    /// A connection with its session settings, whose socket a task of ours reads until it ends.
    pub(super) async fn client(&self) -> Result<(Client, Line)> {
        let connecting = async {
            let (client, wire) = self.bare().await?;
            let line = self.drive(wire);
            client.batch_execute(&self.session).await?;
            Ok((client, line))
        };
        self.bounded(connecting).await
    }

    /// The same for diesel.
    pub(super) async fn watched(&self) -> Result<(AsyncPgConnection, Line)> {
        let (client, line) = self.client().await?;
        let preparing = async {
            AsyncPgConnection::try_from(client)
                .await
                .map_err(connection_error)
        };
        Ok((self.bounded(preparing).await?, line))
    }

    /// The same for diesel, with the notifications that arrive.
    pub(super) async fn diesel(&self) -> Result<AsyncPgConnection> {
        use diesel_async::SimpleAsyncConnection;

        let connecting = async {
            let (client, wire) = self.bare().await?;
            let mut diesel = AsyncPgConnection::try_from_client_and_connection(client, wire)
                .await
                .map_err(connection_error)?;
            diesel.batch_execute(&self.session).await?;
            Ok(diesel)
        };
        self.bounded(connecting).await
    }

    /// Makes a connection in its time; whatever keeps it from coming about, there is none.
    pub(super) async fn bounded<T>(
        &self,
        connecting: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let made = tokio::time::timeout(self.timeout, connecting).await;
        let made = made.unwrap_or_else(|_| Err(Error::no_answer("a new connection")));
        made.map_err(|error| match error.class() {
            Class::Lost | Class::Again | Class::Refusing => error,
            Class::BadRow | Class::Other => error.into_unavailable(),
        })
    }

    /// Reads the socket until the server or the client ends the connection, or all are cut.
    fn drive(&self, wire: Wire) -> Line {
        let (ended, left) = (CancellationToken::new(), CancellationToken::new());
        let cut = self
            .cut
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let line = Line {
            ended: ended.clone(),
            generation: self.generation.load(Ordering::Relaxed),
            _left: left.clone().drop_guard(),
        };
        let guard = ended.drop_guard();
        tokio::spawn(async move {
            let mut wire = std::pin::pin!(wire);
            tokio::select! {
                end = &mut wire => if let Err(error) = end {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "a connection to the database has ended"
                    );
                },
                () = cut.cancelled() => tracing::debug!("a connection to the database was cut"),
                () = left.cancelled() => {
                    // A server that does not answer would be waited for as long as the network lets it be.
                    drop(tokio::time::timeout(FAREWELL, &mut wire).await);
                }
            }
            drop(guard);
        });
        line
    }
}

fn connection_error(error: diesel::ConnectionError) -> Error {
    match error {
        diesel::ConnectionError::CouldntSetupConfiguration(error) => error.into(),
        other => Error::unavailable(other.to_string()),
    }
}

/// One round trip that makes a session ours.
///
/// Messages are asked for in English where the role may choose (from Postgres 15 on that is a right that can be
/// granted), because [`Error`] has to know some of them. A server that follows another one is refused: what it says of
/// a run may be old, and a run would be dropped for it.
fn session(settings: &Settings) -> String {
    format!(
        "SET TimeZone = 'UTC'; \
         SET statement_timeout = {}; \
         SET lock_timeout = {}; \
         SET idle_in_transaction_session_timeout = {}; \
         SELECT set_config('lc_messages', 'C', false) \
         WHERE has_parameter_privilege('lc_messages', 'SET'); \
         DO $$ BEGIN IF pg_is_in_recovery() THEN RAISE EXCEPTION \
         'this server follows another one and takes no writes' USING ERRCODE = '25006'; END IF; END $$",
        settings.statement_timeout.as_millis(),
        settings.lock_timeout.as_millis(),
        settings.idle_in_transaction_timeout.as_millis(),
    )
}
