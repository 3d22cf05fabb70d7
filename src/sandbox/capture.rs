//! What a program prints: kept up to a bound, and handed on as it comes.

use tokio::io::{AsyncRead, AsyncReadExt};

/// A stream of a program, as far as it was read.
#[derive(Debug)]
pub struct Capture {
    bytes: Vec<u8>,
    most: usize,
    /// How much of it was handed on.
    told: usize,
    truncated: bool,
}

impl Capture {
    /// Keeps at most `most` bytes.
    pub const fn new(most: usize) -> Self {
        Self {
            bytes: Vec::new(),
            most,
            told: 0,
            truncated: false,
        }
    }

    /// Reads a stream to its end. What is over the bound is read as well, so that nobody waits for it to be.
    pub async fn drain(
        &mut self,
        mut from: impl AsyncRead + Unpin,
        on_output: &(dyn Fn(&str) + Send + Sync),
    ) {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            let kept = read.min(self.most - self.bytes.len());
            self.truncated |= kept < read;
            self.bytes.extend_from_slice(&buffer[..kept]);
            self.tell(on_output);
        }
    }

    /// Hands on what has become whole characters.
    fn tell(&mut self, on_output: &(dyn Fn(&str) + Send + Sync)) {
        for chunk in self.bytes[self.told..].utf8_chunks() {
            if !chunk.valid().is_empty() {
                on_output(chunk.valid());
                self.told += chunk.valid().len();
            }
            // The last one may be the beginning of a character.
            if self.told + chunk.invalid().len() == self.bytes.len() && chunk.invalid().len() < 4 {
                break;
            }
            if !chunk.invalid().is_empty() {
                on_output("\u{fffd}");
                self.told += chunk.invalid().len();
            }
        }
    }

    /// The text, and whether there was more than was kept. What is no UTF-8, and U+0000, is replaced.
    pub fn into_text(self) -> (String, bool) {
        let text = String::from_utf8_lossy(&self.bytes).replace('\0', "\u{fffd}");
        (text, self.truncated)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[tokio::test]
    async fn characters_are_handed_on_whole_and_the_rest_is_cut() {
        let heard = Mutex::new(String::new());
        let hear = |text: &str| heard.lock().unwrap().push_str(text);
        let mut capture = Capture::new(12);
        let text = "aä€\u{1f600}xyz".as_bytes();

        for byte in text {
            capture.drain(&[*byte][..], &hear).await;
        }

        assert_eq!(*heard.lock().unwrap(), "aä€\u{1f600}xy");
        assert_eq!(capture.into_text(), ("aä€\u{1f600}xy".to_owned(), true));
    }

    #[tokio::test]
    async fn what_is_no_text_is_replaced() {
        let heard = Mutex::new(String::new());
        let hear = |text: &str| heard.lock().unwrap().push_str(text);
        let mut capture = Capture::new(100);

        capture.drain(&b"a\xff\0b"[..], &hear).await;

        assert_eq!(*heard.lock().unwrap(), "a\u{fffd}\0b");
        assert_eq!(
            capture.into_text(),
            ("a\u{fffd}\u{fffd}b".to_owned(), false)
        );
    }
}
