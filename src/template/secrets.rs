//! Values of secrets, as templates find them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

/// The longest name of a secret, in characters.
pub const MAX_NAME_CHARS: usize = 100;

/// Whether this is the name of a secret: `[A-Za-z0-9_-]{1,100}`.
#[must_use]
pub fn is_name(text: &str) -> bool {
    (1..=MAX_NAME_CHARS).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// Values of secrets by name; cheap to clone. What it prints are names.
#[derive(Clone, Default)]
pub struct Secrets {
    values: Arc<BTreeMap<String, Arc<str>>>,
}

impl Secrets {
    /// These values, by name.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = (String, Arc<str>)>) -> Self {
        Self {
            values: Arc::new(values.into_iter().collect()),
        }
    }

    /// The value of a secret.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Value> {
        self.values.get(name).map(|value| Value::from(&**value))
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}
