//! Templates in a node's config.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::ids::{NodeId, RunId};

/// What templates and expressions can name.
#[derive(Clone, Debug)]
pub struct Scope {
    /// `input`: the run's.
    pub input: Arc<Value>,
    /// `content`: the node's input.
    pub content: Arc<Value>,
    /// `results.<node>.output`: of finished nodes, as far as they are named.
    pub results: Arc<BTreeMap<NodeId, Arc<Value>>>,
    /// `run.id`.
    pub run_id: RunId,
    /// `node.id`.
    pub node_id: NodeId,
    /// `item` and `index`, inside a loop.
    pub item: Option<(Arc<Value>, u64)>,
    /// Names that an applet adds (`source` and `value` of a transform's template).
    pub extra: BTreeMap<&'static str, Arc<Value>>,
}
