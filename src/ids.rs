//! The names of things: a newtype each, so that none is taken for another.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Wraps `text` as it is: what may be in it is checked where it comes in.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self::new(text)
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self::new(text)
            }
        }
    };
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID.
            #[must_use]
            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID itself.
            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

text_id!(
    /// Whose flows and runs these are: the second argument of every query that serves a request.
    Namespace
);
text_id!(
    /// A flow's name in its namespace: the client's text (`[A-Za-z0-9_.-]{1,200}`) or a UUIDv7.
    FlowId
);
text_id!(
    /// A node's name, unique in its revision.
    NodeId
);
text_id!(
    /// A step's place in its run: a node id, in a loop with the item's index (`loop[3]/summarise`).
    StepPath
);

uuid_id!(
    /// A run: a UUIDv7 made by the service, so that ids are ordered by time.
    RunId
);
uuid_id!(
    /// One start of the process, which owns runs: fresh at each start.
    ExecutorId
);

impl Namespace {
    /// The namespace of every caller while access control is off.
    #[must_use]
    pub fn default_namespace() -> Self {
        Self::new("default")
    }
}

impl From<&NodeId> for StepPath {
    /// The path of a node at the top of its run.
    fn from(node: &NodeId) -> Self {
        Self(Arc::clone(&node.0))
    }
}

impl ExecutorId {
    /// A fresh executor: no two starts of a process share one.
    #[must_use]
    pub fn fresh() -> Self {
        Self(Uuid::new_v4())
    }
}

/// A flow's key inside the database. A flow that was deleted and created again under the same id
/// has another one, so that it does not inherit runs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct FlowKey(pub i64);

/// A run in its namespace: what the store and the engine look a run up by.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RunKey {
    /// Whose run it is.
    pub namespace: Namespace,
    /// Which run.
    pub run_id: RunId,
}

impl fmt::Display for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.run_id)
    }
}
