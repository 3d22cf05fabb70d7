//! What a redactor finds, whole and in pieces.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde_json::json;
use url::form_urlencoded;

use super::*;

const SECRET: &str = "s3cr&t/\"Wö rt\\+%41=";

fn component(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(byte);
    text.bytes()
        .map(|byte| match byte {
            byte if plain(&byte) => char::from(byte).to_string(),
            byte => format!("%{byte:02x}"),
        })
        .collect()
}

fn in_json(text: &str) -> String {
    let quoted = serde_json::to_string(text).unwrap();
    quoted[1..quoted.len() - 1].to_owned()
}

/// As Python's `json.dumps` and many others write it.
fn in_ascii_json(text: &str) -> String {
    let mut ascii = String::new();
    for char in in_json(text).replace('/', "\\/").chars() {
        if char.is_ascii() {
            ascii.push(char);
        } else {
            let units = char.encode_utf16(&mut [0; 2]).to_vec();
            ascii.extend(units.iter().map(|unit| format!("\\u{unit:04X}")));
        }
    }
    ascii
}

fn in_html(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
        .replace('<', "&lt;")
        .replace('>', "&#x3E;")
}

/// All writings of a value that a redactor finds inside of other text.
fn writings(value: &str) -> Vec<String> {
    let form: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
    let mut url = url::Url::parse("http://a/").unwrap();
    url.set_query(Some(value));
    let user = format!("me:{value}");
    let mut all = vec![
        value.to_owned(),
        component(value),
        component(value).replace('%', "%25"),
        form.clone(),
        url.query().unwrap().to_owned(),
        in_json(value),
        in_json(&in_json(value)),
        in_ascii_json(value),
        in_json(&component(value)),
        in_json(&form),
        in_html(value),
        format!("{value:?}"),
    ];
    for engine in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD] {
        all.push(engine.encode(value));
        if value.len() >= 8 {
            all.push(engine.encode(&user));
            all.push(engine.encode(format!("x{user}:y")));
        }
    }
    all.push(component(&STANDARD.encode(value)));
    all
}

/// What is left when all that says nothing is taken away.
fn tells(shown: &str, value: &str) -> bool {
    let decoded = |text: &str| -> Vec<Vec<u8>> {
        let mut all = vec![text.as_bytes().to_vec()];
        for escaping in views::Escaping::ALL {
            let more: Vec<_> = all
                .iter()
                .filter_map(|bytes| views::View::of(bytes, escaping, views::Ending::Final))
                .map(|view| view.bytes)
                .collect();
            all.extend(more);
        }
        all
    };
    decoded(shown).iter().any(|bytes| {
        bytes
            .windows(value.len())
            .any(|window| window == value.as_bytes())
    })
}

#[test]
fn a_value_is_found_in_each_writing() {
    let redactor = Redactor::of([SECRET]);

    for writing in writings(SECRET) {
        let text = format!("before {writing} after");
        let redacted = redactor.text(&text);

        assert!(redacted.contains(MARKER), "{writing}: {redacted}");
        assert!(!tells(&redacted, SECRET), "{writing}: {redacted}");
        assert!(redacted.starts_with("before ") && redacted.ends_with(" after"));
    }
}

#[test]
fn only_the_value_is_taken_out() {
    let redactor = Redactor::of(["hunter22"]);

    assert_eq!(redactor.text("hunter22"), "[redacted]");
    assert_eq!(
        redactor.text("a=hunter22&b=hunter22hunter22;"),
        "a=[redacted]&b=[redacted][redacted];"
    );
    assert!(matches!(redactor.text("hunter2"), Cow::Borrowed("hunter2")));
    assert!(matches!(redactor.text(""), Cow::Borrowed("")));
}

#[test]
fn values_that_overlap_leave_nothing_of_each_other() {
    let redactor = Redactor::of(["abcdef", "defghi", "cdefg", "aXaXa"]);

    assert_eq!(redactor.text("-abcdefghi-"), "-[redacted]-");
    assert_eq!(redactor.text("-abcdefg-"), "-[redacted]-");
    assert_eq!(redactor.text("-aXaXaXaXa-"), "-[redacted]-");
}

#[test]
fn white_space_around_a_value_is_no_part_of_it() {
    let redactor = Redactor::of(["  spaced-out\n"]);

    assert_eq!(redactor.text("Bearer spaced-out!"), "Bearer [redacted]!");
    assert_eq!(redactor.text("  spaced-out\n"), "  [redacted]\n");
    assert_eq!(
        redactor
            .text(&STANDARD.encode("  spaced-out\n"))
            .find("c3BhY2"),
        None
    );
}

#[test]
fn strings_keys_and_numbers_are_redacted() {
    let redactor = Redactor::of(["12345678", "-0.5e3", "pass", r#"{"a": [1, "b"]}"#]);
    let mut value = json!({
        "list": ["pass", 12_345_678, 12_345_678.0, -500, 123_456_789, true, null],
        "pass": 1, "passpass": {"bypass": 2}, "a pass": 3, "whole": {"a": [1.0, "b"]},
    });
    let untouched = Arc::new(json!({"a": [1, "c"]}));

    redactor.value(&mut value);

    assert_eq!(
        value,
        json!({
            "list": [MARKER, MARKER, MARKER, MARKER, 123_456_789, true, null],
            "[redacted]": 1, "[redacted][redacted]": {"by[redacted]": 2}, "a [redacted]": 3, "whole": MARKER,
        })
    );
    assert!(Arc::ptr_eq(
        &redactor.shared(Arc::clone(&untouched)),
        &untouched
    ));
}

#[test]
fn keys_that_become_the_same_are_kept_apart() {
    let redactor = Redactor::of(["first", "second"]);
    let mut value = json!({"first": 1, "second": 2, "third": 3});

    redactor.value(&mut value);

    assert_eq!(
        value,
        json!({"[redacted]": 1, "[redacted] 2": 2, "third": 3})
    );
}

#[test]
fn clones_learn_what_is_added_and_detached_ones_do_not() {
    let redactor = Redactor::default();
    let clone = redactor.clone();
    let detached = redactor.detached();
    assert!(clone.is_empty());

    redactor.add("composed");
    redactor.add("composed");
    redactor.add(" abc ");

    assert_eq!(clone.text("composed abc"), "[redacted] abc");
    assert_eq!(detached.text("composed"), "composed");
    assert!(detached.is_empty() && !clone.is_empty());
    assert!(!format!("{redactor:?}").contains("composed"));
}

#[test]
fn a_piece_is_held_back_only_while_it_may_be_a_value() {
    let redactor = Redactor::of(["token-1234"]);
    let mut text = redactor.redacting();

    assert_eq!(text.push("Hello "), "Hello ");
    assert_eq!(text.push("to"), "");
    assert_eq!(text.push("day, t"), "today, ");
    assert_eq!(text.push("oken-123"), "");
    assert_eq!(text.push("4"), "");
    assert_eq!(text.push("!"), "[redacted]!");
    assert_eq!(text.push("token-"), "");
    assert_eq!(text.finish(), "token-");
    assert_eq!(text.push("token-1234"), "");
    text.restart();
    assert_eq!(text.push("a"), "a");
}

#[test]
fn a_text_that_repeats_a_value_is_not_held_for_ever() {
    let redactor = Redactor::of(["aaaa"]);
    let mut text = redactor.redacting();

    let shown: Vec<_> = (0..100).map(|_| text.push("a")).collect();

    assert_eq!(
        shown.concat() + &text.push("b") + &text.finish(),
        "[redacted]b"
    );
    assert_eq!(shown.concat(), MARKER, "the marker came before the end");
}

fn value() -> impl Strategy<Value = String> {
    let chars = prop_oneof![
        4 => "[a-z0-9]",
        3 => "[\"\\\\/%+&=' \n<>]",
        1 => "[éß€😀]",
    ];
    prop::collection::vec(chars, 6..24)
        .prop_map(|chars| chars.concat())
        .prop_filter("long enough, and not in the marker", |value| {
            value.trim().len() >= 6 && !MARKER.contains(value.trim())
        })
}

/// Text of pieces: some say nothing, some are a value in some writing.
fn texts() -> impl Strategy<Value = (Vec<String>, Vec<String>)> {
    prop::collection::vec(value(), 1..4).prop_flat_map(|values| {
        let all: Vec<_> = values.iter().flat_map(|value| writings(value)).collect();
        let piece = prop_oneof![prop::sample::select(all), "[ a-z{}:,é]{0,6}"];
        (Just(values), prop::collection::vec(piece, 0..6))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_value_is_left_in_any_writing((values, pieces) in texts()) {
        let redactor = Redactor::of(values.iter().map(String::as_str));
        let redacted = redactor.text(&pieces.join(" ")).into_owned();

        for value in &values {
            prop_assert!(!redacted.contains(value.trim()), "{value:?} in {redacted:?}");
            for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
                prop_assert!(!redacted.contains(&engine.encode(value.trim())));
            }
        }
    }

    #[test]
    fn a_writing_between_plain_words_tells_nothing(value in value(), index in 0_usize..64) {
        let all = writings(&value);
        let writing = &all[index % all.len()];
        let redactor = Redactor::of([value.as_str()]);

        let redacted = redactor.text(&format!("see {writing} here")).into_owned();

        prop_assert!(redacted.contains(MARKER), "{writing:?}");
        prop_assert!(!tells(&redacted, value.trim()), "{writing:?} {redacted:?}");
    }

    #[test]
    fn pieces_give_what_the_whole_gives((values, pieces) in texts(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20)) {
        let redactor = Redactor::of(values.iter().map(String::as_str));
        let whole = pieces.join(" ");
        let mut cuts: Vec<_> = cuts
            .iter()
            .map(|cut| whole.floor_char_boundary(cut.index(whole.len() + 1)))
            .collect();
        cuts.push(whole.len());
        cuts.sort_unstable();
        let mut text = redactor.redacting();

        let mut shown = String::new();
        let mut from = 0;
        for cut in cuts {
            shown.push_str(&text.push(&whole[from..cut]));
            from = cut;
        }
        shown.push_str(&text.finish());

        prop_assert_eq!(shown, redactor.text(&whole));
    }

    #[test]
    fn text_without_values_stays_as_it_is(text in "[a-y%\\\\&+ ]{0,200}") {
        let redactor = Redactor::of(["z0zz1\"z", "zz%zz"]);
        let mut pieces = redactor.redacting();

        let shown: String = text.chars().map(|char| pieces.push(char.encode_utf8(&mut [0; 4]))).collect();

        prop_assert_eq!(redactor.text(&text), text.as_str());
        prop_assert_eq!(shown + &pieces.finish(), text);
    }
}

#[test]
fn the_beginning_of_a_value_at_a_cut_is_left_out() {
    let redactor = Redactor::of(["token-été-1234"]);

    assert_eq!(redactor.beginning("a token-été-1234 b"), "a [redacted] b");
    assert_eq!(redactor.beginning("a token-été-12"), "a ");
    // Cut within a character.
    assert_eq!(redactor.beginning("a token-\u{fffd}"), "a ");
    assert_eq!(redactor.beginning("no value"), "no value");
}
