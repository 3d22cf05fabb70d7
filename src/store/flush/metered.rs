//! The part of a flush that keeps what runs have used.
//!
//! Most runs use nothing that is metered, and their flushes say nothing of it.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::AstPass;
use diesel::sql_types::{Array, BigInt};

use crate::usage::Usage;

/// What the runs of a batch have used, as columns.
pub(super) struct Metered {
    input_tokens: Vec<i64>,
    output_tokens: Vec<i64>,
    cost_micro_usd: Vec<i64>,
}

impl Metered {
    /// What is set in the row. What a run has used never becomes less, whoever writes.
    pub(super) const SET: &'static str = ", input_tokens = greatest(r.input_tokens, b.input_tokens), \
        output_tokens = greatest(r.output_tokens, b.output_tokens), \
        cost_micro_usd = greatest(r.cost_micro_usd, b.cost_micro_usd)";

    /// The names of the columns.
    pub(super) const NAMES: &'static str = ", input_tokens, output_tokens, cost_micro_usd";

    /// The columns for what each run of a batch has used, in their order; `None` if nothing was metered.
    pub(super) fn of(usages: &[Usage]) -> Option<Self> {
        if usages.iter().all(Usage::is_empty) {
            return None;
        }
        let column = |number: fn(&Usage) -> u64| {
            let number = |usage| i64::try_from(number(usage)).unwrap_or(i64::MAX);
            usages.iter().map(number).collect()
        };
        Some(Self {
            input_tokens: column(|usage| usage.input_tokens),
            output_tokens: column(|usage| usage.output_tokens),
            cost_micro_usd: column(|usage| usage.cost_micro_usd),
        })
    }

    /// The values of the columns, behind those of the other ones.
    pub(super) fn bind<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        for column in [
            &self.input_tokens,
            &self.output_tokens,
            &self.cost_micro_usd,
        ] {
            out.push_sql(", ");
            out.push_bind_param::<Array<BigInt>, _>(column)?;
        }
        Ok(())
    }
}
