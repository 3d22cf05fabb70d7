//! What calls cost: a table that the operator keeps, because prices change more often than the service.
//!
//! ```json
//! {"openai/gpt-4o": {"input": 2.5, "output": 10}, "openai/dall-e-3": {"image": 0.04}}
//! ```

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;

use super::Provider;

/// Prices by provider and model, in US dollars.
#[derive(Clone, Debug, Default)]
pub struct Prices(HashMap<String, Price>);

/// What one model costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// For a million tokens of the prompt.
    #[serde(default)]
    pub input: f64,
    /// For a million tokens of the answer.
    #[serde(default)]
    pub output: f64,
    /// For one image.
    #[serde(default)]
    pub image: f64,
}

/// The highest price that is taken: what is above is a mistake of units.
const MAX_PRICE: f64 = 1_000_000.0;

impl Prices {
    /// Reads the table from a file.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        Self::parse(&text).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Reads the table.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let table: HashMap<String, Price> =
            serde_json::from_str(text).map_err(|error| error.to_string())?;
        for (name, price) in &table {
            let provider = name.split_once('/').map(|(provider, _)| provider);
            if provider.and_then(Provider::find).is_none() {
                return Err(format!(
                    "{name} is not called after a provider and a model: openai/gpt-4o"
                ));
            }
            let Price {
                input,
                output,
                image,
            } = *price;
            if [input, output, image]
                .iter()
                .any(|price| !(0.0..=MAX_PRICE).contains(price))
            {
                return Err(format!("a price of {name} is not within 0 and {MAX_PRICE}"));
            }
        }
        Ok(Self(table))
    }

    /// What tokens cost, in millionths of a US dollar, rounded; `None` for a model that is not in the table.
    #[must_use]
    pub fn find_cost(
        &self,
        provider: Provider,
        model: &str,
        input_tokens: u64,
        output_tokens: u64,
    ) -> Option<u64> {
        let price = self.0.get(&format!("{provider}/{model}"))?;
        // A dollar for a million tokens is a millionth of a dollar for one.
        Some(round(
            tokens(input_tokens) * price.input + tokens(output_tokens) * price.output,
        ))
    }

    /// What images cost, in millionths of a US dollar, rounded; `None` for a model that is not in the table.
    #[must_use]
    pub fn find_image_cost(&self, provider: Provider, model: &str, images: u32) -> Option<u64> {
        let price = self.0.get(&format!("{provider}/{model}"))?;
        Some(round(f64::from(images) * price.image * 1_000_000.0))
    }
}

fn tokens(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "no price is negative, and a cast of what is too large gives the largest"
)]
fn round(micro_usd: f64) -> u64 {
    micro_usd.round() as u64
}
