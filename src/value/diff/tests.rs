use proptest::prelude::*;
use serde_json::json;

use super::*;

fn all(base: &Value, compare: &Value) -> Vec<Difference> {
    diff(
        Some(base),
        Some(compare),
        &mut Budget::new(usize::MAX, usize::MAX),
    )
}

fn places(base: &Value, compare: &Value) -> Vec<String> {
    let found = all(base, compare);
    found
        .into_iter()
        .map(|difference| difference.path)
        .collect()
}

#[test]
fn each_place_is_named_with_what_both_have_there() {
    let base = json!({"url": "a", "headers": {"X-Key": "1", "gone": true}, "n": 1});
    let compare = json!({"url": "b", "headers": {"X-Key": "2"}, "n": 1.0, "new": null});

    let found = all(&base, &compare);

    let change = |path: &str, base: Option<Value>, compare: Option<Value>| Difference {
        path: path.to_owned(),
        base,
        compare,
        is_cut: false,
    };
    assert_eq!(
        found,
        [
            change("$.headers['X-Key']", Some(json!("1")), Some(json!("2"))),
            change("$.headers.gone", Some(json!(true)), None),
            change("$.url", Some(json!("a")), Some(json!("b"))),
            change("$.new", None, Some(json!(null))),
        ]
    );
}

#[test]
fn an_item_put_into_a_list_is_one_difference() {
    let base = json!([1, 2, 3, 4]);

    assert_eq!(places(&base, &json!([1, 2, 9, 3, 4])), ["$[2]"]);
    assert_eq!(places(&base, &json!([1, 4])), ["$[1]", "$[2]"]);
    assert_eq!(places(&base, &json!([1, 5, 3, 4])), ["$[1]"]);
    assert_eq!(places(&json!([1, 1]), &json!([1, 1, 1])), ["$[2]"]);
    assert_eq!(
        places(&json!([{"a": 1, "b": 2}]), &json!([{"a": 1, "b": 3}])),
        ["$[0].b"]
    );
}

#[test]
fn values_of_different_kinds_differ_as_a_whole() {
    assert_eq!(places(&json!({}), &json!([])), ["$"]);
    assert_eq!(places(&json!({"a": 0}), &json!({"a": null})), ["$.a"]);
    assert_eq!(places(&json!(1), &json!(true)), ["$"]);
}

#[test]
fn names_that_no_path_has_bare_are_quoted() {
    let base = json!({"": 1, "it's": 1, "a\\b\n": 1, "2x": 1, "x2": 1, "ü": 1});

    let mut found = places(&base, &json!({}));

    found.sort();
    assert_eq!(
        found,
        [
            "$.x2",
            "$['']",
            "$['2x']",
            r"$['a\\b\u000a']",
            r"$['it\'s']",
            "$['ü']"
        ]
    );
}

#[test]
fn long_values_are_shown_by_their_beginning() {
    let long = "ä".repeat(SHOWN_BYTES);
    let found = all(&json!({"a": long}), &json!({"a": [long]}));

    assert!(found[0].is_cut);
    for shown in [&found[0].base, &found[0].compare] {
        let text = shown.as_ref().unwrap().as_str().unwrap();
        assert!(text.len() <= SHOWN_BYTES + CUT.len_utf8(), "{}", text.len());
        assert!(text.ends_with("ä…"), "{text}");
    }
    let key = "k".repeat(4 * PATH_BYTES);
    let found = all(&json!({key: 1}), &json!({}));
    assert!(found[0].is_cut && found[0].path.len() <= PATH_BYTES + CUT.len_utf8());
}

#[test]
fn no_more_is_said_than_the_budget_allows() {
    let base: Value = (0..100).collect();
    let compare: Value = (100..200).collect();
    let mut exact = Budget::new(100, usize::MAX);
    assert_eq!(diff(Some(&base), Some(&compare), &mut exact).len(), 100);
    assert!(!exact.is_truncated());

    let mut fewer = Budget::new(99, usize::MAX);
    assert_eq!(diff(Some(&base), Some(&compare), &mut fewer).len(), 99);
    assert!(fewer.is_truncated());
    assert!(diff(None, Some(&base), &mut fewer).is_empty());

    let mut short = Budget::new(usize::MAX, 1_000);
    assert!(diff(Some(&base), Some(&compare), &mut short).len() < 30);
    assert!(short.is_truncated());
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..3).prop_map(Value::from),
        (-2_i32..2).prop_map(|whole| Value::from(f64::from(whole))),
        "[ab'.]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[ab'.]{0,2}", inner, 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

/// What a path leads to.
fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    let path = serde_json_path::JsonPath::parse(path).unwrap();
    path.query(value).at_most_one().unwrap()
}

proptest! {
    #[test]
    fn equal_values_and_only_they_have_no_difference(base in any_json(), compare in any_json()) {
        prop_assert!(all(&base, &base).is_empty());
        prop_assert_eq!(all(&base, &compare).is_empty(), equal(&base, &compare));
    }

    #[test]
    fn each_path_leads_to_what_is_shown(base in any_json(), compare in any_json()) {
        for difference in all(&base, &compare) {
            let Difference { path, base: before, compare: after, .. } = &difference;
            if let Some(before) = before {
                prop_assert_eq!(at(&base, path), Some(before));
            }
            if let Some(after) = after {
                prop_assert_eq!(at(&compare, path), Some(after));
            }
            prop_assert!(before.is_some() || after.is_some());
        }
    }

    #[test]
    fn the_other_way_round_the_same_places_differ(base in any_json(), compare in any_json()) {
        let mut there = places(&base, &compare);
        let mut back = places(&compare, &base);
        there.sort();
        back.sort();

        prop_assert_eq!(there, back);
    }
}
