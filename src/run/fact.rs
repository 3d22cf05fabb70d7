//! What events are made of: payloads, failures, what is waited for, where a run comes from.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::state::Decision;
use crate::ids::{NodeId, RunId, StepPath};
use crate::usage::Usage;
use crate::value::canonical;

/// What is known of a payload without reading it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayloadInfo {
    /// Length of its JSON text.
    pub size_bytes: u64,
    /// SHA-256 of its JSON text, in hexadecimal digits.
    pub sha256: String,
    /// Where its chunks lie; `None` if it is kept beside the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunks: Option<ChunkKey>,
}

/// Where the chunks of a payload lie within their run.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ChunkKey {
    /// Whose output it is; empty for the run's own input and output.
    pub path: String,
    /// The attempt that made it; for the run's own: 0 is the input, 1 the output.
    pub attempt: u32,
    /// The epoch in which it was written: one that was fenced meanwhile harms nobody.
    pub epoch: i64,
}

/// What went wrong in a step or a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// Named reason, for programs.
    pub reason: String,
    /// For people.
    pub message: String,
    /// More of it: an answer's status, the path that was missing.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub details: Map<String, Value>,
    /// What the attempt has used all the same.
    #[serde(default, skip_serializing_if = "Usage::is_empty")]
    pub usage: Usage,
}

/// What ended a run as failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunError {
    /// The failure itself.
    #[serde(flatten)]
    pub failure: Failure,
    /// The step that failed, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<StepPath>,
    /// Its attempt; 0 if no step failed.
    #[serde(default)]
    pub attempt: u32,
}

/// What a waiting step waits for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Awaited {
    /// Its time.
    #[default]
    Time,
    /// The time of its next attempt.
    Retry,
    /// A signal.
    Signal {
        /// The signal's name.
        name: String,
        /// Whether the wait has a time of its own; else only the run's ends it.
        expires: bool,
    },
    /// Somebody's decision.
    Approval(Box<Asked>),
    /// The end of a child run.
    Child {
        /// Which run.
        run_id: RunId,
    },
}

impl Awaited {
    pub(super) fn is_time(&self) -> bool {
        *self == Self::Time
    }
}

/// What somebody is asked to decide.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// A few words.
    pub title: String,
    /// What there is to know; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// JSON schema of the values that the decision carries; any object without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form_schema: Option<Value>,
    /// What is decided when the time is over; without one the wait expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_decision: Option<Decision>,
    /// Whether the request has a time of its own; else only the run's ends it.
    pub expires: bool,
}

/// The step that waits for a child run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// Its run.
    pub run_id: RunId,
    /// The step.
    pub path: StepPath,
    /// How many runs the child is below one that nobody has called: 1 for a child of such a one.
    pub depth: u32,
    /// When the parent's time is up, and the child's with it.
    pub deadline: DateTime<Utc>,
}

/// The run whose recorded outputs a fork may use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// Which run.
    pub run_id: RunId,
    /// Its last event when it was forked: what has happened to it since is not looked at.
    pub sequence: i64,
    /// Nodes that run in any case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from_nodes: Vec<NodeId>,
    /// Outputs that are given in place of running their nodes.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub output_overrides: Map<String, Value>,
    /// The ports that they leave by, where their nodes have several.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub output_ports: BTreeMap<NodeId, String>,
}

/// An output that a fork's author gives in place of running its node.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// The output.
    pub value: &'a Value,
    /// The port that it leaves by; empty for the node's only one.
    pub port: &'a str,
}

impl Given<'_> {
    /// SHA-256 of its JSON text, as [`PayloadInfo::sha256`] has it.
    #[must_use]
    pub fn hash(&self) -> String {
        canonical::hex(&canonical::digest(self.value.to_string().as_bytes()))
    }
}

impl Origin {
    /// The output that is given in place of running a node, if one is.
    #[must_use]
    pub fn find_given(&self, node: &NodeId) -> Option<Given<'_>> {
        let value = self.output_overrides.get(node.as_str())?;
        let port = self.output_ports.get(node).map_or("", String::as_str);
        Some(Given { value, port })
    }
}

/// Where an output was taken from that was not computed again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reused {
    /// The run that computed it, or the fork itself where its author gave the output.
    pub run_id: RunId,
    /// The event there; 0 where the fork's author gave the output.
    pub sequence: i64,
}
