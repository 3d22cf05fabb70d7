//! What can go wrong between the service and its database, and what that means for whoever asked.
//!
//! diesel hides the SQLSTATE: diesel-async keeps Postgres' error in a private type and shows only a
//! `DatabaseErrorKind`, which knows eight states, and the message. Connections that must tell more states apart, above
//! all the journal's, are therefore a [`Lane`](super::lane::Lane), which speaks to `tokio_postgres` itself and keeps
//! the state exactly. For all others the kind is used where it says enough, and otherwise the few messages of
//! Postgres that matter, which are asked for in English where the server lets us choose.

use diesel::result::DatabaseErrorKind;
use tokio_postgres::error::SqlState;

use crate::ids::FlowId;

/// Why a call to the store failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no connection: none came free in time, the server does not answer, or it ended the connection. What
    /// was sent last may or may not have been done.
    #[error("the database cannot be reached")]
    Unavailable(#[source] Failure),
    /// A statement took longer than the session allows (SQLSTATE 57014), and nothing of it was done.
    #[error("the database took too long to answer")]
    Timeout(#[source] Failure),
    /// The database refused a statement.
    #[error("the database refused a statement")]
    Database(#[source] Failure),
    /// The service cannot work with this database until somebody changes something.
    #[error(transparent)]
    Setup(#[from] super::preflight::Error),
    /// The database holds what this version does not understand.
    #[error("the database holds what this version does not understand: {0}")]
    Corrupt(String),
    /// The id is taken by another flow of the namespace.
    #[error("flow {0} already exists")]
    FlowExists(FlowId),
    /// No flow of the namespace has this id.
    #[error("flow {0} does not exist")]
    FlowNotFound(FlowId),
    /// The flow exists, but not this revision of it.
    #[error("flow {flow_id} has no revision {revision}: its latest is {latest}")]
    RevisionNotFound {
        /// The flow.
        flow_id: FlowId,
        /// The revision that was asked for.
        revision: i32,
        /// The newest that there is.
        latest: i32,
    },
    /// The name is taken by another secret of the namespace.
    #[error("secret {0} already exists")]
    SecretExists(String),
    /// No secret of the namespace has this name.
    #[error("secret {0} does not exist")]
    SecretNotFound(String),
    /// The secret exists, but not this version of it, or not any more.
    #[error("secret {name} has no version {version}: its latest is {latest}")]
    SecretVersionNotFound {
        /// The secret.
        name: String,
        /// The version that was asked for.
        version: i32,
        /// The newest that there is.
        latest: i32,
    },
    /// The flow was changed by somebody else since the caller read it.
    #[error("flow {flow_id} was changed meanwhile: its etag is {current}, not {given}")]
    EtagMismatch {
        /// The flow.
        flow_id: FlowId,
        /// The etag that the caller sent.
        given: String,
        /// The etag of the flow as it is.
        current: String,
    },
}

/// What a call to the store gives.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the database or the way to it said.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    state: Option<SqlState>,
    constraint: Option<String>,
    message: String,
}

/// What a failure allows whoever wrote: how the journal goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The connection is gone (no SQLSTATE, class 08, 57P01 to 57P05): whether the statement was done is unknown.
    Lost,
    /// Nothing was done, and the same statement may succeed at once: 40P01, 40001, 55P03, 57014.
    Again,
    /// The data itself is refused (classes 22, 23 and 54): the same statement fails again.
    BadRow,
    /// Nothing was done, and the server takes no writes now (25006, classes 53 and 58): the same statement may succeed
    /// later.
    Refusing,
    /// Anything else: a bug, a missing right, a table that somebody has dropped. Nothing was done.
    Other,
}

impl Error {
    /// Postgres' five characters, where they are known: always for a failure of a [`Lane`](super::lane::Lane).
    #[must_use]
    pub fn sql_state(&self) -> Option<&str> {
        self.failure().and_then(Failure::sql_state)
    }

    /// What the failure allows; [`Class::Other`] for what did not come from the database.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Unavailable(_) => Class::Lost,
            Self::Timeout(failure) | Self::Database(failure) => failure.class(),
            Self::Setup(_)
            | Self::Corrupt(_)
            | Self::FlowExists(_)
            | Self::FlowNotFound(_)
            | Self::RevisionNotFound { .. }
            | Self::SecretExists(_)
            | Self::SecretNotFound(_)
            | Self::SecretVersionNotFound { .. }
            | Self::EtagMismatch { .. } => Class::Other,
        }
    }

    /// Name of the constraint that was violated, if one was.
    #[must_use]
    pub fn constraint(&self) -> Option<&str> {
        self.failure().and_then(|f| f.constraint.as_deref())
    }

    fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Unavailable(failure) | Self::Timeout(failure) | Self::Database(failure) => {
                Some(failure)
            }
            Self::Setup(_)
            | Self::Corrupt(_)
            | Self::FlowExists(_)
            | Self::FlowNotFound(_)
            | Self::RevisionNotFound { .. }
            | Self::SecretExists(_)
            | Self::SecretNotFound(_)
            | Self::SecretVersionNotFound { .. }
            | Self::EtagMismatch { .. } => None,
        }
    }

    /// The database did not answer in time; whether what was asked is done is unknown.
    #[must_use]
    pub fn no_answer(what: &str) -> Self {
        Self::unavailable(format!("{what} was not answered in time"))
    }

    /// The same failure, where it means that there is no connection.
    pub(super) fn into_unavailable(self) -> Self {
        match self {
            Self::Unavailable(failure) | Self::Timeout(failure) | Self::Database(failure) => {
                Self::Unavailable(failure)
            }
            other => other,
        }
    }

    /// No connection could be had.
    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self::Unavailable(Failure {
            state: None,
            constraint: None,
            message: message.into(),
        })
    }
}

impl Failure {
    /// Postgres' five characters, where they are known.
    #[must_use]
    pub fn sql_state(&self) -> Option<&str> {
        self.state.as_ref().map(SqlState::code)
    }

    fn class(&self) -> Class {
        class_of(self.sql_state())
    }

    fn sorted(self) -> Error {
        match self.sql_state() {
            Some("57014") => Error::Timeout(self),
            Some(_) if self.class() == Class::Lost => Error::Unavailable(self),
            _ => Error::Database(self),
        }
    }
}

/// Which class a state belongs to; see <https://www.postgresql.org/docs/15/errcodes-appendix.html>.
fn class_of(state: Option<&str>) -> Class {
    match state {
        None => Class::Other,
        Some("40P01" | "40001" | "55P03" | "57014") => Class::Again,
        Some("25006") => Class::Refusing,
        Some("57P01" | "57P02" | "57P03" | "57P04" | "57P05") => Class::Lost,
        Some(code) => match code.get(..2) {
            Some("08") => Class::Lost,
            Some("22" | "23" | "54") => Class::BadRow,
            // No room, no memory, no connection left; the operating system does not do what the server needs.
            Some("53" | "58") => Class::Refusing,
            _ => Class::Other,
        },
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(db) => Failure {
                state: Some(db.code().clone()),
                constraint: db.constraint().map(str::to_owned),
                message: db.message().to_owned(),
            }
            .sorted(),
            None if is_about_values(&error) => Self::Corrupt(text(&error)),
            // Closed, cut off, or no longer understood: whatever was sent may have been done.
            None => Self::unavailable(text(&error)),
        }
    }
}

impl From<diesel::result::Error> for Error {
    fn from(error: diesel::result::Error) -> Self {
        use diesel::result::Error as Diesel;
        match error {
            Diesel::DatabaseError(kind, information) => {
                let message = information.message().to_owned();
                if message.starts_with("prepared statement ") {
                    // The session is not the one that prepared it.
                    return Self::unavailable(format!("{message}: {POOLER}"));
                }
                let state = match state_of(kind) {
                    Known::State(state) => Some(state),
                    Known::Lost => return Self::unavailable(message),
                    Known::Nothing => state_by_message(&message),
                };
                Failure {
                    state: state.map(SqlState::from_code),
                    constraint: information.constraint_name().map(str::to_owned),
                    message,
                }
                .sorted()
            }
            Diesel::DeserializationError(source) => Self::Corrupt(source.to_string()),
            // The transaction was left in a state that only a new connection heals.
            Diesel::BrokenTransactionManager => {
                Self::unavailable("the transaction was cut off by a lost connection")
            }
            Diesel::RollbackErrorOnCommit { commit_error, .. } => (*commit_error).into(),
            Diesel::NotFound => Self::Corrupt("a row that must exist is missing".to_owned()),
            other => Self::Database(Failure {
                state: None,
                constraint: None,
                message: other.to_string(),
            }),
        }
    }
}

/// What a pooler has to be.
const POOLER: &str = "a pooler in transaction mode mixes up sessions; PgBouncer has to be 1.21 or newer with max_prepared_statements \
                      above 0, or in session mode";

enum Known {
    State(&'static str),
    Lost,
    Nothing,
}

fn state_of(kind: DatabaseErrorKind) -> Known {
    match kind {
        DatabaseErrorKind::UniqueViolation => Known::State("23505"),
        DatabaseErrorKind::ForeignKeyViolation => Known::State("23503"),
        DatabaseErrorKind::RestrictViolation => Known::State("23001"),
        DatabaseErrorKind::ExclusionViolation => Known::State("23P01"),
        DatabaseErrorKind::NotNullViolation => Known::State("23502"),
        DatabaseErrorKind::CheckViolation => Known::State("23514"),
        DatabaseErrorKind::SerializationFailure => Known::State("40001"),
        DatabaseErrorKind::ReadOnlyTransaction => Known::State("25006"),
        // diesel-async says "unable to send" for whatever carries no SQLSTATE, also after sending.
        DatabaseErrorKind::UnableToSendCommand | DatabaseErrorKind::ClosedConnection => Known::Lost,
        _ => Known::Nothing,
    }
}

/// The states that a request must tell apart and that diesel has no kind for, by Postgres' own (English) texts in
/// `src/backend/tcop/postgres.c`, `storage/lmgr/deadlock.c` and `postmaster/postmaster.c`.
fn state_by_message(message: &str) -> Option<&'static str> {
    const TEXTS: [(&str, &str); 13] = [
        ("canceling statement due to lock timeout", "55P03"),
        ("could not obtain lock on", "55P03"),
        ("canceling statement due to", "57014"),
        ("deadlock detected", "40P01"),
        ("terminating connection due to", "57P01"),
        ("terminating connection because of crash", "57P02"),
        ("the database system is", "57P03"),
        ("sorry, too many clients already", "53300"),
        ("remaining connection slots are reserved", "53300"),
        ("too many connections for", "53300"),
        ("could not extend file", "53100"),
        ("out of memory", "53200"),
        ("could not read block", "58030"),
    ];
    // By the C library, behind whatever the server was about to do.
    if message.contains("No space left on device") {
        return Some("53100");
    }
    TEXTS
        .iter()
        .find(|(text, _)| message.starts_with(text))
        .map(|(_, state)| *state)
}

/// Whether a value could not be encoded or decoded, which leaves the connection as it was. `tokio_postgres` keeps the
/// kind to itself, so its own texts (`src/error/mod.rs`) decide.
fn is_about_values(error: &tokio_postgres::Error) -> bool {
    const TEXTS: [&str; 6] = [
        "error serializing parameter",
        "error deserializing column",
        "invalid column",
        "expected ",
        "query returned an unexpected number of",
        "error encoding message to server",
    ];
    let text = error.to_string();
    TEXTS.iter().any(|start| text.starts_with(start))
}

/// The error with its causes, which `tokio_postgres` leaves out of its own text.
pub(super) fn text(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(Some(error), |e| e.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_fall_into_the_classes_that_the_journal_tells_apart() {
        let classes = [
            ("08006", Class::Lost),
            ("57P01", Class::Lost),
            ("40P01", Class::Again),
            ("40001", Class::Again),
            ("55P03", Class::Again),
            ("57014", Class::Again),
            ("22P05", Class::BadRow),
            ("23514", Class::BadRow),
            ("25006", Class::Refusing),
            ("53100", Class::Refusing),
            ("53300", Class::Refusing),
            ("58030", Class::Refusing),
            ("54000", Class::BadRow),
            ("42P01", Class::Other),
        ];

        for (state, class) in classes {
            assert_eq!(class_of(Some(state)), class, "{state}");
        }
    }

    #[test]
    fn a_statement_timeout_is_known_by_its_message_and_a_lock_timeout_is_not_taken_for_it() {
        let of = |message: &str| {
            Error::from(diesel::result::Error::DatabaseError(
                DatabaseErrorKind::Unknown,
                Box::new(message.to_owned()),
            ))
        };

        assert!(matches!(
            of("canceling statement due to statement timeout"),
            Error::Timeout(_)
        ));
        assert_eq!(
            of("canceling statement due to lock timeout").sql_state(),
            Some("55P03")
        );
        assert!(matches!(
            of("terminating connection due to administrator command"),
            Error::Unavailable(_)
        ));
        assert!(matches!(
            of("terminating connection because of crash of another server process"),
            Error::Unavailable(_)
        ));
        let full = of("could not write to file \"base/pgsql_tmp/1\": No space left on device");
        assert_eq!(full.class(), Class::Refusing);
        assert_eq!(of("relation \"x\" does not exist").class(), Class::Other);
    }
}
