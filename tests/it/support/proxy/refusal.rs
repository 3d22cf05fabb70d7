//! Answers that the proxy gives in the server's stead: what a server says that has no room, is about to stop, or follows
//! another one.

use std::sync::Mutex;

use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;

/// What a statement is refused with.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// What the statement has in it.
    part: String,
    code: &'static str,
    text: &'static str,
}

/// What is refused now.
#[derive(Debug, Default)]
pub struct Refusals {
    statements: Mutex<Vec<Refusal>>,
    sessions: Mutex<Option<Refusal>>,
}

/// Texts of Postgres 15 by which diesel's connections have to know a state, for diesel hides it.
fn text(code: &str) -> &'static str {
    match code {
        "40001" => "could not serialize access due to concurrent update",
        "40P01" => "deadlock detected",
        "55P03" => "canceling statement due to lock timeout",
        "57014" => "canceling statement due to statement timeout",
        "25006" => "cannot execute INSERT in a read-only transaction",
        "53100" => "could not extend file \"base/16384/16385\": No space left on device",
        "53200" => "out of memory",
        "53300" => "sorry, too many clients already",
        "57P01" => "terminating connection due to administrator command",
        "57P02" => "terminating connection because of crash of another server process",
        "57P03" => "the database system is starting up",
        "42501" => "permission denied for table run_events",
        _ => "refused by the tests",
    }
}

impl Refusals {
    /// Refuses every statement whose text contains `part`, with this SQLSTATE.
    pub fn refuse(&self, part: &str, code: &'static str) {
        let refusal = Refusal {
            part: part.to_owned(),
            code,
            text: text(code),
        };
        self.statements.lock().unwrap().push(refusal);
    }

    /// Refuses every new session.
    pub fn refuse_sessions(&self, code: &'static str) {
        *self.sessions.lock().unwrap() = Some(Refusal {
            part: String::new(),
            code,
            text: text(code),
        });
    }

    /// Refuses nothing any more.
    pub fn relent(&self) {
        self.statements.lock().unwrap().clear();
        *self.sessions.lock().unwrap() = None;
    }

    /// What a statement is refused with, if it is.
    pub fn of_statement(&self, text: &str) -> Option<Refusal> {
        let statements = self.statements.lock().unwrap();
        statements
            .iter()
            .find(|refusal| text.contains(&refusal.part))
            .cloned()
    }

    /// What a new session is refused with, if it is.
    pub fn of_session(&self) -> Option<Refusal> {
        self.sessions.lock().unwrap().clone()
    }
}

impl Refusal {
    /// Answers a statement; says whether the session goes on.
    pub async fn answer(&self, to: &mut OwnedWriteHalf) -> bool {
        let fatal = self.code.starts_with("57P");
        let mut bytes = self.message(if fatal { "FATAL" } else { "ERROR" });
        if !fatal {
            // ReadyForQuery, outside a transaction.
            bytes.extend([b'Z', 0, 0, 0, 5, b'I']);
        }
        to.write_all(&bytes).await.is_ok() && !fatal
    }

    /// Turns a session away.
    pub async fn turn_away(&self, to: &mut OwnedWriteHalf) {
        // A client that has left already need not be told.
        to.write_all(&self.message("FATAL")).await.ok();
    }

    fn message(&self, severity: &str) -> Vec<u8> {
        let mut fields = Vec::new();
        for (kind, value) in [
            ('S', severity),
            ('V', severity),
            ('C', self.code),
            ('M', self.text),
        ] {
            fields.extend(kind.to_string().as_bytes());
            fields.extend(value.as_bytes());
            fields.push(0);
        }
        fields.push(0);
        let length = u32::try_from(fields.len() + 4).unwrap();
        let mut message = vec![b'E'];
        message.extend(length.to_be_bytes());
        message.extend(fields);
        message
    }
}
