//! What an import says about what it did.

use crate::flow::validate::Warning;
use crate::ids::NodeId;

/// The most warnings that are kept of one document.
const MOST: usize = 10_000;

/// The longest text of a document inside a warning, in characters.
const SHOWN_CHARS: usize = 80;

/// The warnings so far.
#[derive(Debug, Default)]
pub(super) struct Notes(Vec<Warning>);

/// A place in a document: its path, and the node that it belongs to.
#[derive(Clone, Debug)]
pub(super) struct Place {
    path: String,
    node: Option<NodeId>,
}

impl Place {
    /// The document itself, or a part of it that belongs to no node.
    pub(super) fn of_document(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            node: None,
        }
    }

    /// A node.
    pub(super) fn of_node(path: String, node: &NodeId) -> Self {
        Self {
            path,
            node: Some(node.clone()),
        }
    }

    /// What is under a key of it.
    pub(super) fn key(&self, key: &str) -> Self {
        Self {
            path: format!("{}.{}", self.path, shown(key)),
            node: self.node.clone(),
        }
    }

    /// An item of the list that it is.
    pub(super) fn item(&self, index: usize) -> Self {
        Self {
            path: format!("{}[{index}]", self.path),
            node: self.node.clone(),
        }
    }

    /// The same place, for a node inside the one it belongs to.
    pub(super) fn for_node(&self, node: &NodeId) -> Self {
        Self {
            path: self.path.clone(),
            node: Some(node.clone()),
        }
    }

    /// Its path.
    pub(super) fn path(&self) -> &str {
        &self.path
    }
}

impl Notes {
    /// Notes what was done at a place.
    pub(super) fn add(
        &mut self,
        place: &Place,
        reason: &'static str,
        description: impl Into<String>,
    ) {
        if self.0.len() < MOST {
            self.0.push(Warning {
                field: place.path.clone(),
                reason,
                description: description.into(),
                node: place.node.clone(),
            });
        }
    }

    /// All of them.
    pub(super) fn into_warnings(self) -> Vec<Warning> {
        self.0
    }
}

/// A text of the document inside a warning, shortened.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
