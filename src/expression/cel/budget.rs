//! What one evaluation may use up, and the calls in the expression that count it.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ::cel::common::ast::{CallExpr, EntryExpr, Expr, operators};
use ::cel::common::types::{CelBytes, CelList, CelMap, CelString};
use ::cel::common::value::{CowVal, Val};
use ::cel::context::Context;
use ::cel::functions::FunctionContext;
use ::cel::{ExecutionError, IdedExpr};

use super::super::Error;

/// The most items that the macros of one evaluation go over, all in all.
const MAX_ITEMS: u64 = 10_000;

/// The most bytes, about, that one evaluation copies into lists, maps, texts.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// A function of the interpreter's.
type Function = Box<
    dyn for<'context, 'call> Fn(
            &mut FunctionContext<'context, 'call>,
        ) -> Result<CowVal<'context, 'call>, ExecutionError>
        + Send
        + Sync,
>;

/// Around the range of a macro.
const RANGE: &str = "@range";

/// Around what is copied.
const COPY: &str = "@copy";

/// What is left for one evaluation.
#[derive(Clone, Debug, Default)]
pub struct Budget {
    items: Arc<AtomicU64>,
    bytes: Arc<AtomicU64>,
}

impl Budget {
    /// Makes the counting functions known.
    ///
    /// # Errors
    ///
    /// Never: nothing else is called that.
    pub fn install(&self, context: &mut Context<'_, '_>) -> Result<(), Error> {
        let items = Arc::clone(&self.items);
        let bytes = Arc::clone(&self.bytes);
        let range: Function = Box::new(move |call| {
            let range = argument(call)?;
            let size = range.as_sizer().map_or(0, |sizer| *sizer.size().inner());
            count(&items, u64::try_from(size).unwrap_or(0), MAX_ITEMS, call)?;
            Ok(range)
        });
        let copy: Function = Box::new(move |call| {
            let value = argument(call)?;
            count(&bytes, weigh(value.as_ref()), MAX_BYTES, call)?;
            Ok(value)
        });
        for (name, function) in [(RANGE, range), (COPY, copy)] {
            context
                .add_function(name, function)
                .map_err(|error| Error::Failed {
                    message: error.to_string(),
                })?;
        }
        Ok(())
    }

    /// Whether the evaluation has kept to it.
    ///
    /// # Errors
    ///
    /// [`Error::TooExpensive`].
    pub fn check(&self) -> Result<(), Error> {
        let message = if self.items.load(Ordering::Relaxed) > MAX_ITEMS {
            format!("its macros go over more than {MAX_ITEMS} items")
        } else if self.bytes.load(Ordering::Relaxed) > MAX_BYTES {
            format!("it copies more than {MAX_BYTES} bytes")
        } else {
            return Ok(());
        };
        Err(Error::TooExpensive { message })
    }
}

fn argument<'context, 'call>(
    call: &mut FunctionContext<'context, 'call>,
) -> Result<CowVal<'context, 'call>, ExecutionError> {
    call.args
        .pop()
        .ok_or_else(|| ExecutionError::invalid_argument_count(1, 0))
}

fn count(
    counter: &AtomicU64,
    amount: u64,
    bound: u64,
    call: &FunctionContext<'_, '_>,
) -> Result<(), ExecutionError> {
    let before = counter.fetch_add(amount, Ordering::Relaxed);
    if before.saturating_add(amount) > bound {
        return Err(call.error(format!("more than {bound}")));
    }
    Ok(())
}

/// About how many bytes a copy of a value takes.
fn weigh(value: &dyn Val) -> u64 {
    const OWN: u64 = 16;
    if let Some(text) = value.downcast_ref::<CelString>() {
        OWN + text.inner().len() as u64
    } else if let Some(bytes) = value.downcast_ref::<CelBytes>() {
        OWN + bytes.inner().len() as u64
    } else if let Some(list) = value.downcast_ref::<CelList>() {
        OWN + list
            .inner()
            .iter()
            .map(|item| weigh(item.as_ref()))
            .sum::<u64>()
    } else if let Some(map) = value.downcast_ref::<CelMap>() {
        OWN + map
            .inner()
            .values()
            .map(|item| 2 * OWN + weigh(item.as_ref()))
            .sum::<u64>()
    } else {
        OWN
    }
}

/// Puts the counting calls into an expression.
pub fn insert(expression: &mut IdedExpr) {
    match &mut expression.expr {
        Expr::Unspecified | Expr::Literal(_) | Expr::Ident(_) => {}
        Expr::Select(select) => insert(&mut select.operand),
        Expr::Call(call) => {
            for part in call.target.as_deref_mut().into_iter().chain(&mut call.args) {
                insert(part);
            }
            // The sums that macros make of what they have so far are counted by their items, and must keep their form:
            // the interpreter knows it by sight.
            let is_own = call.args.first().is_some_and(
                |first| matches!(&first.expr, Expr::Ident(name) if name.starts_with('@')),
            );
            if call.func_name == operators::ADD && !is_own {
                wrap(expression, COPY);
            }
        }
        Expr::List(list) => {
            for element in &mut list.elements {
                insert_copy(element);
            }
        }
        Expr::Map(map) => {
            for entry in &mut map.entries {
                insert_entry(&mut entry.expr);
            }
        }
        Expr::Struct(object) => {
            for entry in &mut object.entries {
                insert_entry(&mut entry.expr);
            }
        }
        Expr::Comprehension(comprehension) => {
            insert(&mut comprehension.iter_range);
            wrap(&mut comprehension.iter_range, RANGE);
            insert(&mut comprehension.loop_cond);
            insert(&mut comprehension.loop_step);
            insert(&mut comprehension.result);
        }
    }
}

fn insert_entry(entry: &mut EntryExpr) {
    match entry {
        EntryExpr::StructField(field) => insert_copy(&mut field.value),
        EntryExpr::MapEntry(entry) => {
            insert(&mut entry.key);
            insert_copy(&mut entry.value);
        }
    }
}

fn insert_copy(expression: &mut IdedExpr) {
    insert(expression);
    if !matches!(expression.expr, Expr::Literal(_)) {
        wrap(expression, COPY);
    }
}

fn wrap(expression: &mut IdedExpr, function: &str) {
    let id = expression.id;
    let inner = mem::take(expression);
    *expression = IdedExpr {
        id,
        expr: Expr::Call(CallExpr {
            func_name: function.to_owned(),
            target: None,
            args: vec![inner],
        }),
    };
}
