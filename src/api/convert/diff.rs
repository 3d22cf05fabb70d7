//! Differences between two revisions or two runs, from the domain to the wire.

use super::flow::edge_to_proto;
use super::value::to_proto;
use crate::flow::diff::{EdgeDiff, NodeDiff};
use crate::proto::{self, DiffKind};
use crate::value::diff::Difference;

/// Which side has it, where one does.
#[must_use]
pub fn kind<B, C>(base: Option<B>, compare: Option<C>) -> DiffKind {
    match (base, compare) {
        (Some(_), Some(_)) => DiffKind::Changed,
        (Some(_), None) => DiffKind::Removed,
        (None, _) => DiffKind::Added,
    }
}

/// Places in which two values differ.
#[must_use]
pub fn values(found: &[Difference]) -> Vec<proto::ValueDiff> {
    found
        .iter()
        .map(|one| proto::ValueDiff {
            path: one.path.clone(),
            kind: kind(one.base.as_ref(), one.compare.as_ref()).into(),
            base: one.base.as_ref().map(to_proto),
            compare: one.compare.as_ref().map(to_proto),
            cut: one.is_cut,
        })
        .collect()
}

/// A node that differs.
#[must_use]
pub fn node(found: NodeDiff) -> proto::NodeDiff {
    proto::NodeDiff {
        node_id: found.id.to_string(),
        kind: kind(found.base_kind.as_ref(), found.compare_kind.as_ref()).into(),
        base_type: found.base_kind.unwrap_or_default(),
        compare_type: found.compare_kind.unwrap_or_default(),
        differences: values(&found.differences),
        affects_runs: found.affects_runs,
    }
}

/// An edge that differs.
#[must_use]
pub fn edge(found: &EdgeDiff) -> proto::EdgeDiff {
    proto::EdgeDiff {
        kind: kind(found.base.as_ref(), found.compare.as_ref()).into(),
        base: found.base.as_ref().map(edge_to_proto),
        compare: found.compare.as_ref().map(edge_to_proto),
        affects_runs: found.affects_runs,
    }
}
