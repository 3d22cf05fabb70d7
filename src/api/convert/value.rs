//! JSON values: `google.protobuf.Value` on the wire, `serde_json::Value` inside.
//!
//! The wire has doubles only. Those that are whole and within ±2^53 become integers, so that what was sent as `36` is
//! stored, shown and rendered as `36`. Nesting is bounded by the decoder (at most a hundred levels of messages), so
//! that these functions may recurse.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use prost_types::value::Kind;
use prost_types::{ListValue, Struct};
use serde_json::{Map, Number, Value};

use super::violation;
use crate::flow::Violation;
use crate::value::MAX_INTEGER;

/// A value as the wire has it. Integers beyond ±2^53, which no value that was checked has, lose digits.
#[must_use]
pub fn to_proto(value: &Value) -> prost_types::Value {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(value) => Kind::BoolValue(*value),
        Value::Number(number) => Kind::NumberValue(double(number)),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(items) => Kind::ListValue(ListValue {
            values: items.iter().map(to_proto).collect(),
        }),
        Value::Object(entries) => Kind::StructValue(struct_to_proto(entries)),
    };
    prost_types::Value { kind: Some(kind) }
}

/// An object as the wire has it.
#[must_use]
pub fn struct_to_proto(entries: &Map<String, Value>) -> Struct {
    let entry = |(key, value): (&String, &Value)| (key.clone(), to_proto(value));
    Struct {
        fields: entries.iter().map(entry).collect(),
    }
}

/// A value that a client sent in `field`; one of no kind is null.
///
/// # Errors
///
/// `NOT_A_NUMBER` for the first NaN or infinity, which JSON does not have, with its path.
pub fn from_proto(value: prost_types::Value, field: &str) -> Result<Value, Violation> {
    json(value).map_err(|place| place.violation(field))
}

/// An object that a client sent in `field`.
///
/// # Errors
///
/// As [`from_proto`].
pub fn struct_from_proto(given: Struct, field: &str) -> Result<Map<String, Value>, Violation> {
    object(given.fields).map_err(|place| place.violation(field))
}

/// Every number has a double next to it, unless `serde_json` is told to keep digits, which it is not.
fn double(number: &Number) -> f64 {
    number.as_f64().unwrap_or_default()
}

/// Where in a value something is wrong, written from the inside out.
struct Place {
    number: f64,
    steps: Vec<Step>,
}

enum Step {
    Key(String),
    Index(usize),
}

impl Place {
    fn inside(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    fn violation(&self, field: &str) -> Violation {
        let mut path = field.to_owned();
        for step in self.steps.iter().rev() {
            match step {
                Step::Key(key) => write!(path, ".{}", key.replace('\0', "\\u0000")),
                Step::Index(index) => write!(path, "[{index}]"),
            }
            .expect("writing to a string does not fail");
        }
        let description = format!("is {}, which JSON does not have", self.number);
        violation(&path, "NOT_A_NUMBER", description)
    }
}

fn json(value: prost_types::Value) -> Result<Value, Place> {
    Ok(match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(value)) => Value::Bool(value),
        Some(Kind::NumberValue(number)) => Value::Number(whole_or_double(number)?),
        Some(Kind::StringValue(text)) => Value::String(text),
        Some(Kind::ListValue(list)) => {
            let mut items = Vec::with_capacity(list.values.len());
            for (index, item) in list.values.into_iter().enumerate() {
                items.push(json(item).map_err(|place| place.inside(Step::Index(index)))?);
            }
            Value::Array(items)
        }
        Some(Kind::StructValue(given)) => Value::Object(object(given.fields)?),
    })
}

fn object(fields: BTreeMap<String, prost_types::Value>) -> Result<Map<String, Value>, Place> {
    let mut entries = Map::new();
    for (key, value) in fields {
        match json(value) {
            Ok(value) => entries.insert(key, value),
            Err(place) => return Err(place.inside(Step::Key(key))),
        };
    }
    Ok(entries)
}

fn whole_or_double(number: f64) -> Result<Number, Place> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "whole and within 2^53, so both conversions are exact"
    )]
    if number.fract() == 0.0 && number.abs() <= MAX_INTEGER as f64 {
        return Ok((number as i64).into());
    }
    Number::from_f64(number).ok_or_else(|| Place {
        number,
        steps: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::value::equal;

    fn number(number: f64) -> prost_types::Value {
        prost_types::Value {
            kind: Some(Kind::NumberValue(number)),
        }
    }

    #[test]
    fn whole_doubles_become_integers() {
        assert_eq!(from_proto(number(36.0), "v"), Ok(json!(36)));
        assert_eq!(from_proto(number(-0.0), "v"), Ok(json!(0)));
        assert_eq!(from_proto(number(0.5), "v"), Ok(json!(0.5)));
        assert_eq!(
            from_proto(number(9_007_199_254_740_992.0), "v"),
            Ok(json!(MAX_INTEGER))
        );
        assert_eq!(from_proto(number(1e300), "v"), Ok(json!(1e300)));
    }

    #[test]
    fn a_value_of_no_kind_is_null() {
        let nothing = prost_types::Value { kind: None };

        assert_eq!(from_proto(nothing, "v"), Ok(Value::Null));
    }

    #[test]
    fn what_json_does_not_have_is_refused_with_its_path() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let mut value = to_proto(&json!({"a": [1, {"b": 2}]}));
            let Some(Kind::StructValue(outer)) = &mut value.kind else {
                panic!()
            };
            let Some(Kind::ListValue(list)) = &mut outer.fields.get_mut("a").unwrap().kind else {
                panic!()
            };
            let Some(Kind::StructValue(inner)) = &mut list.values[1].kind else {
                panic!()
            };
            inner.fields.insert("b".to_owned(), number(bad));

            let violation = from_proto(value, "flow.nodes[3].data").unwrap_err();

            assert_eq!(violation.field, "flow.nodes[3].data.a[1].b");
            assert_eq!(violation.reason, "NOT_A_NUMBER");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-MAX_INTEGER..=MAX_INTEGER).prop_map(Value::from),
            (-1e18..1e18).prop_map(|double: f64| Value::from(double)),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(".{0,4}", inner, 0..5)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_value_survives_the_way_to_the_wire_and_back(value in any_json()) {
            let back = from_proto(to_proto(&value), "v").unwrap();

            prop_assert!(equal(&value, &back), "{value} {back}");
        }
    }
}
