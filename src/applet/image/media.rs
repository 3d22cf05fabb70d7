//! What an image is by its first bytes: what a server says about it may be wrong.

/// The media type of an image; `None` for what is none that is known.
pub(super) fn find_type(content: &[u8]) -> Option<&'static str> {
    let is_webp = || content.get(8..12) == Some(b"WEBP");
    match content {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', ..] if is_webp() => Some("image/webp"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_known_by_their_first_bytes() {
        assert_eq!(find_type(b"\x89PNG\r\n\x1a\n."), Some("image/png"));
        assert_eq!(find_type(&[0xff, 0xd8, 0xff, 0xe0]), Some("image/jpeg"));
        assert_eq!(find_type(b"GIF89a;"), Some("image/gif"));
        assert_eq!(find_type(b"RIFF....WEBPVP8 "), Some("image/webp"));
        for other in [&b""[..], b"RIFF....WAVE", b"<html>", b"<svg/>", b"\x89PN"] {
            assert_eq!(find_type(other), None);
        }
    }
}
