//! The branches of `if_else`, which the predecessor guessed when it ran: resolved into handles, once.
//!
//! Its rules, which are kept: a target that the config names counts; else what an edge says of itself, in one of several
//! fields or in its id; else the order of the edges. What is not kept is that a branch had one target at most: edges that
//! say their branch are all followed. Nor is that the order counted for a branch whose edge the config had given away.

use serde_json::{Map, Value};

use super::envelope::RawEdge;
use crate::import::notes::{Notes, Place};

/// The fields in which an edge may say its branch, in the order in which they count.
const HINTS: [&str; 7] = [
    "branch",
    "label",
    "sourceHandle",
    "source_handle",
    "targetHandle",
    "target_handle",
    "id",
];

const TRUE_WORDS: [&str; 8] = [
    "true", "then", "yes", "pass", "match", "matched", "on_true", "if_true",
];
const FALSE_WORDS: [&str; 8] = [
    "false",
    "else",
    "no",
    "fail",
    "nomatch",
    "not_match",
    "on_false",
    "if_false",
];

/// The keys of the config that name the target of a branch, in the order in which they count.
const TRUE_TARGETS: [&str; 6] = [
    "true_target",
    "trueTarget",
    "on_true",
    "onTrue",
    "then_target",
    "thenTarget",
];
const FALSE_TARGETS: [&str; 6] = [
    "false_target",
    "falseTarget",
    "on_false",
    "onFalse",
    "else_target",
    "elseTarget",
];

/// The targets that an `if_else` names in its config, taken out of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Targets {
    on_true: Option<String>,
    on_false: Option<String>,
}

impl Targets {
    /// Takes them out of `data`.
    pub(super) fn take(data: &mut Map<String, Value>, place: &Place, notes: &mut Notes) -> Self {
        let mut take = |keys: [&'static str; 6]| {
            let mut found = None;
            for key in keys {
                let Some(value) = data.remove(key) else {
                    continue;
                };
                let text = value.as_str().map(str::trim).unwrap_or_default();
                if found.is_none() && !text.is_empty() {
                    found = Some(text.to_owned());
                    let description = "the edges of this node say it by their source_handle here";
                    notes.add(&place.key(key), "KEY_MOVED", description);
                }
            }
            found
        };
        Self {
            on_true: take(TRUE_TARGETS),
            on_false: take(FALSE_TARGETS),
        }
    }
}

/// A way out of an `if_else`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Branch {
    True,
    False,
}

impl Branch {
    /// Its handle.
    pub(super) const fn handle(self) -> &'static str {
        match self {
            Self::True => "true",
            Self::False => "false",
        }
    }
}

/// Why an edge has its branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ground {
    /// The config names its target.
    Named,
    /// It says so in this field.
    Said(&'static str),
    /// By its place among the others.
    Order,
}

/// The branches of each edge of one `if_else`: none for an edge that was never followed, both for one that always was.
///
/// The edges come in their order, without those that lead nowhere.
pub(super) fn resolve(
    edges: &[&RawEdge],
    targets: &Targets,
    notes: &mut Notes,
) -> Vec<Vec<Branch>> {
    let said: Vec<Option<(Branch, Ground)>> = edges
        .iter()
        .enumerate()
        .map(|(index, edge)| said_or_by_order(edge, index, edges.len()))
        .collect();
    let mut branches = vec![Vec::new(); edges.len()];
    let of_name = |name: &Option<String>| {
        let name = name.as_deref()?;
        edges.iter().position(|edge| edge.target == name)
    };
    let named = [of_name(&targets.on_true), of_name(&targets.on_false)];
    for branch in [Branch::True, Branch::False] {
        for (index, ground) in followed(&said, branch, named) {
            branches[index].push(branch);
            note(edges[index], branch, ground, notes);
        }
    }
    for (edge, branches) in edges.iter().zip(&branches) {
        if branches.is_empty() {
            let description = format!(
                "the edge to {:?} belongs to neither branch and was never followed: left out",
                edge.target
            );
            notes.add(&edge.place, "EDGE_DROPPED", description);
        }
    }
    branches
}

/// The edges that a branch leads along. `named` are those that the config names, for true and false.
fn followed(
    said: &[Option<(Branch, Ground)>],
    branch: Branch,
    named: [Option<usize>; 2],
) -> Vec<(usize, Ground)> {
    let (own, other_named, last_resort, other) = match branch {
        Branch::True => (named[0], named[1], 0, Branch::False),
        Branch::False => (named[1], named[0], 1, Branch::True),
    };
    if let Some(index) = own {
        return vec![(index, Ground::Named)];
    }
    let of_branch = |wanted: Branch| {
        said.iter()
            .enumerate()
            .filter_map(move |(index, said)| match said {
                Some((branch, ground)) if *branch == wanted => Some((index, *ground)),
                _ => None,
            })
    };
    let mut found: Vec<_> = of_branch(branch).collect();
    let is_said = found.iter().any(|(_, ground)| *ground != Ground::Order);
    if let Some(taken) = other_named.filter(|_| !is_said) {
        // The config has decided about the other branch: this one has the first edge that is left.
        let says_other = |index: usize| matches!(said[index], Some((branch, Ground::Said(_))) if branch == other);
        let mut left = (0..said.len()).filter(|&index| index != taken && !says_other(index));
        if let Some(index) = left.next() {
            return vec![(index, Ground::Order)];
        }
    }
    if found.is_empty() {
        // No edge is of this branch: the first target was taken for true, the second for false.
        let index = (last_resort < said.len()).then_some(last_resort);
        return index
            .map(|index| (index, Ground::Order))
            .into_iter()
            .collect();
    }
    if of_branch(other).next().is_none() {
        // All say the same: the others are left for the other branch, or were never followed.
        found.truncate(1);
    }
    found
}

fn said_or_by_order(edge: &RawEdge, index: usize, count: usize) -> Option<(Branch, Ground)> {
    if let Some((branch, field)) = said(edge) {
        return Some((branch, Ground::Said(field)));
    }
    let branch = match (index, count) {
        (0, _) => Branch::True,
        (1, _) => Branch::False,
        _ => return None,
    };
    Some((branch, Ground::Order))
}

/// What an edge says of itself, and in which field.
fn said(edge: &RawEdge) -> Option<(Branch, &'static str)> {
    let inner = edge.fields.get("data").and_then(Value::as_object);
    [Some(&edge.fields), inner]
        .into_iter()
        .flatten()
        .find_map(|fields| {
            HINTS.iter().find_map(|hint| {
                let branch = match fields.get(*hint)? {
                    Value::String(text) => classify(text)?,
                    Value::Bool(true) => Branch::True,
                    Value::Bool(false) => Branch::False,
                    _ => return None,
                };
                Some((branch, *hint))
            })
        })
}

/// The branch that a text names: it is one of the words, or has words of one branch only in it.
fn classify(text: &str) -> Option<Branch> {
    let text = text.trim().to_lowercase().replace('-', "_");
    let of_word = |word: &str| {
        if TRUE_WORDS.contains(&word) {
            Some(Branch::True)
        } else if FALSE_WORDS.contains(&word) {
            Some(Branch::False)
        } else {
            None
        }
    };
    if let Some(branch) = of_word(&text) {
        return Some(branch);
    }
    let mut found = text
        .split(|letter: char| !letter.is_ascii_alphanumeric())
        .filter_map(of_word);
    let first = found.next()?;
    found.all(|branch| branch == first).then_some(first)
}

fn note(edge: &RawEdge, branch: Branch, ground: Ground, notes: &mut Notes) {
    let handle = branch.handle();
    let why = match ground {
        Ground::Named => "the config names it".to_owned(),
        Ground::Said("sourceHandle" | "source_handle") if edge.source_handle() == Some(handle) => {
            return;
        }
        Ground::Said(field) => format!("its {field} says so"),
        Ground::Order => "by the order of the edges".to_owned(),
    };
    let description = format!("the edge to {:?} leaves by {handle:?}: {why}", edge.target);
    notes.add(&edge.place, "BRANCH_RESOLVED", description);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Branch::{False, True};
    use super::*;
    use crate::ids::NodeId;

    fn resolved(edges: Value, data: Value) -> (Vec<Vec<Branch>>, Vec<String>) {
        let place = Place::of_node("document.nodes[0]".to_owned(), &NodeId::from("if"));
        let mut notes = Notes::default();
        let Value::Object(mut data) = data else {
            unreachable!()
        };
        let targets = Targets::take(&mut data, &place, &mut notes);
        assert!(data.is_empty(), "{data:?}");
        let Value::Array(edges) = edges else {
            unreachable!()
        };
        let edges: Vec<RawEdge> = edges
            .into_iter()
            .map(|edge| RawEdge::for_test(edge, &place))
            .collect();
        let edges: Vec<&RawEdge> = edges.iter().collect();
        let branches = resolve(&edges, &targets, &mut notes);
        let reasons = notes
            .into_warnings()
            .iter()
            .map(|warning| warning.reason.to_owned())
            .collect();
        (branches, reasons)
    }

    fn of_edges(edges: Value) -> Vec<Vec<Branch>> {
        resolved(edges, json!({})).0
    }

    fn of_ids(ids: &[&str]) -> Vec<Vec<Branch>> {
        let edges = ids
            .iter()
            .enumerate()
            .map(|(index, id)| json!({"id": id, "target": format!("n{index}")}));
        of_edges(edges.collect())
    }

    #[test]
    fn words_in_ids_decide() {
        assert_eq!(of_ids(&["e-no", "e-yes"]), [[False], [True]]);
        assert_eq!(of_ids(&["to-no-op", "edge-not-match"]), [[False], [True]]);
        assert_eq!(of_ids(&["on-false", "IF_TRUE"]), [[False], [True]]);
    }

    #[test]
    fn words_of_both_branches_say_nothing() {
        assert_eq!(of_ids(&["yes-or-no", "b"]), [[True], [False]]);
    }

    #[test]
    fn without_words_the_order_decides() {
        assert_eq!(of_ids(&["a", "b"]), [[True], [False]]);
        assert_eq!(of_ids(&["a", "b", "c"]), [vec![True], vec![False], vec![]]);
        assert_eq!(of_ids(&["a"]), [[True]]);
    }

    #[test]
    fn a_branch_that_no_edge_names_takes_the_first_or_second() {
        assert_eq!(of_ids(&["yes-1", "yes-2"]), [[True], [False]]);
        assert_eq!(of_ids(&["only-no"]), [[True, False]]);
        assert_eq!(of_ids(&["no-1", "no-2"]), [vec![True, False], vec![]]);
    }

    #[test]
    fn all_edges_that_say_their_branch_are_followed() {
        assert_eq!(of_ids(&["yes-1", "yes-2", "no"]), [[True], [True], [False]]);
    }

    #[test]
    fn fields_count_in_their_order_and_before_those_in_data() {
        let edges = json!([
            {"id": "no", "sourceHandle": "true", "target": "a"},
            {"id": "x", "data": {"branch": false}, "target": "b"},
        ]);

        let (branches, reasons) = resolved(edges, json!({}));

        assert_eq!(branches, [[True], [False]]);
        assert_eq!(
            reasons,
            ["BRANCH_RESOLVED"],
            "the first one says its handle"
        );
    }

    #[test]
    fn a_target_in_the_config_counts_most_if_an_edge_leads_there() {
        let edges = json!([{"id": "no", "target": "a"}, {"id": "yes", "target": "b"}]);

        let (named, reasons) = resolved(
            edges.clone(),
            json!({"true_target": " a ", "falseTarget": "b"}),
        );
        let (elsewhere, _) = resolved(edges, json!({"on_true": "c"}));

        assert_eq!(named, [[True], [False]]);
        assert_eq!(
            reasons,
            [
                "KEY_MOVED",
                "KEY_MOVED",
                "BRANCH_RESOLVED",
                "BRANCH_RESOLVED"
            ]
        );
        assert_eq!(elsewhere, [[False], [True]]);
    }
}
