//! Names, labels and other short texts.

use std::collections::BTreeMap;

use super::findings::{Findings, Part, shown};
use crate::flow::{Draft, Violation};

/// The most characters of an id.
const ID_LENGTH: usize = 200;
/// The most characters of a name.
const NAME_LENGTH: usize = 200;
/// The most characters of a description.
const DESCRIPTION_LENGTH: usize = 4_000;
/// The most labels.
const LABELS: usize = 32;
/// The most characters of a label's key.
const LABEL_KEY_LENGTH: usize = 63;
/// The most characters of a label's value.
const LABEL_VALUE_LENGTH: usize = 255;

/// Whether this is a flow's id: `[A-Za-z0-9_.-]{1,200}`.
#[must_use]
pub fn is_flow_id(text: &str) -> bool {
    (1..=ID_LENGTH).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

fn is_label_key(text: &str) -> bool {
    (1..=LABEL_KEY_LENGTH).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-/".contains(&byte))
}

/// Checks what a flow says beside its graph.
pub(super) fn check(draft: &Draft, findings: &mut Findings) {
    if !draft.id.is_empty() && !is_flow_id(&draft.id) {
        let text = shown(&draft.id);
        findings.add(
            Part::Flow,
            "id",
            "INVALID_ID",
            format!("{text:?} is not 1 to {ID_LENGTH} characters of A-Z a-z 0-9 _ . -"),
        );
    }
    check_length(&draft.name, NAME_LENGTH, Part::Flow, "name", findings);
    check_length(
        &draft.description,
        DESCRIPTION_LENGTH,
        Part::Flow,
        "description",
        findings,
    );
    check_labels(&draft.labels, Part::Flow, findings);
}

/// What is wrong with the labels of a run, or with those to find flows and runs by: they keep the rules of a flow's.
#[must_use]
pub fn run_labels(labels: &BTreeMap<String, String>) -> Vec<Violation> {
    let mut findings = Findings::of_flow();
    check_labels(labels, Part::Start, &mut findings);
    findings.into_violations()
}

/// Checks the labels of a flow or a run.
pub(super) fn check_labels(labels: &BTreeMap<String, String>, part: Part, findings: &mut Findings) {
    if labels.len() > LABELS {
        let found = labels.len();
        findings.add(
            part,
            "labels",
            "TOO_MANY_LABELS",
            format!("there are {found} labels, the most are {LABELS}"),
        );
        return;
    }
    for (key, value) in labels {
        let field = format!("labels[{}]", shown(key));
        if !is_label_key(key) {
            findings.add(
                part,
                &field,
                "INVALID_LABEL",
                format!("the key is not 1 to {LABEL_KEY_LENGTH} characters of A-Z a-z 0-9 _ . - /"),
            );
        }
        check_length(value, LABEL_VALUE_LENGTH, part, &field, findings);
    }
}

/// Checks a text of which only the length and U+0000 matter.
pub(super) fn check_length(
    text: &str,
    most: usize,
    part: Part,
    field: &str,
    findings: &mut Findings,
) {
    let length = text.chars().count();
    if length > most {
        findings.add(
            part,
            field,
            "TOO_LONG",
            format!("is {length} characters long, the most are {most}"),
        );
    } else if text.contains('\0') {
        findings.add(
            part,
            field,
            "NUL_CHARACTER",
            "holds the character U+0000, which cannot be stored",
        );
    }
}

/// Checks an id of a node: the predecessor's are kept, which may be nearly any text, but paths of steps
/// (`loop[3]/summarise`) must be readable.
pub(super) fn check_node_id(text: &str, part: Part, findings: &mut Findings) {
    let length = text.chars().count();
    if length == 0 {
        findings.add(part, "id", "REQUIRED", "a node needs an id");
    } else if length > ID_LENGTH {
        findings.add(
            part,
            "id",
            "TOO_LONG",
            format!("is {length} characters long, the most are {ID_LENGTH}"),
        );
    } else if text
        .chars()
        .any(|c| c.is_control() || matches!(c, '/' | '[' | ']'))
    {
        let text = shown(text);
        findings.add(
            part,
            "id",
            "INVALID_ID",
            format!("{text:?} holds a control character or one of / [ ]"),
        );
    } else if text.trim() != text {
        let text = shown(text);
        findings.add(
            part,
            "id",
            "INVALID_ID",
            format!("{text:?} begins or ends with a space"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(labels: &[(&str, &str)]) -> Vec<&'static str> {
        let labels = labels
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let violations = run_labels(&labels);
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

        assert_eq!(run_labels(&many(32)), []);
        assert_eq!(run_labels(&many(33))[0].reason, "TOO_MANY_LABELS");
    }
}
