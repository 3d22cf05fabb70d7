//! What validation has found so far, and how it is said: in the order of the flow's fields, whatever the order of
//! finding.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::Violation;

/// What is wrong with a graph, by the part of it that it is about.
#[derive(Debug)]
pub(super) struct Findings {
    /// Path of the graph: `flow`, or that of a loop's body.
    base: String,
    about: BTreeMap<Part, Vec<Violation>>,
}

/// A part of a flow, in the order of its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// Id, name, description, labels, and how many nodes and edges there are.
    Flow,
    /// The node at this index.
    Node(usize),
    /// The edge at this index.
    Edge(usize),
    /// Input schema and policy.
    Rules,
    /// A request to start a run.
    Start,
}

/// A path and one inside it, which may begin with an index.
pub(super) fn join(base: String, inner: &str) -> String {
    match inner.chars().next() {
        None => base,
        Some(_) if base.is_empty() => inner.to_owned(),
        Some('[') => base + inner,
        Some(_) => base + "." + inner,
    }
}

impl Findings {
    /// Nothing yet, of a flow.
    pub(super) fn of_flow() -> Self {
        Self::inside("flow".to_owned())
    }

    /// Nothing yet, of the graph at this path.
    pub(super) fn inside(base: String) -> Self {
        Self {
            base,
            about: BTreeMap::new(),
        }
    }

    /// Path of a field of a part, as the client writes it; empty for the part itself.
    pub(super) fn path(&self, part: Part, field: &str) -> String {
        let base = &self.base;
        let place = match part {
            Part::Flow | Part::Rules => base.clone(),
            Part::Node(index) => format!("{base}.nodes[{index}]"),
            Part::Edge(index) => format!("{base}.edges[{index}]"),
            Part::Start => String::new(),
        };
        join(place, field)
    }

    /// Notes what is wrong with a field of a part.
    pub(super) fn add(
        &mut self,
        part: Part,
        field: &str,
        reason: &'static str,
        description: impl Into<String>,
    ) {
        let violation = Violation {
            field: self.path(part, field),
            reason,
            description: description.into(),
        };
        self.about.entry(part).or_default().push(violation);
    }

    /// Takes what is wrong with the graph inside a part.
    pub(super) fn absorb(&mut self, part: Part, inner: Self) {
        let found = inner.about.into_values().flatten();
        self.about.entry(part).or_default().extend(found);
    }

    /// All of it, in the order of the flow's fields.
    pub(super) fn into_violations(self) -> Vec<Violation> {
        self.about.into_values().flatten().collect()
    }
}

/// A client's text inside a message: at most 60 characters of it, with control characters escaped.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    const MOST: usize = 60;
    let has_control = text.chars().take(MOST).any(char::is_control);
    match text.char_indices().nth(MOST) {
        None if !has_control => Cow::Borrowed(text),
        None => text.escape_debug().to_string().into(),
        Some((end, _)) => format!("{}…", text[..end].escape_debug()).into(),
    }
}
