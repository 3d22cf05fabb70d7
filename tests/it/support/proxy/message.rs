//! As much of the protocol between Postgres and its clients as tells which statement a message executes.
//!
//! See <https://www.postgresql.org/docs/15/protocol-message-formats.html>.

use std::collections::HashMap;

use tokio::io::{AsyncRead, AsyncReadExt};

/// A message, with its kind and length in front.
#[derive(Debug)]
pub struct Message {
    /// The letter that says what it is; 0 for the first message of a session, which has none.
    kind: u8,
    /// All of it, as it was read.
    pub bytes: Vec<u8>,
}

impl Message {
    /// The next message; `None` at the end of the connection. Only the first ones of a client have no letter.
    pub async fn read(from: &mut (impl AsyncRead + Unpin), with_kind: bool) -> Option<Self> {
        let mut bytes = Vec::new();
        let kind = if with_kind {
            let kind = from.read_u8().await.ok()?;
            bytes.push(kind);
            kind
        } else {
            0
        };
        let length = from.read_u32().await.ok()?;
        bytes.extend(length.to_be_bytes());
        let body = bytes.len();
        bytes.resize(body + usize::try_from(length).ok()?.checked_sub(4)?, 0);
        from.read_exact(&mut bytes[body..]).await.ok()?;
        Some(Self { kind, bytes })
    }

    /// Whether it is the first message of a session: from then on each has a letter.
    pub fn starts_session(&self) -> bool {
        // 3.0, which is no request for TLS and none to cancel.
        self.kind == 0 && self.bytes.get(4..8) == Some(&[0, 3, 0, 0])
    }

    /// Whether the server answers now to all that was sent.
    pub fn asks_for_answer(&self) -> bool {
        matches!(self.kind, b'Q' | b'S')
    }

    /// Whether it ends the server's answer.
    pub fn is_ready_for_query(&self) -> bool {
        self.kind == b'Z'
    }

    /// Texts that end with a zero, one after the other from the start of the body.
    fn texts(&self) -> impl Iterator<Item = String> {
        let body = self.bytes.get(5..).unwrap_or_default();
        body.split(|byte| *byte == 0)
            .map(|text| String::from_utf8_lossy(text).into_owned())
    }
}

/// The statements that a session has prepared, by their names.
#[derive(Debug, Default)]
pub struct Statements {
    prepared: HashMap<String, String>,
}

impl Statements {
    /// The text of the statement that the message executes, if it does.
    pub fn executed_by(&mut self, message: &Message) -> Option<String> {
        let mut texts = message.texts();
        match message.kind {
            b'Q' => texts.next(),
            // Parse: name, text.
            b'P' => {
                self.prepared.insert(texts.next()?, texts.next()?);
                None
            }
            // Bind: portal, name. Execution follows at once, so the cut comes here rather than in mid-request.
            b'B' => {
                let name = texts.nth(1)?;
                self.prepared.get(&name).cloned()
            }
            _ => None,
        }
    }
}
