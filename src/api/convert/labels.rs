//! Labels that a client sends: of a new run, or to find runs and flows by.

use std::collections::BTreeMap;

use super::violation;
use crate::flow::Violation;

/// The most labels.
const LABELS: usize = 32;
/// The most characters of a key.
const KEY_LENGTH: usize = 63;
/// The most characters of a value.
const VALUE_LENGTH: usize = 255;

/// What is wrong with labels: at most 32, keys of 1 to 63 characters of `A-Z a-z 0-9 _ . - /`, values of at most 255
/// characters without U+0000.
#[must_use]
pub fn check(labels: &BTreeMap<String, String>, field: &str) -> Vec<Violation> {
    if labels.len() > LABELS {
        let found = labels.len();
        let description = format!("there are {found} labels, the most are {LABELS}");
        return vec![violation(field, "TOO_MANY_LABELS", description)];
    }
    labels
        .iter()
        .filter_map(|(key, value)| {
            let (reason, description) = wrong(key, value)?;
            let shown: String = key.chars().take(KEY_LENGTH).collect();
            let field = format!("{field}[{}]", shown.escape_debug());
            Some(violation(&field, reason, description))
        })
        .collect()
}

fn wrong(key: &str, value: &str) -> Option<(&'static str, String)> {
    let length = value.chars().count();
    if !is_key(key) {
        let description =
            format!("the key is not 1 to {KEY_LENGTH} characters of A-Z a-z 0-9 _ . - /");
        Some(("INVALID_LABEL", description))
    } else if length > VALUE_LENGTH {
        let description = format!("is {length} characters long, the most are {VALUE_LENGTH}");
        Some(("TOO_LONG", description))
    } else if value.contains('\0') {
        let description = "holds the character U+0000, which cannot be stored";
        Some(("NUL_CHARACTER", description.to_owned()))
    } else {
        None
    }
}

fn is_key(text: &str) -> bool {
    (1..=KEY_LENGTH).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-/".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(labels: &[(&str, &str)]) -> Vec<&'static str> {
        let labels = labels
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let violations = check(&labels, "labels");
        violations.into_iter().map(|one| one.reason).collect()
    }

    #[test]
    fn each_label_that_breaks_a_rule_is_told() {
        let long = "x".repeat(256);

        let found = reasons(&[("a", "ok"), ("b", &long), ("c", "\0"), ("é", ""), ("", "")]);

        assert_eq!(
            found,
            [
                "INVALID_LABEL",
                "TOO_LONG",
                "NUL_CHARACTER",
                "INVALID_LABEL"
            ]
        );
    }

    #[test]
    fn thirty_three_labels_are_one_too_many() {
        let many = |count: usize| -> BTreeMap<String, String> {
            (0..count).map(|n| (n.to_string(), String::new())).collect()
        };

        assert_eq!(check(&many(32), "labels"), []);
        assert_eq!(check(&many(33), "labels")[0].reason, "TOO_MANY_LABELS");
    }
}
