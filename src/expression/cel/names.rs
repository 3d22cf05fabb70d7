//! What an expression reads, and how deep its macros nest.

use ::cel::IdedExpr;
use ::cel::common::ast::{EntryExpr, Expr, LiteralValue, operators};

use super::super::Error;
use super::{Bound, is_type};
use crate::ids::NodeId;
use crate::template::Reads;

/// The deepest nesting of macros.
const MAX_MACROS: usize = 2;

/// The deepest nesting of operations, of which a sum of so many terms has as many: evaluating one level takes some
/// 30 KiB of stack in a debug build.
const MAX_LEVELS: usize = 200;

/// Finds what an expression reads.
///
/// # Errors
///
/// Macros that nest deeper than [`MAX_MACROS`].
pub fn find(expression: &IdedExpr) -> Result<Reads, Error> {
    let mut reads = Reads::default();
    walk(expression, &Bound::new(), Depth::default(), &mut reads)?;
    Ok(reads)
}

#[derive(Clone, Copy, Default)]
struct Depth {
    levels: usize,
    macros: usize,
}

impl Depth {
    fn in_macro(self) -> Self {
        Self {
            macros: self.macros + 1,
            ..self
        }
    }
}

fn walk<'a>(
    expression: &'a IdedExpr,
    bound: &Bound<'a>,
    depth: Depth,
    reads: &mut Reads,
) -> Result<(), Error> {
    let too_deep = |message: String| Error::Syntax {
        what: "CEL expression",
        message,
    };
    let depth = Depth {
        levels: depth.levels + 1,
        ..depth
    };
    if depth.levels > MAX_LEVELS {
        return Err(too_deep(format!(
            "operations nest deeper than {MAX_LEVELS} levels"
        )));
    }
    if let Some((root, key)) = member(expression)
        && !bound.contains(root)
        && matches!(root, "results" | "secrets")
    {
        if root == "results" {
            reads.nodes.insert(NodeId::from(key));
        } else {
            reads.secrets.insert(key.to_owned());
        }
        reads.names.insert(root.to_owned());
        return Ok(());
    }
    match &expression.expr {
        Expr::Unspecified | Expr::Literal(_) => {}
        Expr::Ident(name) => {
            if !name.starts_with('@') && !bound.contains(name.as_str()) && !is_type(name) {
                reads.all_nodes |= name == "results";
                if name == "secrets" {
                    reads.secrets.insert(String::new());
                }
                reads.names.insert(name.clone());
            }
        }
        Expr::Select(select) => walk(&select.operand, bound, depth, reads)?,
        Expr::Call(call) => {
            for part in call.target.as_deref().into_iter().chain(&call.args) {
                walk(part, bound, depth, reads)?;
            }
        }
        Expr::List(list) => {
            for element in &list.elements {
                walk(element, bound, depth, reads)?;
            }
        }
        Expr::Map(map) => {
            for entry in &map.entries {
                walk_entry(&entry.expr, bound, depth, reads)?;
            }
        }
        Expr::Struct(object) => {
            for entry in &object.entries {
                walk_entry(&entry.expr, bound, depth, reads)?;
            }
        }
        Expr::Comprehension(comprehension) => {
            walk(&comprehension.iter_range, bound, depth, reads)?;
            walk(&comprehension.accu_init, bound, depth, reads)?;
            if depth.macros == MAX_MACROS {
                return Err(too_deep(format!(
                    "macros nest deeper than {MAX_MACROS} levels"
                )));
            }
            let mut inner = bound.clone();
            inner.insert(&comprehension.iter_var);
            inner.extend(comprehension.iter_var2.as_deref());
            inner.insert(&comprehension.accu_var);
            for part in [
                &comprehension.loop_cond,
                &comprehension.loop_step,
                &comprehension.result,
            ] {
                walk(part, &inner, depth.in_macro(), reads)?;
            }
        }
    }
    Ok(())
}

fn walk_entry<'a>(
    entry: &'a EntryExpr,
    bound: &Bound<'a>,
    depth: Depth,
    reads: &mut Reads,
) -> Result<(), Error> {
    match entry {
        EntryExpr::StructField(field) => walk(&field.value, bound, depth, reads),
        EntryExpr::MapEntry(entry) => {
            walk(&entry.key, bound, depth, reads)?;
            walk(&entry.value, bound, depth, reads)
        }
    }
}

/// `root.key` and `root["key"]`.
fn member(expression: &IdedExpr) -> Option<(&str, &str)> {
    let (operand, key) = match &expression.expr {
        Expr::Select(select) => (&*select.operand, select.field.as_str()),
        Expr::Call(call) if call.func_name == operators::INDEX => match call.args.as_slice() {
            [operand, key] => match &key.expr {
                Expr::Literal(LiteralValue::String(key)) => (operand, key.inner()),
                _ => return None,
            },
            _ => return None,
        },
        _ => return None,
    };
    match &operand.expr {
        Expr::Ident(root) => Some((root, key)),
        _ => None,
    }
}
