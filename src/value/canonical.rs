//! The canonical form of RFC 8785: equal values have equal bytes, whoever wrote them in whatever order.
//!
//! Keys are sorted by UTF-16 code units, numbers are written as ECMAScript writes them. Integers beyond ±2^53, which
//! the RFC would round, keep their digits, so that different values never share a form.

use serde_json::{Number, Value};
use sha2::{Digest, Sha256};

/// The canonical form, which is UTF-8.
#[must_use]
pub fn canonical(value: &Value) -> String {
    let mut out = String::new();
    write_value(value, &mut out);
    out
}

/// SHA-256 of the canonical form, in lower-case hexadecimal.
#[must_use]
pub fn hash(value: &Value) -> String {
    hex(&digest(canonical(value).as_bytes()))
}

/// SHA-256 of some bytes.
#[must_use]
pub fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Bytes in lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 0xf])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

fn write_value(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => write_number(number, out),
        Value::String(text) => write_text(text, out),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_value(item, out);
            }
            out.push(']');
        }
        Value::Object(entries) => {
            let mut entries: Vec<_> = entries.iter().collect();
            entries.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            out.push('{');
            for (index, (key, item)) in entries.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_text(key, out);
                out.push(':');
                write_value(item, out);
            }
            out.push('}');
        }
    }
}

/// RFC 8785, section 3.2.2.2: the short escapes, the other control characters as `\u00xx`, nothing else.
fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '\0'..='\u{1f}' => {
                out.push_str("\\u00");
                out.push_str(&hex(&[character as u8]));
            }
            _ => out.push(character),
        }
    }
    out.push('"');
}

fn write_number(number: &Number, out: &mut String) {
    if number.is_f64() {
        write_double(&number.to_string(), out);
    } else {
        out.push_str(&number.to_string());
    }
}

/// `Number::toString` of ECMAScript: no exponent from 1e-6 up to below 1e21.
///
/// `shortest` is how `serde_json` writes the double, in whatever layout: the shortest digits that read back as it, and
/// of two that are as near the even one. (Rust's own formatting takes the upper one.)
fn write_double(shortest: &str, out: &mut String) {
    let (sign, unsigned) = match shortest.strip_prefix('-') {
        Some(unsigned) => ("-", unsigned),
        None => ("", shortest),
    };
    let (mantissa, exponent) = unsigned.split_once('e').unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = format!("{whole}{fraction}");
    let leading = all_digits.trim_start_matches('0');
    let digits = leading.trim_end_matches('0');
    if digits.is_empty() {
        // Also for -0.
        out.push('0');
        return;
    }
    out.push_str(sign);
    let length = |text: &str| i32::try_from(text.len()).expect("a double has few digits");
    let exponent: i32 = exponent.parse().expect("an exponent is a whole number");
    // Where the point is, counted from before the first digit.
    let point = length(whole) - (length(&all_digits) - length(leading)) + exponent;
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or(0));
    if (length(digits)..=21).contains(&point) {
        out.push_str(digits);
        out.push_str(&zeros(point - length(digits)));
    } else if (1..=21).contains(&point) {
        let (whole, fraction) = digits.split_at(usize::try_from(point).unwrap_or(0));
        out.extend([whole, ".", fraction]);
    } else if (-5..=0).contains(&point) {
        out.extend(["0.", &zeros(-point), digits]);
    } else {
        let (first, rest) = digits.split_at(1);
        out.push_str(first);
        if !rest.is_empty() {
            out.extend([".", rest]);
        }
        let exponent = point - 1;
        out.push_str(if exponent < 0 { "e-" } else { "e+" });
        out.push_str(&exponent.unsigned_abs().to_string());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::{check::tests::any_json, equal};
    use super::*;

    #[test]
    fn numbers_are_those_of_the_rfc() {
        // RFC 8785, appendix B.
        let samples: [(u64, &str); 22] = [
            (0x0000_0000_0000_0000, "0"),
            (0x8000_0000_0000_0000, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x8000_0000_0000_0001, "-5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0xc340_0000_0000_0000, "-9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
            (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
            (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
            (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
            (0x41b3_de43_5555_5554, "333333333.33333325"),
            (0x41b3_de43_5555_5557, "333333333.33333343"),
            (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
            (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
        ];
        for (bits, text) in samples {
            assert_eq!(canonical(&json!(f64::from_bits(bits))), text);
        }
    }

    #[test]
    fn keys_are_sorted_by_utf16_and_only_controls_are_escaped() {
        // RFC 8785, section 3.2.3.
        let value = json!({
            "\u{20ac}": "Euro Sign", "\r": "Carriage Return", "\u{fb33}": "Hebrew Letter Dalet With Dagesh",
            "1": "One", "\u{1f600}": "Emoji: Grinning Face", "\u{80}": "Control", "\u{f6}": "Latin Small Letter O",
        });

        let form = canonical(&value);

        let places: Vec<_> = [
            "Carriage", "One", "Control", "Latin", "Euro", "Emoji", "Hebrew",
        ]
        .iter()
        .map(|word| form.find(word).unwrap())
        .collect();
        assert!(places.is_sorted(), "{form}");
        assert_eq!(
            canonical(&json!("a\u{1}\"\\/é\n")),
            "\"a\\u0001\\\"\\\\/é\\n\""
        );
    }

    #[test]
    fn the_hash_is_that_of_the_form() {
        assert_eq!(
            hash(&json!({})),
            "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        );
        assert_eq!(
            hash(&json!({"b": 1.0, "a": 2})),
            hash(&json!({"a": 2, "b": 1}))
        );
    }

    proptest! {
        #[test]
        fn the_form_reads_back_as_an_equal_value(value in any_json()) {
            let form = canonical(&value);

            let back: Value = serde_json::from_str(&form).unwrap();

            prop_assert!(equal(&value, &back), "{} {}", value, form);
            prop_assert_eq!(canonical(&back), form);
        }
    }
}
