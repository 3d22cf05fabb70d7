//! How a connection comes to be: address, TLS, session settings.

use std::fmt;
use std::time::Duration;

use diesel_async::AsyncPgConnection;
use tokio_postgres::{Client, Config, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::sync::CancellationToken;

use super::{Error, Result, Settings, preflight, tls};

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
        Ok(Self {
            config,
            tls: tls::connector(&mode)?,
            session: session(settings),
        })
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
    pub(super) async fn client(&self) -> Result<(Client, CancellationToken)> {
        let (client, wire) = self.bare().await?;
        let ended = drive(wire);
        client.batch_execute(&self.session).await?;
        Ok((client, ended))
    }

    /// The same for diesel.
    pub(super) async fn watched(&self) -> Result<(AsyncPgConnection, CancellationToken)> {
        let (client, ended) = self.client().await?;
        let diesel = AsyncPgConnection::try_from(client)
            .await
            .map_err(connection_error)?;
        Ok((diesel, ended))
    }

    /// The same for diesel, with the notifications that arrive.
    pub(super) async fn diesel(&self) -> Result<AsyncPgConnection> {
        use diesel_async::SimpleAsyncConnection;

        let (client, wire) = self.bare().await?;
        let mut diesel = AsyncPgConnection::try_from_client_and_connection(client, wire)
            .await
            .map_err(connection_error)?;
        diesel.batch_execute(&self.session).await?;
        Ok(diesel)
    }
}

/// Reads the socket until the server or the client ends the connection; the token says that it has ended.
///
/// The task needs no hand to stop it: it ends when its [`Client`] is dropped.
fn drive(wire: Wire) -> CancellationToken {
    let ended = CancellationToken::new();
    let guard = ended.clone().drop_guard();
    tokio::spawn(async move {
        if let Err(error) = wire.await {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "a connection to the database has ended"
            );
        }
        drop(guard);
    });
    ended
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
/// granted), because [`Error`] has to know some of them.
fn session(settings: &Settings) -> String {
    format!(
        "SET TimeZone = 'UTC'; \
         SET statement_timeout = {}; \
         SET lock_timeout = {}; \
         SET idle_in_transaction_session_timeout = {}; \
         SELECT set_config('lc_messages', 'C', false) \
         WHERE has_parameter_privilege('lc_messages', 'SET');",
        settings.statement_timeout.as_millis(),
        settings.lock_timeout.as_millis(),
        settings.idle_in_transaction_timeout.as_millis(),
    )
}
