//! The config keys of the predecessor, kind by kind: what each was also called, and what becomes of its value.

use super::kinds::Kind;

/// A key of a config.
#[derive(Debug)]
pub(crate) struct Key {
    /// Its name, here and there.
    pub(crate) name: &'static str,
    /// What it was called too, in the order in which they counted.
    pub(crate) aliases: &'static [&'static str],
    /// What becomes of its value.
    pub(crate) shape: Shape,
}

/// What becomes of the value of a key.
#[derive(Debug)]
pub(crate) enum Shape {
    /// Its texts are templates, there as here, or were meant to be.
    Templates,
    /// It was never rendered there and is here: braces are kept as text.
    Text,
    /// It is rendered neither there nor here.
    Raw,
    /// A number, also as text.
    Number,
    /// A boolean, also as text or number.
    Flag,
    /// A list of texts, also a text alone.
    Texts,
    /// One of several words, each with what it was also called. What it does not know stays as it is.
    Word(&'static [(&'static str, &'static [&'static str])]),
    /// It has no place here, for this reason.
    Gone(&'static str),
}

const fn key(name: &'static str, aliases: &'static [&'static str], shape: Shape) -> Key {
    Key {
        name,
        aliases,
        shape,
    }
}

const UNUSED: &str = "the predecessor did not use it either";
const WATCHED: &str = "whoever watches the run with deltas sees the text as it comes";
const ONE_STORE: &str = "memories are kept in the service's own database";

const LLM: &[Key] = &[
    key("provider", &[], Shape::Word(&[])),
    key("model", &[], Shape::Text),
    key("system_prompt", &["systemPrompt"], Shape::Templates),
    key("temperature", &[], Shape::Number),
    key("max_tokens", &["maxTokens"], Shape::Number),
    key("top_p", &["topP"], Shape::Number),
    key("stop_sequences", &["stopSequences"], Shape::Texts),
    key("stream", &[], Shape::Gone(WATCHED)),
    key("structured_output", &["structuredOutput"], Shape::Flag),
    key("json_schema", &["jsonSchema"], Shape::Raw),
    key("base_url", &["baseUrl", "baseURL"], Shape::Text),
    key("headers", &[], Shape::Text),
    key("extra", &[], Shape::Text),
];

const IMAGE: &[Key] = &[
    key("provider", &[], Shape::Word(&[])),
    key("model", &[], Shape::Text),
    key("size", &[], Shape::Text),
    key("style", &[], Shape::Templates),
    key("quality", &[], Shape::Text),
    key("n", &[], Shape::Number),
    key(
        "response_format",
        &["responseFormat"],
        Shape::Word(&[("b64_json", &[]), ("url", &[])]),
    ),
    key("base_url", &["baseUrl", "baseURL"], Shape::Text),
    key("headers", &[], Shape::Text),
    key("extra", &[], Shape::Text),
];

const MEMORY: &[Key] = &[
    key(
        "operation",
        &[],
        Shape::Word(&[
            ("store", &[]),
            ("retrieve", &[]),
            ("search", &[]),
            ("delete", &[]),
            ("clear", &[]),
        ]),
    ),
    key(
        "backend",
        &["memoryBackend", "memory_backend"],
        Shape::Gone(ONE_STORE),
    ),
    key(
        "namespace",
        &["memoryNamespace", "memory_namespace"],
        Shape::Templates,
    ),
    key("key", &["memoryKey", "memory_key"], Shape::Templates),
    key("query", &[], Shape::Templates),
    key("tags", &[], Shape::Texts),
    key("top_k", &["topK"], Shape::Number),
    key("persist_path", &["persistPath"], Shape::Gone(ONE_STORE)),
    key(
        "collection",
        &["collectionName", "collection_name"],
        Shape::Gone(ONE_STORE),
    ),
    key("include_metadata", &["includeMetadata"], Shape::Flag),
    key("extra", &[], Shape::Gone(UNUSED)),
];

const HTTP_REQUEST: &[Key] = &[
    key("url", &[], Shape::Templates),
    key(
        "method",
        &[],
        Shape::Word(&[
            ("GET", &[]),
            ("POST", &[]),
            ("PUT", &[]),
            ("PATCH", &[]),
            ("DELETE", &[]),
        ]),
    ),
    key("headers", &[], Shape::Templates),
    key("query_params", &["queryParams", "params"], Shape::Templates),
    key("body_template", &["bodyTemplate", "body"], Shape::Templates),
    key(
        "body_type",
        &["bodyType"],
        Shape::Word(&[
            ("auto", &[]),
            ("json", &[]),
            ("text", &[]),
            ("form", &[]),
            ("none", &[]),
        ]),
    ),
    key(
        "allow_redirects",
        &["allowRedirects", "follow_redirects", "followRedirects"],
        Shape::Flag,
    ),
    key("verify_ssl", &["verifySSL", "verifySsl"], Shape::Flag),
    key(
        "include_response_headers",
        &["includeResponseHeaders"],
        Shape::Flag,
    ),
    // Not the predecessor's, and so only in a document that somebody has worked on since.
    key("fail_on_status", &["failOnStatus"], Shape::Flag),
    key(
        "auth_type",
        &["authType"],
        Shape::Word(&[
            ("none", &[]),
            ("bearer", &[]),
            ("basic", &[]),
            ("api_key", &["apikey"]),
        ]),
    ),
    key("auth_value", &["authValue"], Shape::Templates),
    key("auth_header_name", &["authHeaderName"], Shape::Text),
    key(
        "extra",
        &[],
        Shape::Gone("it held arguments of a Python library"),
    ),
];

const CODE: &[Key] = &[
    key(
        "language",
        &["runtime"],
        Shape::Word(&[
            ("python", &["py", "python3"]),
            ("javascript", &["js", "node", "nodejs"]),
        ]),
    ),
    key("code", &[], Shape::Raw),
    key("cpu_time_seconds", &["cpuTimeSeconds"], Shape::Number),
    key("memory_limit_mb", &["memoryLimitMb"], Shape::Number),
    key("max_output_bytes", &["maxOutputBytes"], Shape::Number),
    key(
        "working_dir",
        &["workingDir"],
        Shape::Gone("code has no file system"),
    ),
    key("env", &[], Shape::Gone("code has no environment")),
    key("extra", &[], Shape::Gone(UNUSED)),
];

const TRANSFORM: &[Key] = &[
    key(
        "operation",
        &[],
        Shape::Word(&[
            ("json_path", &["jsonpath", "json_extract", "extract"]),
            (
                "template",
                &["template_string", "string_template", "format"],
            ),
            ("regex_replace", &["regex", "replace"]),
            ("split_join", &["split", "join", "splitjoin"]),
        ]),
    ),
    key("source", &["input"], Shape::Templates),
    key("json_path", &["jsonPath", "path"], Shape::Raw),
    key(
        "template",
        &["template_string", "templateString"],
        Shape::Templates,
    ),
    key("regex_pattern", &["regexPattern", "pattern"], Shape::Raw),
    key(
        "regex_replacement",
        &["regexReplacement", "replacement"],
        Shape::Raw,
    ),
    key("regex_flags", &["regexFlags", "flags"], Shape::Raw),
    key("regex_count", &["regexCount", "count"], Shape::Number),
    key(
        "split_delimiter",
        &["splitDelimiter", "delimiter"],
        Shape::Text,
    ),
    key(
        "split_maxsplit",
        &["splitMaxsplit", "maxsplit"],
        Shape::Number,
    ),
    key("split_index", &["splitIndex"], Shape::Number),
    key("join_delimiter", &["joinDelimiter", "joiner"], Shape::Text),
    key("return_list", &["returnList"], Shape::Flag),
    key("strip_items", &["stripItems"], Shape::Flag),
    key("drop_empty", &["dropEmpty"], Shape::Flag),
];

const IF_ELSE: &[Key] = &[
    key(
        "operation",
        &["condition", "match_type", "matchType"],
        Shape::Word(&[
            ("equals", &["eq", "equal"]),
            ("contains", &["contains_text"]),
            ("regex", &["matches", "regex_match", "pattern"]),
            ("json_path", &["jsonpath", "json_path_exists", "path"]),
        ]),
    ),
    key("source", &["left", "input"], Shape::Templates),
    key("value", &["expected", "right"], Shape::Templates),
    key("case_sensitive", &["caseSensitive"], Shape::Flag),
    key("negate", &["not"], Shape::Flag),
    key("regex_pattern", &["regexPattern", "pattern"], Shape::Raw),
    key("regex_flags", &["regexFlags", "flags"], Shape::Raw),
    key("json_path", &["jsonPath", "path"], Shape::Raw),
];

const MERGE: &[Key] = &[
    key(
        "strategy",
        &["merge_strategy", "mergeStrategy"],
        Shape::Word(&[
            ("array", &[]),
            ("concatenate", &["concat", "join"]),
            ("first_wins", &["first", "firstwins"]),
        ]),
    ),
    key(
        "delimiter",
        &["join_delimiter", "joinDelimiter"],
        Shape::Text,
    ),
];

/// Its other keys are [`super::loops`]'s.
const FOR_EACH: &[Key] = &[key(
    "array_source",
    &["arraySource", "source"],
    Shape::Templates,
)];

const WRITER: &[Key] = &[key("system_prompt", &["systemPrompt"], Shape::Templates)];

const ARTIST: &[Key] = &[
    key(
        "generator",
        &["image_generator", "imageGenerator"],
        Shape::Word(&[
            ("stability", &["stability_ai", "stable_diffusion"]),
            ("openai", &["dall_e", "dalle", "dall_e_3", "dalle_3"]),
            ("flux", &[]),
        ]),
    ),
    key("style", &[], Shape::Templates),
];

/// The keys of a kind, in the order in which they are told about.
pub(crate) fn of(kind: Kind) -> &'static [Key] {
    match kind {
        Kind::Start | Kind::End => &[],
        Kind::Llm => LLM,
        Kind::Image => IMAGE,
        Kind::Memory => MEMORY,
        Kind::HttpRequest => HTTP_REQUEST,
        Kind::Code => CODE,
        Kind::Transform => TRANSFORM,
        Kind::IfElse => IF_ELSE,
        Kind::Merge => MERGE,
        Kind::ForEach => FOR_EACH,
        Kind::Writer => WRITER,
        Kind::Artist => ARTIST,
    }
}

/// Keys that the engine read, or an editor, from the `data` of any node.
const OF_ANY: [&str; 7] = [
    "label",
    "timeout_seconds",
    "timeoutSeconds",
    "retry_config",
    "retryConfig",
    "fallback_node_id",
    "fallbackNodeId",
];

/// Keys of one kind that are in no table, because more than their name changes.
const OF_ONE: &[(Kind, &[&str])] = &[
    (Kind::Start, &["parsedInputData"]),
    (Kind::HttpRequest, &["max_retries", "retry_backoff_factor"]),
    (
        Kind::IfElse,
        &[
            "true_target",
            "trueTarget",
            "false_target",
            "falseTarget",
            "on_true",
            "on_false",
        ],
    ),
    (
        Kind::ForEach,
        &[
            "sub_nodes",
            "subNodes",
            "parallel",
            "concurrency_limit",
            "concurrencyLimit",
            "max_iterations",
            "maxIterations",
        ],
    ),
];

/// Whether a config of this kind has this key only in documents of the predecessor.
pub(super) fn is_predecessors(kind: Kind, name: &str) -> bool {
    let special = OF_ONE.iter().filter(|(of, _)| *of == kind);
    OF_ANY.contains(&name)
        || special
            .flat_map(|(_, names)| *names)
            .any(|key| *key == name)
        || of(kind).iter().any(|key| {
            key.aliases.contains(&name) || (key.name == name && matches!(key.shape, Shape::Gone(_)))
        })
}
