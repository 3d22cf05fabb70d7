//! From a node's kind to its applet: where the applets' types are erased.

use std::sync::Arc;

use super::{Description, Error, Prepared};
use crate::flow::{Inspection, Node};

/// All applets of the service, by kind.
#[derive(Clone, Debug)]
pub struct Registry {}

/// One line of the catalogue.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The kind, as nodes name it.
    pub kind: &'static str,
    /// What the applet says of itself.
    pub description: Description,
    /// JSON schema of its config, with `x-template: false` on what is never rendered.
    pub config_schema: serde_json::Value,
}

impl Registry {
    /// The applets that come with the service.
    #[must_use]
    pub fn standard() -> Self {
        Self {}
    }

    /// All applets, by kind in alphabetical order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &[]
    }

    /// One applet.
    #[must_use]
    pub fn find(&self, _kind: &str) -> Option<&Entry> {
        None
    }

    /// What the applets say about a node that somebody wants to save; `None` if no applet is of its kind.
    #[must_use]
    pub fn inspect(&self, _node: &Node) -> Option<Inspection> {
        None
    }

    /// Makes a node of a valid revision ready to run.
    ///
    /// # Errors
    ///
    /// `UNKNOWN_APPLET` or `INVALID_CONFIG` where this binary does not understand what another one has saved.
    pub fn prepare(&self, node: &Node) -> Result<Arc<dyn Prepared>, Error> {
        Err(Error::permanent(
            "UNKNOWN_APPLET",
            format!("no applet is of kind {}", node.kind),
        ))
    }
}
