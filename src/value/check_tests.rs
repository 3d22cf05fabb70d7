//! Tests of the bounds of values.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn nested(levels: usize) -> Value {
    (0..levels).fold(json!(1), |inner, _| json!([inner]))
}

#[test]
fn each_rule_names_its_place() {
    let value = json!({"a": {"b": ["x\0", 9_007_199_254_740_993_i64]}, "c\0": 1e22});

    let errors = check_all(&value, 1_000, 10);

    let found: Vec<_> = errors.iter().map(|e| (e.reason(), e.path())).collect();
    assert_eq!(
        found,
        [
            ("NUL_CHARACTER", "a.b[0]"),
            ("NUMBER_OUT_OF_RANGE", "a.b[1]"),
            ("NUL_CHARACTER", ""),
            ("NUMBER_OUT_OF_RANGE", "c\\u0000"),
        ]
    );
    assert_eq!(check(&value, 1_000), Err(errors[0].clone()));
}

#[test]
fn thirty_levels_are_taken_and_no_more() {
    assert!(check(&nested(30), 1_000).is_ok());
    assert_eq!(
        check(&nested(31), 1_000).map_err(|e| e.reason()),
        Err("TOO_DEEP")
    );
    assert!(measure(&nested(31), 1_000).is_none());
    assert_eq!(measure(&nested(30), 1_000).map(|m| m.depth), Some(30));
}

#[test]
fn the_largest_integer_is_taken_and_the_next_is_not() {
    assert!(check(&json!([MAX_INTEGER, -MAX_INTEGER]), 100).is_ok());
    assert!(check(&json!(MAX_INTEGER + 1), 100).is_err());
    assert!(check(&json!(u64::MAX), 100).is_err());
    assert!(check(&json!(1.5), 100).is_ok());
}

#[test]
fn outputs_keep_large_integers_as_text() {
    let mut value = json!({"id": u64::MAX, "n": 36.0, "half": 0.5, "huge": 1e300, "zero": -0.0});

    settle_output(&mut value, 1_000).unwrap();

    assert_eq!(
        value.to_string(),
        r#"{"half":0.5,"huge":1e+300,"id":"18446744073709551615","n":36,"zero":0}"#
    );
}

#[test]
fn an_output_that_is_too_large_or_deep_is_refused() {
    assert_eq!(
        settle_output(&mut json!("xxxx"), 5),
        Err(Error::TooLarge { bound: 5 })
    );
    assert!(settle_output(&mut nested(31), 1_000).is_err());
    assert!(settle_output(&mut json!({"a\0": 1}), 1_000).is_err());
}

/// Any JSON value of a few levels.
pub fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map(any::<String>(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn the_size_is_the_length_of_the_compact_json(value in any_json()) {
        let length = value.to_string().len() as u64;

        prop_assert_eq!(measure(&value, u64::MAX).map(|m| m.bytes), Some(length));
        prop_assert_eq!(measure(&value, length).map(|m| m.bytes), Some(length));
        prop_assert!(measure(&value, length - 1).is_none());
    }

    #[test]
    fn whole_doubles_are_stored_as_integers(number in -9_007_199_254_740_992_i64..=9_007_199_254_740_992) {
        #[expect(clippy::cast_precision_loss, reason = "within 2^53")]
        let mut value = json!([number as f64]);

        normalise(&mut value);

        prop_assert_eq!(value, json!([number]));
    }
}
