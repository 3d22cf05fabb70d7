//! Where a template path of the predecessor leads to here.
//!
//! There, the results of several kinds of node were wrappers around the value (`{ok, operation, input, output}`), and the
//! last answer of each kind lay in a context that all nodes shared. Here an output is the value itself, and it is read
//! from the node that made it.

use super::kinds::Kind;
use super::outline::{Scope, Seen};
use crate::template::path;

/// What becomes of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// This path leads to the same value.
    Path(String),
    /// An expression gives the same value.
    Expression(String),
    /// It was always this text.
    Constant(String),
    /// It never led anywhere.
    Nowhere,
    /// It stays as it is, and leads to something else, or to nothing, for this reason.
    Differs(&'static str),
}

use Route::{Constant, Differs, Expression, Nowhere};

const DETAILS: &str = "this is in the step's details, which templates do not read";
const ITSELF: &str = "the output is the value itself here, not an object around it";
const NO_CONTEXT: &str = "there is no context that all nodes share";
const AMBIGUOUS: &str = "no node of this kind is before it, or several are as near";

/// How often a `source` may be followed to the node that it names.
const MOST_HOPS: usize = 8;

/// Where a path leads. `extra` are names that stand in this place only.
pub(super) fn route(path: &str, scope: Scope<'_>, extra: &[&str]) -> Route {
    follow(path, scope, extra, 0)
}

fn follow(text: &str, scope: Scope<'_>, extra: &[&str], hops: usize) -> Route {
    if !path::is_plain(text) {
        return Nowhere;
    }
    let segments: Vec<&str> = text.split('.').collect();
    let Some((root, rest)) = segments.split_first() else {
        return Nowhere;
    };
    match *root {
        // In a loop both were what reached the node, and `input` was not the run's.
        "content" | "input" if scope.chain.is_some() => incoming(rest, scope, hops),
        // The last ones are no names of the predecessor, but of one who has worked on the document since.
        "content" | "input" | "run" | "node" | "item" | "index" | "secrets" => {
            Route::Path(text.to_owned())
        }
        "results" => result(rest, scope, hops),
        "context" => context(rest, scope, hops),
        "metadata" => metadata(rest, scope),
        "run_id" if rest.is_empty() => Route::Path("run.id".to_owned()),
        "node_id" if rest.is_empty() => Route::Path("node.id".to_owned()),
        name if extra.contains(&name) => Route::Path(text.to_owned()),
        _ => Nowhere,
    }
}

fn joined(base: &str, rest: &[&str]) -> Route {
    let mut path = base.to_owned();
    for segment in rest {
        path.push('.');
        path.push_str(segment);
    }
    Route::Path(path)
}

/// What reaches a node in a loop: the item, or what the node before it makes of it.
fn incoming(rest: &[&str], scope: Scope<'_>, hops: usize) -> Route {
    match scope.chain.and_then(|chain| chain.before.last()) {
        Some(before) => output(before, "content", rest, scope, hops),
        None => joined("content", rest),
    }
}

/// `results.<node>.…`.
fn result(segments: &[&str], scope: Scope<'_>, hops: usize) -> Route {
    let Some((id, rest)) = segments.split_first() else {
        return Differs("results hold only outputs here");
    };
    if *id == "__trace__" {
        return Differs("a run's trace is read with ListRunEvents");
    }
    let Some(seen) = scope.outline.find(id) else {
        return Nowhere;
    };
    match rest.split_first() {
        None => Differs("results hold only outputs here"),
        Some((&"output", rest)) => output(seen, &format!("results.{id}.output"), rest, scope, hops),
        Some((&"input", rest)) => joined("input", rest),
        Some((&"status", [])) => Constant("success".to_owned()),
        Some((
            &("type" | "attempts" | "errors" | "error" | "started_at" | "ended_at" | "duration_ms"),
            _,
        )) => Differs(DETAILS),
        Some(_) => Nowhere,
    }
}

/// What is under `rest` in the output of a node, which is at `base` here.
fn output(seen: &Seen, base: &str, rest: &[&str], scope: Scope<'_>, hops: usize) -> Route {
    let Some(kind) = seen.kind else {
        return joined(base, rest);
    };
    let is_wrapped = matches!(
        kind,
        Kind::Transform | Kind::Code | Kind::IfElse | Kind::Merge | Kind::ForEach
    );
    let (first, inner) = match rest.split_first() {
        None if is_wrapped => return Differs(ITSELF),
        None => return joined(base, rest),
        Some((first, inner)) => (*first, inner),
    };
    // A node that was not ok has failed here, and nothing after it runs.
    if is_wrapped && first == "ok" && inner.is_empty() {
        return Expression("true".to_owned());
    }
    match (kind, first) {
        (Kind::Transform | Kind::Merge, "output") | (Kind::Code, "result") => joined(base, inner),
        (Kind::Transform, "input") | (Kind::IfElse, "source") => {
            source(seen, base, inner, scope, hops)
        }
        (Kind::Merge, "inputs") if seen.is_list => joined(base, inner),
        (Kind::Merge, "count") if seen.is_list => length(base, inner),
        (Kind::ForEach, "results") => items(base, inner),
        (Kind::ForEach, "iterated" | "total_items") => length(base, inner),
        (Kind::HttpRequest, "request") => Differs("the request is not part of the output here"),
        _ if is_wrapped => Differs(DETAILS),
        _ => joined(base, rest),
    }
}

fn length(base: &str, rest: &[&str]) -> Route {
    if rest.is_empty() {
        Expression(format!("{base} | length"))
    } else {
        Nowhere
    }
}

/// `results.<loop>.output.results.…`: a list of `{index, item, output}` there, of outputs here.
fn items(base: &str, rest: &[&str]) -> Route {
    match rest {
        [] => joined(base, &[]),
        [index, "output", inner @ ..] => joined(&format!("{base}.{index}"), inner),
        [index, "index"] => Expression((*index).to_owned()),
        _ => Differs("a loop's output is the list of its items' outputs here"),
    }
}

/// What a node tested or transformed.
fn source(seen: &Seen, base: &str, rest: &[&str], scope: Scope<'_>, hops: usize) -> Route {
    let root = seen
        .source
        .as_deref()
        .map_or("content", |path| path.split('.').next().unwrap_or(path));
    match (&seen.source, root) {
        (Some(path), "results" | "context") if hops < MOST_HOPS => {
            let Route::Path(path) = joined(path, rest) else {
                return Differs(DETAILS);
            };
            follow(&path, scope, &[], hops + 1)
        }
        // An if_else passes on what reached it.
        (None, _) if seen.kind == Some(Kind::IfElse) => joined(base, rest),
        (Some(path), "content") if seen.kind == Some(Kind::IfElse) => {
            let inner: Vec<&str> = path
                .split('.')
                .skip(1)
                .chain(rest.iter().copied())
                .collect();
            joined(base, &inner)
        }
        (Some(path), "input") if scope.chain.is_none() => joined(path, rest),
        _ => Differs(DETAILS),
    }
}

/// `context.…`.
fn context(segments: &[&str], scope: Scope<'_>, hops: usize) -> Route {
    let Some((name, rest)) = segments.split_first() else {
        return Differs(NO_CONTEXT);
    };
    match *name {
        "input" => joined("input", rest),
        "results" => result(rest, scope, hops),
        "run_id" if rest.is_empty() => Route::Path("run.id".to_owned()),
        "last_http_response" => last(&[Kind::HttpRequest], rest, scope, hops),
        "last_llm_response" => match rest {
            ["content", inner @ ..] => last(&[Kind::Llm, Kind::Writer], inner, scope, hops),
            _ => Differs(DETAILS),
        },
        "last_image_response" => last(&[Kind::Image, Kind::Artist], rest, scope, hops),
        "last_code_response" => last(&[Kind::Code], rest, scope, hops),
        "last_transform_response" => last(&[Kind::Transform], rest, scope, hops),
        "last_if_else_response" => last(&[Kind::IfElse], rest, scope, hops),
        "last_merge_response" => last(&[Kind::Merge], rest, scope, hops),
        "last_for_each_response" => last(&[Kind::ForEach], rest, scope, hops),
        "for_each_results" => {
            let inner: Vec<&str> = ["results"].iter().chain(rest).copied().collect();
            last(&[Kind::ForEach], &inner, scope, hops)
        }
        "llm_provider" | "llm_model" | "image_provider" | "image_model" | "memory_key"
        | "memory_namespace" | "memory_backend" | "memory_retrieved" => Differs(NO_CONTEXT),
        name => of_item(name, rest, scope),
    }
}

/// `metadata.…`.
fn metadata(segments: &[&str], scope: Scope<'_>) -> Route {
    match segments {
        ["node_id"] => Route::Path("node.id".to_owned()),
        ["run_id"] => Route::Path("run.id".to_owned()),
        [] | ["node_data", ..] => Differs("templates do not read configs"),
        [name, rest @ ..] => of_item(name, rest, scope),
    }
}

/// What a loop told its nodes about the item.
fn of_item(name: &str, rest: &[&str], scope: Scope<'_>) -> Route {
    match (name, scope.chain) {
        ("for_each_item", Some(_)) => joined("item", rest),
        ("for_each_index", Some(_)) => joined("index", rest),
        ("for_each_node_id" | "parent_node_id", Some(chain)) => Constant(chain.loop_id.to_string()),
        _ => Nowhere,
    }
}

/// What is under `rest` in the output of the nearest node before this one that is of a kind.
fn last(kinds: &[Kind], rest: &[&str], scope: Scope<'_>, hops: usize) -> Route {
    let is_wanted = |seen: &&Seen| seen.kind.is_some_and(|kind| kinds.contains(&kind));
    let in_loop = scope
        .chain
        .and_then(|chain| chain.before.iter().rev().find(is_wanted));
    match in_loop.or_else(|| scope.outline.nearest(scope.node, kinds)) {
        Some(seen) if path::is_plain(&format!("results.{}", seen.id)) => output(
            seen,
            &format!("results.{}.output", seen.id),
            rest,
            scope,
            hops,
        ),
        _ => Differs(AMBIGUOUS),
    }
}
