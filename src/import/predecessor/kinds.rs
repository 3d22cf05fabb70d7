//! The predecessor's node types, under all the names that it took.

/// A kind of node that the predecessor had, and what this service calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Start,
    End,
    Llm,
    Image,
    Memory,
    HttpRequest,
    Code,
    Transform,
    IfElse,
    Merge,
    ForEach,
    Writer,
    Artist,
}

/// Each kind with its name here and the other names that the predecessor had for it.
const KINDS: &[(Kind, &str, &[&str])] = &[
    (Kind::Start, "start", &[]),
    (Kind::End, "end", &[]),
    (Kind::Llm, "llm", &[]),
    (Kind::Image, "image", &["image_gen"]),
    (
        Kind::Memory,
        "memory",
        &["memory_node", "memoryapplet", "memory_applet"],
    ),
    (
        Kind::HttpRequest,
        "http_request",
        &["httprequest", "http_request_node", "http"],
    ),
    (Kind::Code, "code", &["code_node", "code_execution"]),
    (
        Kind::Transform,
        "transform",
        &["transform_node", "transformer", "data_transform"],
    ),
    (
        Kind::IfElse,
        "if_else",
        &["ifelse", "conditional", "condition", "condition_node"],
    ),
    (Kind::Merge, "merge", &["fan_in", "merge_node", "fanin"]),
    (
        Kind::ForEach,
        "for_each",
        &["foreach", "for_each_node", "loop"],
    ),
    (Kind::Writer, "writer", &[]),
    (Kind::Artist, "artist", &[]),
];

impl Kind {
    /// The kind that a node's type names; `None` for one that the predecessor had nothing for either.
    ///
    /// White space around it, case, and `-` for `_` do not matter.
    pub fn of(text: &str) -> Option<Self> {
        let name = text.trim().to_lowercase().replace('-', "_");
        KINDS
            .iter()
            .find(|(_, here, others)| *here == name || others.contains(&name.as_str()))
            .map(|(kind, _, _)| *kind)
    }

    /// The kind of applet, here.
    pub fn name(self) -> &'static str {
        KINDS
            .iter()
            .find(|(kind, _, _)| *kind == self)
            .map_or("", |(_, name, _)| name)
    }

    /// Whether the engine ran it like any other node, with a timeout, retries and a fallback.
    pub fn is_ordinary(self) -> bool {
        !matches!(self, Self::Start | Self::End)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alias_names_its_kind() {
        for (kind, names) in [
            (Kind::Image, "image image_gen image-gen"),
            (
                Kind::Memory,
                "memory memory_node memory-node memoryapplet memory_applet memory-applet",
            ),
            (
                Kind::HttpRequest,
                "http_request http-request httprequest http_request_node http",
            ),
            (
                Kind::Code,
                "code code-node code_node code_execution code-execution",
            ),
            (
                Kind::Transform,
                "transform transform-node transform_node transformer data_transform data-transform",
            ),
            (
                Kind::IfElse,
                "if_else ifelse if-else conditional condition condition_node condition-node",
            ),
            (
                Kind::Merge,
                "merge fan_in fan-in merge_node merge-node fanin",
            ),
            (
                Kind::ForEach,
                "for_each foreach for-each for_each_node for-each-node loop",
            ),
        ] {
            for name in names.split(' ') {
                assert_eq!(Kind::of(name), Some(kind), "{name}");
            }
        }
    }

    #[test]
    fn case_and_white_space_do_not_matter_and_strangers_are_nobody() {
        assert_eq!(Kind::of(" HTTP-Request "), Some(Kind::HttpRequest));
        assert_eq!(Kind::of("custom"), None);
        assert_eq!(Kind::of(""), None);
        assert_eq!(Kind::ForEach.name(), "for_each");
    }
}
