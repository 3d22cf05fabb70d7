//! From the bytes of a stream to its frames: server-sent events, or lines of JSON.
//!
//! Bytes may come in pieces of any size, cut anywhere. Lines end with LF or CRLF; a lone CR, which the standard of
//! server-sent events allows too, is sent by no provider and ends no line here.

use bytes::BytesMut;
use tokio_util::codec::{Decoder, LinesCodec, LinesCodecError};

/// The longest line, and the longest frame of several lines, in bytes.
const MAX_FRAME_BYTES: usize = 1024 * 1024;

/// How frames are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// Server-sent events (WHATWG HTML, section 9.2), of which only the data counts.
    Events,
    /// One frame a line.
    Lines,
}

/// What keeps bytes from being frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Problem {
    #[error("a line is longer than {MAX_FRAME_BYTES} bytes")]
    TooLong,
    #[error("a line is not UTF-8")]
    NotText,
}

impl From<LinesCodecError> for Problem {
    fn from(error: LinesCodecError) -> Self {
        match error {
            LinesCodecError::MaxLineLengthExceeded => Self::TooLong,
            LinesCodecError::Io(_) => Self::NotText,
        }
    }
}

/// The frames of one stream.
#[derive(Debug)]
pub(super) struct Frames {
    framing: Framing,
    codec: LinesCodec,
    bytes: BytesMut,
    /// The data of the event that has begun.
    data: Option<String>,
    is_first_line: bool,
}

impl Frames {
    pub(super) fn new(framing: Framing) -> Self {
        Self {
            framing,
            codec: LinesCodec::new_with_max_length(MAX_FRAME_BYTES),
            bytes: BytesMut::new(),
            data: None,
            is_first_line: true,
        }
    }

    /// Takes what has come.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next frame that has come whole.
    pub(super) fn find_next(&mut self) -> Result<Option<String>, Problem> {
        while let Some(line) = self.codec.decode(&mut self.bytes)? {
            if let Some(frame) = self.take(&line)? {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    /// What was begun when the stream ended. Many servers leave out the end of the last line or event; whether this is
    /// such a frame or half of one only its content tells.
    pub(super) fn find_last(&mut self) -> Result<Option<String>, Problem> {
        if let Some(line) = self.codec.decode_eof(&mut self.bytes)?
            && let Some(frame) = self.take(&line)?
        {
            return Ok(Some(frame));
        }
        Ok(self.data.take())
    }

    /// Takes a line, which may end a frame.
    fn take(&mut self, line: &str) -> Result<Option<String>, Problem> {
        let line = if std::mem::take(&mut self.is_first_line) {
            line.trim_start_matches('\u{feff}')
        } else {
            line
        };
        if self.framing == Framing::Lines {
            let line = line.trim();
            return Ok((!line.is_empty()).then(|| line.to_owned()));
        }
        if line.is_empty() {
            return Ok(self.data.take());
        }
        // Names of events are in their data too, with all providers.
        let Some(more) = line.strip_prefix("data:") else {
            return Ok(None);
        };
        let more = more.strip_prefix(' ').unwrap_or(more);
        match &mut self.data {
            None => self.data = Some(more.to_owned()),
            Some(data) if data.len() + more.len() > MAX_FRAME_BYTES => {
                return Err(Problem::TooLong);
            }
            Some(data) => {
                data.push('\n');
                data.push_str(more);
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(framing: Framing, pieces: &[&[u8]]) -> Result<Vec<String>, Problem> {
        let mut frames = Frames::new(framing);
        let mut found = Vec::new();
        for piece in pieces {
            frames.feed(piece);
            while let Some(frame) = frames.find_next()? {
                found.push(frame);
            }
        }
        found.extend(frames.find_last()?);
        Ok(found)
    }

    #[test]
    fn events_are_the_same_wherever_they_are_cut() {
        for end in ["\n", "\r\n"] {
            let text = [
                "\u{feff}: a comment",
                "event: one",
                "data: {\"a\":",
                "data: \"é😀\"}",
                "",
                "id: 7",
                "",
                "data:two",
                "",
                "data: [DONE]",
            ]
            .join(end);
            let expected = ["{\"a\":\n\"é😀\"}", "two", "[DONE]"];
            for at in 0..text.len() {
                let (one, other) = text.as_bytes().split_at(at);
                assert_eq!(frames(Framing::Events, &[one, other]).unwrap(), expected);
            }
            let bytes: Vec<_> = text.as_bytes().chunks(1).collect();
            assert_eq!(frames(Framing::Events, &bytes).unwrap(), expected);
        }
    }

    #[test]
    fn lines_are_frames_and_blank_ones_are_none() {
        let found = frames(Framing::Lines, &[b"{}\r\n\n {\"a\"", b":1}\n{\"b\""]);

        assert_eq!(found.unwrap(), ["{}", "{\"a\":1}", "{\"b\""]);
    }

    #[test]
    fn what_is_too_long_or_no_text_is_refused() {
        let long = vec![b'x'; MAX_FRAME_BYTES + 2];
        let half = vec![b'x'; MAX_FRAME_BYTES / 2 + 2];
        let both = [b"data:", &half[..], b"\ndata:", &half[..], b"\n\n"].concat();

        assert_eq!(frames(Framing::Lines, &[&long]), Err(Problem::TooLong));
        assert_eq!(frames(Framing::Events, &[&both]), Err(Problem::TooLong));
        assert_eq!(
            frames(Framing::Events, &[b"data: \xff\n\n"]),
            Err(Problem::NotText)
        );
    }
}
