//! The writings of a value that are looked for as they stand.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use super::MIN_BYTES;
use super::views::{Ending, Escaping, View};

/// Fewer characters of base64 stand in any picture.
const MIN_BASE64_CHARS: usize = 8;

/// All patterns of a value: itself, and what URLs and base64 make of it.
///
/// A URL drops line breaks and keeps the `%41` that somebody has put into it, which then reads as another character.
///
/// In the middle of a larger base64 text a value shows in one of three ways, by its place in the groups of three bytes.
/// The characters that hold bits of its neighbours are left out.
pub fn of(value: &str) -> Vec<Vec<u8>> {
    let trimmed = value.trim();
    let mut forms = vec![trimmed.as_bytes().to_vec()];
    let in_one_line = trimmed.replace(['\t', '\r', '\n'], "");
    for escaping in [Escaping::Percent, Escaping::Form] {
        let view = View::of(in_one_line.as_bytes(), escaping, Ending::Final);
        forms.extend(view.map(|view| view.bytes));
    }
    // Names of hosts are told in lower case.
    forms.push(in_one_line.to_ascii_lowercase().into_bytes());
    forms.push(in_one_line.into_bytes());
    forms.retain(|form| form.len() >= MIN_BYTES);
    for engine in [&STANDARD, &URL_SAFE] {
        for whole in [value, trimmed] {
            let padded = engine.encode(whole);
            forms.push(padded.trim_end_matches('=').into());
            forms.push(padded.into());
        }
        for before in 0..3 {
            let bytes = [&[0; 2][..before], trimmed.as_bytes()].concat();
            let encoded = engine.encode(&bytes);
            // The first character whose six bits are all the value's, and how many there are.
            let (first, count) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
            if count.saturating_sub(first) >= MIN_BASE64_CHARS {
                forms.push(encoded[first..count].into());
            }
        }
    }
    forms.sort_unstable();
    forms.dedup();
    forms
}

/// Whether a writing of JSON, URLs or HTML may change a pattern: letters, digits and `-_.~` stay as they are in all.
pub fn may_be_escaped(form: &[u8]) -> bool {
    // The `=` at the end of base64 is of no account: the same without it is looked for too.
    let padding = form.iter().rev().take_while(|byte| **byte == b'=').count();
    !form[..form.len() - padding]
        .iter()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(byte))
}
