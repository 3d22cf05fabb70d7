//! What evaluating a JSON path or a JSON schema may take at most, estimated before it begins.
//!
//! Their libraries have no budget and cannot be stopped, and a text of some bytes can ask for more steps than a
//! lifetime has. So the steps are bounded from above, by the text and by the size of the value, and what could go
//! beyond the bound is refused.

use std::collections::HashMap;

use serde_json::Value;

use super::Error;
use crate::value::MAX_NESTING;

/// The most steps of one evaluation: a second or two of one core.
const MOST_STEPS: f64 = 2e7;

/// How far references are followed without going deeper into the value; further is as good as for ever.
const MOST_HOPS: usize = 200;

/// Refuses an evaluation that could take more steps than one may.
fn bound(steps: f64, what: &str) -> Result<(), Error> {
    if steps <= MOST_STEPS {
        return Ok(());
    }
    let message = format!(
        "this {what} could take about {steps:.1e} steps on a value of this size, the most are {MOST_STEPS:.0e}"
    );
    Err(Error::TooExpensive { message })
}

/// How many values there are in a value, itself included.
fn count(value: &Value) -> f64 {
    let mut open = vec![value];
    let mut found = 0_u32;
    while let Some(value) = open.pop() {
        found = found.saturating_add(1);
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(entries) => open.extend(entries.values()),
            _ => {}
        }
    }
    f64::from(found)
}

/// Refuses a path that could take too long on this value.
///
/// # Errors
///
/// [`Error::TooExpensive`].
pub fn check_path(path: &str, value: &Value) -> Result<(), Error> {
    let shape = PathShape::of(path);
    let values = count(value);
    let steps = values * shape.repeats * values.powi(shape.inner);
    bound(steps, "JSON path")
}

/// What of a path makes it expensive.
#[derive(Clone, Copy, Debug, PartialEq)]
struct PathShape {
    /// How often a value can be reached: by unions of selectors, and by descending more than once.
    repeats: f64,
    /// Selectors of many values inside filters: each may look at the whole value again.
    inner: i32,
}

impl PathShape {
    fn of(path: &str) -> Self {
        let mut shape = Self {
            repeats: 1.0,
            inner: 0,
        };
        let mut brackets: Vec<(bool, f64)> = Vec::new();
        let mut descents = 0;
        let mut letters = path.chars().peekable();
        while let Some(letter) = letters.next() {
            let filters = brackets.iter().filter(|(is_filter, _)| *is_filter).count();
            match letter {
                '\'' | '"' => skip_text(&mut letters, letter),
                '[' => brackets.push((false, 1.0)),
                ']' => {
                    if let Some((false, selectors)) = brackets.pop() {
                        shape.repeats *= selectors;
                    }
                }
                ',' => {
                    if let Some((_, selectors)) = brackets.last_mut() {
                        *selectors += 1.0;
                    }
                }
                '?' => {
                    if filters > 0 {
                        shape.inner += 1;
                    }
                    if let Some((is_filter, _)) = brackets.last_mut() {
                        *is_filter = true;
                    }
                }
                '*' | ':' if filters > 0 => shape.inner += 1,
                '.' if letters.peek() == Some(&'.') => {
                    letters.next();
                    if filters > 0 {
                        shape.inner += 1;
                    } else {
                        descents += 1;
                    }
                }
                _ => {}
            }
        }
        let nesting = f64::from(u32::try_from(MAX_NESTING).unwrap_or(u32::MAX));
        shape.repeats *= nesting.powi((descents - 1).max(0));
        shape
    }
}

fn skip_text(letters: &mut std::iter::Peekable<std::str::Chars<'_>>, quote: char) {
    while let Some(letter) = letters.next() {
        if letter == '\\' {
            letters.next();
        } else if letter == quote {
            return;
        }
    }
}

/// How often a schema can look at one value, by how deep the values below it nest.
#[derive(Clone, Debug)]
pub struct SchemaWeight {
    by_depth: Vec<f64>,
}

impl SchemaWeight {
    /// Weighs a schema.
    #[must_use]
    pub fn of(schema: &Value) -> Self {
        let mut scale = Scale {
            root: schema,
            known: HashMap::new(),
        };
        let by_depth = (0..=MAX_NESTING + 1)
            .map(|depth| scale.weigh(schema, depth, 0))
            .collect();
        Self { by_depth }
    }

    /// Refuses a value on which the schema could take too long.
    ///
    /// # Errors
    ///
    /// [`Error::TooExpensive`].
    pub fn check(&self, value: &Value) -> Result<(), Error> {
        let depth =
            crate::value::measure(value, u64::MAX).map_or(usize::MAX, |measure| measure.depth);
        let weight = self.by_depth.get(depth).copied().unwrap_or(f64::INFINITY);
        bound(weight * count(value), "JSON schema")
    }
}

struct Scale<'a> {
    root: &'a Value,
    /// Weights of schemas, told apart by where they lie in memory, by depth.
    known: HashMap<(*const Value, usize), f64>,
}

/// Keywords whose schemas look at the same value.
const IN_PLACE: [&str; 7] = ["allOf", "anyOf", "oneOf", "not", "if", "then", "else"];
/// Keywords whose schemas look at values one level down, each value by one of them.
const APART: [&str; 2] = ["properties", "prefixItems"];
/// Keywords whose schemas look at values one level down, each value by perhaps all of them.
const TOGETHER: [&str; 7] = [
    "patternProperties",
    "additionalProperties",
    "unevaluatedProperties",
    "propertyNames",
    "items",
    "unevaluatedItems",
    "contains",
];

impl<'a> Scale<'a> {
    /// How often `schema` can have a value, or one of those below it, looked at.
    fn weigh(&mut self, schema: &'a Value, depth: usize, hops: usize) -> f64 {
        let Some(fields) = schema.as_object() else {
            return 1.0;
        };
        if hops > MOST_HOPS {
            return f64::INFINITY;
        }
        let key = (std::ptr::from_ref(schema), depth);
        if let Some(&weight) = self.known.get(&key) {
            return weight;
        }
        // A schema that comes back to itself without going deeper has no end.
        self.known.insert(key, f64::INFINITY);
        let mut weight = 1.0;
        for name in ["$ref", "$dynamicRef", "$recursiveRef"] {
            if let Some(reference) = fields.get(name).and_then(Value::as_str) {
                weight += match self.resolve(reference) {
                    Some(target) => self.weigh(target, depth, hops + 1),
                    None => f64::INFINITY,
                };
            }
        }
        for value in IN_PLACE.iter().filter_map(|name| fields.get(*name)) {
            weight += self.sum(value, depth, hops + 1);
        }
        if let Some(value) = fields.get("dependentSchemas") {
            weight += self.sum_of_map(value, depth, hops + 1);
        }
        if depth > 0 {
            for value in APART.iter().filter_map(|name| fields.get(*name)) {
                weight += schemas(value)
                    .map(|one| self.weigh(one, depth - 1, 0))
                    .fold(0.0, f64::max);
            }
            for name in TOGETHER {
                let Some(value) = fields.get(name) else {
                    continue;
                };
                weight += if name == "patternProperties" {
                    self.sum_of_map(value, depth - 1, 0)
                } else {
                    self.weigh(value, depth - 1, 0)
                };
            }
        }
        self.known.insert(key, weight);
        weight
    }

    /// The schemas of a keyword together: a list of them, or one.
    fn sum(&mut self, value: &'a Value, depth: usize, hops: usize) -> f64 {
        match value {
            Value::Array(all) => all.iter().map(|one| self.weigh(one, depth, hops)).sum(),
            one => self.weigh(one, depth, hops),
        }
    }

    /// The schemas in a map, together.
    fn sum_of_map(&mut self, value: &'a Value, depth: usize, hops: usize) -> f64 {
        schemas(value).map(|one| self.weigh(one, depth, hops)).sum()
    }

    /// Where a reference leads; references lead inside the schema only.
    fn resolve(&self, reference: &str) -> Option<&'a Value> {
        let fragment = reference
            .split_once('#')
            .map_or("", |(_, fragment)| fragment);
        if fragment.is_empty() || fragment.starts_with('/') {
            return self.root.pointer(fragment);
        }
        let mut open = vec![self.root];
        while let Some(value) = open.pop() {
            let named = |name: &str| value.get(name).and_then(Value::as_str) == Some(fragment);
            if named("$anchor") || named("$dynamicAnchor") {
                return Some(value);
            }
            open.extend(schemas(value));
        }
        None
    }
}

fn schemas(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::Array(all) => Box::new(all.iter()),
        Value::Object(all) => Box::new(all.values()),
        _ => Box::new(std::iter::empty()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_that_people_write_are_cheap() {
        let value = json!(
            (0..1_000)
                .map(|n| json!({"sku": n, "price": n}))
                .collect::<Vec<_>>()
        );

        for path in [
            "$[*].sku",
            "$..price",
            "$[?@.price > 10].sku",
            "$[1:5]",
            "$[0,1,2]",
            "$[?@['a,b?*'] == '..*']",
        ] {
            assert!(check_path(path, &value).is_ok(), "{path}");
        }
    }

    #[test]
    fn paths_that_would_take_for_ever_are_refused() {
        let value = json!((0..3_000).collect::<Vec<_>>());

        for path in [
            "$[?count($[?count($[*])>1])>1]",
            "$[0,0][0,0][0,0][0,0][0,0][0,0][0,0][0,0][0,0][0,0][0,0][0,0][0,0][0,0]",
            "$..*..*..*..*..*",
        ] {
            assert!(check_path(path, &value).is_err(), "{path}");
        }
    }

    #[test]
    fn a_schema_that_branches_at_each_reference_is_refused() {
        let mut definitions = serde_json::Map::new();
        for level in 0..9 {
            let next = json!({"$ref": format!("#/$defs/d{}", level + 1)});
            definitions.insert(format!("d{level}"), json!({"allOf": vec![next; 10]}));
        }
        definitions.insert("d9".to_owned(), json!({"type": "array"}));
        let schema = json!({"$defs": definitions, "$ref": "#/$defs/d0"});

        assert!(SchemaWeight::of(&schema).check(&json!([1])).is_err());
    }

    #[test]
    fn a_schema_of_a_tree_is_cheap_and_one_that_comes_back_to_itself_is_not() {
        let tree = json!({"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}, "required": ["left"]});
        let value = (0..20).fold(json!({}), |inner, _| json!({"left": inner, "right": {}}));

        assert!(SchemaWeight::of(&tree).check(&value).is_ok());
        assert!(
            SchemaWeight::of(&json!({"allOf": [{"$ref": "#"}]}))
                .check(&json!(1))
                .is_err()
        );
        let branching = json!({"anyOf": [{"items": {"$ref": "#"}}, {"items": {"$ref": "#"}}]});
        let deep = (0..29).fold(json!([]), |inner, _| json!([inner]));
        assert!(SchemaWeight::of(&branching).check(&deep).is_err());
    }
}
