//! What applets compile from configs, kept from attempt to attempt.
//!
//! Compiling a pattern or CEL takes longer than using it. The applets that need any share one such store, which is
//! bounded; what falls out is compiled again.

use std::fmt;
use std::sync::Arc;

use quick_cache::sync::Cache;
use serde_json::Value;

use crate::expression::Error;
use crate::expression::cel::Program;
use crate::expression::json_path::JsonPath;
use crate::expression::pattern::Pattern;
use crate::expression::schema::Schema;
use crate::template::EXTRA_NAMES;

/// Patterns and schemas that are kept: some are large (up to about 8 MiB).
const LARGE: usize = 100;

/// Paths and expressions that are kept: all are small.
const SMALL: usize = 1_000;

/// Compiled patterns, paths, expressions and schemas by their text.
pub struct Compiled {
    patterns: Cache<(String, String), Pattern>,
    paths: Cache<String, Arc<JsonPath>>,
    programs: Cache<String, Program>,
    schemas: Cache<String, Arc<Schema>>,
}

impl fmt::Debug for Compiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compiled")
            .field("patterns", &self.patterns.len())
            .field("paths", &self.paths.len())
            .field("programs", &self.programs.len())
            .field("schemas", &self.schemas.len())
            .finish()
    }
}

impl Default for Compiled {
    fn default() -> Self {
        Self::new()
    }
}

impl Compiled {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self {
            patterns: Cache::new(LARGE),
            paths: Cache::new(SMALL),
            programs: Cache::new(SMALL),
            schemas: Cache::new(LARGE),
        }
    }

    /// A regular expression.
    ///
    /// # Errors
    ///
    /// As [`Pattern::parse`].
    pub fn pattern(&self, pattern: &str, flags: &str) -> Result<Pattern, Error> {
        let key = (pattern.to_owned(), flags.to_owned());
        self.patterns
            .get_or_insert_with(&key, || Pattern::parse(pattern, flags))
    }

    /// A JSON path.
    ///
    /// # Errors
    ///
    /// As [`JsonPath::parse`].
    pub fn path(&self, path: &str) -> Result<Arc<JsonPath>, Error> {
        self.paths
            .get_or_insert_with(path, || JsonPath::parse(path).map(Arc::new))
    }

    /// A CEL expression, which may name what a template may.
    ///
    /// # Errors
    ///
    /// As [`Program::parse`].
    pub fn program(&self, expression: &str) -> Result<Program, Error> {
        self.programs
            .get_or_insert_with(expression, || Program::parse(expression, &EXTRA_NAMES))
    }

    /// A JSON schema.
    ///
    /// # Errors
    ///
    /// As [`Schema::compile`].
    pub fn schema(&self, schema: &Value) -> Result<Arc<Schema>, Error> {
        self.schemas
            .get_or_insert_with(schema.to_string().as_str(), || {
                Schema::compile(schema).map(Arc::new)
            })
    }
}
