//! What service and child say to each other: frames of a length (4 bytes, little-endian), a kind (1 byte) and a body.
//!
//! The channel is the child's own socket, apart from its standard output. A child runs one program and then ends, so all
//! that a program can forge by writing to the channel itself is its own ending.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The most bytes of a frame that a child sends before it has a program to run.
pub const MAX_GREETING_BYTES: usize = 64 * 1024;

/// The child is jailed; the body is its [`Layers`](super::Layers) as JSON.
pub const JAILED: u8 = b'J';
/// The child waits for its program.
pub const READY: u8 = b'Y';
/// The child gives up before it has run anything; the body says why, as text.
pub const REFUSED: u8 = b'U';
/// The program that is to run, a [`Request`] as JSON.
pub const PROGRAM: u8 = b'P';
/// The program has ended; the body is the JSON of its result.
pub const RESULT: u8 = b'R';
/// The program has failed; the body is a [`Raised`] as JSON.
pub const RAISED: u8 = b'E';

/// What a child runs.
#[derive(Debug, Deserialize, Serialize)]
pub struct Request<'a> {
    /// The source text.
    pub code: String,
    /// The JSON of what the program knows as `data`.
    #[serde(borrow)]
    pub data: &'a RawValue,
    /// The JSON of what the program knows as `context`.
    #[serde(borrow)]
    pub context: &'a RawValue,
    /// How much CPU it may use, in seconds.
    pub cpu_seconds: u32,
    /// How much memory it may use, in bytes.
    pub memory_bytes: u64,
}

/// How a program failed, by its own account.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Raised {
    /// What kind of failure it is.
    pub kind: Kind,
    /// The type of the exception: `ValueError`, `TypeError` …
    #[serde(rename = "type")]
    pub name: String,
    /// Its message.
    pub message: String,
    /// Where it was raised, as the language writes it; may be empty.
    pub stack: String,
    /// The line of the code, counted from 1; 0 where it is not known.
    pub line: u32,
    /// The code of an exit that the program asked for; 0 without one.
    pub exit_code: i32,
}

/// What kind of failure a program reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The code is none in its language.
    Syntax,
    /// An exception that nothing caught.
    #[default]
    Raised,
    /// There was no memory left.
    Memory,
    /// The CPU time was used up.
    Cpu,
    /// What `result` holds has no JSON form.
    Result,
}

/// Writes a frame.
///
/// # Errors
///
/// When the other side has gone.
pub fn write(mut to: impl Write, kind: u8, body: &[u8]) -> io::Result<()> {
    to.write_all(&header(kind, body)?)?;
    to.write_all(body)
}

/// Length and kind of a frame.
///
/// # Errors
///
/// When the body is 4 GiB or larger.
pub fn header(kind: u8, body: &[u8]) -> io::Result<[u8; 5]> {
    let length = u32::try_from(body.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let [a, b, c, d] = length.to_le_bytes();
    Ok([a, b, c, d, kind])
}

/// Reads a frame.
///
/// # Errors
///
/// When the other side has gone.
pub fn read(mut from: impl Read) -> io::Result<(u8, Vec<u8>)> {
    let mut header = [0; 5];
    from.read_exact(&mut header)?;
    let [length @ .., kind] = header;
    let length = u64::from(u32::from_le_bytes(length));
    let mut body = Vec::new();
    if from.take(length).read_to_end(&mut body)? as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((kind, body))
}

/// What came from a child.
#[derive(Debug)]
pub enum Received {
    /// A whole frame.
    Frame(u8, Vec<u8>),
    /// A frame that says it is larger than allowed.
    TooLarge,
    /// Nothing more will come.
    Closed,
}

/// Reads a frame of at most `most` bytes from a child, of which nothing is believed.
pub async fn receive(from: &mut (impl AsyncRead + Unpin), most: usize) -> Received {
    let mut header = [0; 5];
    if from.read_exact(&mut header).await.is_err() {
        return Received::Closed;
    }
    let [length @ .., kind] = header;
    let length = u32::from_le_bytes(length) as usize;
    if length > most {
        return Received::TooLarge;
    }
    let mut body = Vec::new();
    match from.take(length as u64).read_to_end(&mut body).await {
        Ok(read) if read == length => Received::Frame(kind, body),
        _ => Received::Closed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_as_it_was_written() {
        let mut wire = Vec::new();

        write(&mut wire, RESULT, b"[1]").unwrap();

        assert_eq!(wire, b"\x03\0\0\0R[1]");
        assert_eq!(read(&*wire).unwrap(), (RESULT, b"[1]".to_vec()));
        assert!(read(&wire[..7]).is_err());
    }

    #[tokio::test]
    async fn a_child_is_not_believed() {
        let too_large = b"\xff\xff\xff\x7fR";
        let cut = b"\x09\0\0\0R12";

        assert!(matches!(
            receive(&mut &too_large[..], 1024).await,
            Received::TooLarge
        ));
        assert!(matches!(
            receive(&mut &cut[..], 1024).await,
            Received::Closed
        ));
        assert!(matches!(
            receive(&mut &b"\x01\0\0\0R7"[..], 1024).await,
            Received::Frame(RESULT, body) if body == b"7"
        ));
    }
}
