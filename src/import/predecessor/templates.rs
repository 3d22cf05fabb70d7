//! Templates of a config, rewritten so that they yield here what they yielded there.

use serde_json::Value;

use super::outline::Scope;
use super::paths::{Route, route};
use super::tokens::{Piece, constant, escape, escape_before, pieces};
use crate::import::notes::{Notes, Place};

/// Rewrites all texts in a value; keys are no templates. `extra` are names that stand in this place only.
pub(super) fn rewrite(
    value: Value,
    scope: Scope<'_>,
    extra: &[&str],
    place: &Place,
    notes: &mut Notes,
) -> Value {
    match value {
        Value::String(text) => Value::String(rewrite_text(&text, scope, extra, place, notes)),
        Value::Array(items) => items
            .into_iter()
            .enumerate()
            .map(|(index, item)| rewrite(item, scope, extra, &place.item(index), notes))
            .collect(),
        Value::Object(entries) => entries
            .into_iter()
            .map(|(key, item)| {
                let item = rewrite(item, scope, extra, &place.key(&key), notes);
                (key, item)
            })
            .collect(),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => other,
    }
}

/// Rewrites a text.
pub(super) fn rewrite_text(
    text: &str,
    scope: Scope<'_>,
    extra: &[&str],
    place: &Place,
    notes: &mut Notes,
) -> String {
    if !text.contains("{{") {
        return text.to_owned();
    }
    let pieces = pieces(text);
    if let [Piece::Path(path)] = *pieces {
        return match route(path, scope, extra) {
            Route::Nowhere => {
                note_nowhere(path, "kept as text", place, notes);
                constant(text)
            }
            Route::Constant(value) => constant(&value),
            route => piece(path, route, place, notes),
        };
    }
    let mut rewritten = String::with_capacity(text.len());
    let mut is_escaped = false;
    for (index, part) in pieces.iter().enumerate() {
        match *part {
            Piece::Text(plain) => {
                let closes = |piece: &Piece<'_>| match piece {
                    Piece::Text(text) => text.contains("}}"),
                    Piece::Path(_) => true,
                };
                let escaped = escape_before(plain, pieces[index + 1..].iter().any(closes));
                is_escaped |= escaped != plain;
                rewritten.push_str(&escaped);
            }
            Piece::Path(path) => {
                let route = route(path, scope, extra);
                if !matches!(route, Route::Path(_)) && rewritten.ends_with('{') {
                    // Three braces before an expression would be read as a map in it.
                    rewritten.pop();
                    rewritten.push_str("{{ '{' }}");
                }
                rewritten.push_str(&match route {
                    Route::Nowhere => {
                        note_nowhere(path, "left out", place, notes);
                        String::new()
                    }
                    Route::Constant(value) => value,
                    route => piece(path, route, place, notes),
                });
            }
        }
    }
    if is_escaped {
        note_escaped(place, notes);
    }
    rewritten
}

/// Keeps a text that was never rendered from being rendered.
pub(super) fn keep_text(value: Value, place: &Place, notes: &mut Notes) -> Value {
    match value {
        Value::String(text) => {
            let escaped = escape(&text);
            if escaped != text {
                note_escaped(place, notes);
            }
            Value::String(escaped)
        }
        Value::Array(items) => items
            .into_iter()
            .enumerate()
            .map(|(index, item)| keep_text(item, &place.item(index), notes))
            .collect(),
        Value::Object(entries) => entries
            .into_iter()
            .map(|(key, item)| {
                let item = keep_text(item, &place.key(&key), notes);
                (key, item)
            })
            .collect(),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => other,
    }
}

/// A token for a route that is neither nowhere nor constant.
fn piece(path: &str, route: Route, place: &Place, notes: &mut Notes) -> String {
    match route {
        Route::Path(new) | Route::Expression(new) => {
            if new != path {
                let description = format!("{{{{ {path} }}}} is {{{{ {new} }}}} here");
                notes.add(place, "TEMPLATE_REWRITTEN", description);
            }
            format!("{{{{ {new} }}}}")
        }
        Route::Differs(why) => {
            let description = format!("{{{{ {path} }}}} stays as it is, but {why}");
            notes.add(place, "TEMPLATE_DIFFERS", description);
            format!("{{{{ {path} }}}}")
        }
        Route::Nowhere | Route::Constant(_) => String::new(),
    }
}

fn note_nowhere(path: &str, what: &str, place: &Place, notes: &mut Notes) {
    let description = format!("{{{{ {path} }}}} led nowhere: {what}");
    notes.add(place, "TEMPLATE_LED_NOWHERE", description);
}

fn note_escaped(place: &Place, notes: &mut Notes) {
    let description = "braces that were no template there are escaped, so that they stay text";
    notes.add(place, "BRACES_ESCAPED", description);
}
