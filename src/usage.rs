//! What was metered: tokens that models read and wrote, and what they cost.

use serde::{Deserialize, Serialize};

/// What an attempt, a step or a run has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens that models have read.
    #[serde(default)]
    pub input_tokens: u64,
    /// Tokens that models have written.
    #[serde(default)]
    pub output_tokens: u64,
    /// What it cost, in millionths of a US dollar, as far as the price was known.
    #[serde(default)]
    pub cost_micro_usd: u64,
}

impl Usage {
    /// Whether nothing was metered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what else was used. Numbers that a provider made up do not overflow.
    pub fn add(&mut self, other: Self) {
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        self.cost_micro_usd = self.cost_micro_usd.saturating_add(other.cost_micro_usd);
    }
}
