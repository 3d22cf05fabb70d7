//! What the author of a flow sets on a `transform` node.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::applet::if_else::present;
use crate::expression::cel::Program;
use crate::expression::json_path::JsonPath;
use crate::expression::pattern::Pattern;
use crate::expression::schema::Schema;
use crate::flow::Violation;
use crate::template::expression::Expression;
use crate::template::{EXTRA_NAMES, Reads, Templated};

/// Named reasons of its failures.
pub const REASONS: &[(&str, &str)] = &[
    (
        "TEMPLATE_PATH_MISSING",
        "a template or expression names a path where there is nothing",
    ),
    ("PATH_MISSING", "nothing is at the JSON path"),
    ("INDEX_OUT_OF_RANGE", "there is no part at split_index"),
    ("SCHEMA_MISMATCH", "the source does not fit the schema"),
    ("EXPRESSION_FAILED", "an expression could not be computed"),
    (
        "EXPRESSION_TOO_EXPENSIVE",
        "an expression or pattern used up what one evaluation may",
    ),
    ("RENDERED_TOO_LARGE", "what came out is over 16 MiB"),
    (
        "INVALID_CONFIG",
        "the config does not fit once its templates are rendered",
    ),
];

/// The most replacements and splits that can be set.
const MAX_COUNT: i64 = 10_000;

/// The largest index of a part.
const MAX_INDEX: u32 = 100_000;

/// What the author of a flow sets on a `transform` node. Keys of other operations than the chosen one may stand, and
/// do nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What is done.
    #[serde(default)]
    pub operation: Operation,
    /// What it is done to; without it the node's input.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Value")]
    pub source: Option<Value>,
    /// For `json_path`: names and indexes lead to a value, which must be there; any other path gives a list.
    #[serde(default = "root")]
    #[schemars(length(max = 2000))]
    pub json_path: String,
    /// For `template`: rendered with `source` (also called `value`) beside the other names; without it `{{ source }}`.
    #[serde(default)]
    #[schemars(with = "String")]
    pub template: Option<String>,
    /// For `regex_replace`: in Python's dialect, not empty.
    #[serde(default)]
    #[schemars(length(max = 2000))]
    pub regex_pattern: String,
    /// For `regex_replace`: may hold `\1`, `\g<1>` and `\g<name>`.
    #[serde(default)]
    pub regex_replacement: String,
    /// For `regex_replace`: any of `i`, `m`, `s`, `x`.
    #[serde(default)]
    pub regex_flags: String,
    /// For `regex_replace`: how many matches are replaced, 0 to 10,000; 0 means all.
    #[serde(default)]
    #[schemars(with = "Templated<i64>")]
    pub regex_count: Option<Templated<i64>>,
    /// For `split_join`: where a text is split; empty means between all characters.
    #[serde(default = "comma")]
    pub split_delimiter: String,
    /// For `split_join`: how often it is split, -1 (always) to 10,000.
    #[serde(default)]
    #[schemars(with = "Templated<i64>")]
    pub split_maxsplit: Option<Templated<i64>>,
    /// For `split_join`: the part that is the output, 0 to 100,000.
    #[serde(default)]
    #[schemars(with = "Templated<u32>")]
    pub split_index: Option<Templated<u32>>,
    /// For `split_join`: what joins the parts.
    #[serde(default = "comma")]
    pub join_delimiter: String,
    /// For `split_join`: the output is the list of the parts.
    #[serde(default)]
    pub return_list: bool,
    /// For `split_join`: white space around each part is removed.
    #[serde(default)]
    pub strip_items: bool,
    /// For `split_join`: empty parts are left out.
    #[serde(default)]
    pub drop_empty: bool,
    /// For `expression` (minijinja) and `cel`: names what a template may, and `source`.
    #[serde(default)]
    #[schemars(length(max = 2000))]
    pub expression: String,
    /// For `json_schema`: what the source must fit, draft 2020-12 unless it says otherwise.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Value")]
    pub schema: Option<Value>,
}

fn root() -> String {
    "$".to_owned()
}

fn comma() -> String {
    ",".to_owned()
}

/// What a transform does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Follows a JSON path into the source.
    JsonPath,
    /// Renders a template.
    #[default]
    Template,
    /// Replaces what matches a pattern in the source's text.
    RegexReplace,
    /// Splits a text, or takes a list, and joins the parts.
    SplitJoin,
    /// Computes an expression of minijinja.
    Expression,
    /// Computes an expression of CEL.
    Cel,
    /// Checks the source against a schema.
    JsonSchema,
}

impl Config {
    /// All that is wrong with it.
    pub fn violations(&self) -> Vec<Violation> {
        let mut violations = self.bound_violations();
        violations.extend(self.code_violation());
        violations
    }

    /// What is wrong with what templates can change.
    pub fn bound_violations(&self) -> Vec<Violation> {
        let mut violations = Vec::new();
        let count = self.regex_count.as_ref().and_then(Templated::known);
        if let Some(count) = count.filter(|count| !(0..=MAX_COUNT).contains(*count)) {
            let bounds = "0 to 10000";
            violations.push(Violation::out_of_bounds("regex_count", count, bounds));
        }
        let splits = self.split_maxsplit.as_ref().and_then(Templated::known);
        if let Some(splits) = splits.filter(|splits| !(-1..=MAX_COUNT).contains(*splits)) {
            let bounds = "-1 to 10000";
            violations.push(Violation::out_of_bounds("split_maxsplit", splits, bounds));
        }
        let index = self.split_index.as_ref().and_then(Templated::known);
        if let Some(index) = index.filter(|index| **index > MAX_INDEX) {
            let bounds = "0 to 100000";
            violations.push(Violation::out_of_bounds("split_index", index, bounds));
        }
        violations
    }

    /// What does not compile.
    fn code_violation(&self) -> Option<Violation> {
        let of_expression = |field| move |error| Violation::of_expression(field, &error);
        let checked = match self.operation {
            Operation::Template | Operation::SplitJoin => Ok(()),
            Operation::JsonPath => JsonPath::parse(&self.json_path)
                .map(drop)
                .map_err(of_expression("json_path")),
            Operation::RegexReplace => Pattern::parse(&self.regex_pattern, &self.regex_flags)
                .map_err(of_expression("regex_pattern"))
                .and_then(|pattern| {
                    pattern
                        .replacement(&self.regex_replacement)
                        .map(drop)
                        .map_err(of_expression("regex_replacement"))
                }),
            Operation::Expression => Expression::parse(&self.expression)
                .and_then(|expression| expression.reads().check_names(&EXTRA_NAMES))
                .map_err(|error| Violation::of_template("expression", &error)),
            Operation::Cel => Program::parse(&self.expression, &EXTRA_NAMES)
                .map(drop)
                .map_err(of_expression("expression")),
            Operation::JsonSchema => match &self.schema {
                None => Err(Violation::at(
                    "schema",
                    "REQUIRED",
                    "is absent, and there is no default",
                )),
                Some(schema) => Schema::compile(schema)
                    .map(drop)
                    .map_err(of_expression("schema")),
            },
        };
        checked.err()
    }

    /// What its expression reads.
    pub fn reads(&self) -> Reads {
        match self.operation {
            Operation::Expression => Expression::parse(&self.expression)
                .map(|expression| expression.reads().clone())
                .unwrap_or_default(),
            Operation::Cel => Program::parse(&self.expression, &EXTRA_NAMES)
                .map(|program| program.reads().clone())
                .unwrap_or_default(),
            _ => Reads::default(),
        }
    }
}
