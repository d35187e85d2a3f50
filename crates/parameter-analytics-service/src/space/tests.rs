use proptest::prelude::*;
use serde_json::json;

use super::*;

fn space(document: serde_json::Value) -> Result<Space, SpaceError> {
    serde_json::from_value::<SpaceDocument>(document).unwrap().try_into()
}

#[track_caller]
fn check_problem(document: serde_json::Value, message: &str) {
    assert_eq!(space(document).unwrap_err().to_string(), message);
}

#[test]
fn what_does_not_fit_together_is_named() {
    check_problem(json!({}), "a space needs at least one parameter");
    check_problem(
        json!({"a": {"type": "float", "low": 1, "high": 1}}),
        "parameter `a` needs `low` < `high`, got 1 and 1",
    );
    check_problem(
        json!({"a": {"type": "float", "low": 0, "high": 1, "log": true}}),
        "parameter `a` has `log`, which needs `low` > 0 (for `int`, at least 1), got 0",
    );
    check_problem(
        json!({"a": {"type": "int", "low": 0, "high": 1.5}}),
        "parameter `a` has 1.5 where a finite number is needed (for `int` a whole one below 2^53)",
    );
    check_problem(
        json!({"a": {"type": "float", "low": 1, "high": 2, "log": true, "step": 0.5}}),
        "parameter `a` has `log` and `step`; it can have one of them",
    );
    check_problem(
        json!({"a": {"type": "float", "low": 1, "high": 2, "step": -1}}),
        "parameter `a` has step -1; it must be above 0, at most `high` - `low`, and make fewer than 2^53 steps",
    );
    check_problem(
        json!({"a": {"type": "categorical", "choices": []}}),
        "parameter `a` needs at least one choice",
    );
    check_problem(
        json!({"a": {"type": "categorical", "choices": ["x", 1, "x"]}}),
        "parameter `a` has the choice \"x\" twice",
    );
    check_problem(
        json!({"a": {"type": "enum"}}),
        "parameter `a` has the unknown type `enum`; there are `float`, `int` and `categorical`",
    );
    check_problem(
        json!({"a": {"type": "int", "low": 0, "high": 2, "choices": [1]}}),
        "parameter `a` is of type `int`, which has no `choices`",
    );
    check_problem(json!({"a": {"type": "int", "low": 0}}), "parameter `a` needs `low` and `high`");
}

#[test]
fn conditions_must_be_possible() {
    let with = |when: serde_json::Value| {
        json!({
            "model": {"type": "categorical", "choices": ["small", "large"]},
            "p": {"type": "float", "low": 0, "high": 1},
            "depth": {"type": "int", "low": 1, "high": 4, "when": when},
        })
    };
    assert!(space(with(json!({"model": "large"}))).is_ok());
    check_problem(
        with(json!({"modle": "large"})),
        "parameter `depth` has a `when` on `modle`, which is not a parameter",
    );
    check_problem(
        with(json!({"model": "huge"})),
        "parameter `depth` has a `when` on `model` being \"huge\", which it never is",
    );
    check_problem(
        with(json!({"p": 0.5})),
        "parameter `depth` has a `when` on `p`, which is continuous; only `int`, `categorical` and stepped parameters can be compared",
    );
    let bool_of = |when: &str| json!({"type": "categorical", "choices": [true, false], "when": {when: true}});
    check_problem(
        json!({"a": bool_of("b"), "b": bool_of("a")}),
        "parameter `a` depends on itself by its `when`",
    );
}

#[test]
fn a_space_is_the_same_after_it_was_written() {
    let document = json!({
        "t": {"type": "float", "low": 0, "high": 2, "step": 0.1},
        "lr": {"type": "float", "low": 1e-5, "high": 0.1, "log": true},
        "k": {"type": "int", "low": 1, "high": 64, "log": true},
        "model": {"type": "categorical", "choices": ["a", 2, true]},
        "depth": {"type": "int", "low": 2, "high": 10, "step": 2, "when": {"model": "a"}},
    });
    let first = space(document.clone()).unwrap();
    assert_eq!(serde_json::to_value(&first).unwrap(), document);
    let mut second = first.clone();
    second.retire_choice("model", &Value::Number(2.0)).unwrap();
    let written = serde_json::to_string(&second).unwrap();
    assert_eq!(serde_json::from_str::<Space>(&written).unwrap(), second);
}

#[test]
fn steps_are_the_numbers_that_people_write() {
    let space = space(json!({"t": {"type": "float", "low": 0, "high": 0.7, "step": 0.1}})).unwrap();
    let values: Vec<f64> = (0..8).map(|k| space.sample(&[(f64::from(k) + 0.5) / 8.0]).0[0]).collect();
    assert_eq!(values, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]);
    assert_eq!(space.cardinality(), Some(8.0));
}

#[test]
fn a_choice_comes_and_goes_without_disturbing_points() {
    let mut space = space(json!({"m": {"type": "categorical", "choices": ["a", "b"]}})).unwrap();
    let b = space.sample(&[0.9]);
    space.add_choice("m", "c".into()).unwrap();
    assert_eq!(space.values(&b).get("m"), Some(&"b".into()));
    space.retire_choice("m", &"b".into()).unwrap();
    let offered: Vec<f64> = [0.0, 0.4, 0.6, 1.0].map(|at| space.sample(&[at]).0[0]).into();
    assert_eq!(offered, [0.0, 0.0, 2.0, 2.0]);
    assert_eq!(space.decode(&[1.0]).0[0], 0.0, "a retired choice is not decoded");
    space.retire_choice("m", &"a".into()).unwrap();
    let last = space.retire_choice("m", &"c".into()).unwrap_err();
    assert_eq!(last.to_string(), "parameter `m` has only \"c\" left, which cannot be retired");
    space.add_choice("m", "b".into()).unwrap();
    assert!(space.add_choice("m", "b".into()).is_err());
}

#[test]
fn only_what_is_active_has_a_value() {
    let space = space(json!({
        "depth": {"type": "int", "low": 1, "high": 4, "when": {"deep": true}},
        "deep": {"type": "categorical", "choices": [true, false]},
    }))
    .unwrap();
    let flat = space.sample(&[0.9, 0.9]);
    assert_eq!(serde_json::to_string(&space.values(&flat)).unwrap(), r#"{"deep":false}"#);
    assert_eq!(space.sample(&[0.1, 0.9]), flat, "what is not active makes no difference");
    let deep = space.sample(&[0.9, 0.1]);
    assert_eq!(serde_json::to_string(&space.values(&deep)).unwrap(), r#"{"depth":4,"deep":true}"#);
    let point = |text: &str| space.point(&serde_json::from_str(text).unwrap());
    assert_eq!(point(r#"{"deep":true,"depth":4}"#).unwrap(), deep);
    assert_eq!(point(r#"{"deep":true}"#).unwrap_err().to_string(), "parameter `depth` has no value");
    assert_eq!(
        point(r#"{"deep":false,"depth":1}"#).unwrap_err().to_string(),
        "parameter `depth` has a value, and is not active by its `when`"
    );
    assert_eq!(point(r#"{"deep":true,"depth":9}"#).unwrap_err().to_string(), "parameter `depth` cannot be 9");
}

/// Any domain that is allowed.
pub(crate) fn any_domain() -> impl Strategy<Value = Domain> {
    let ends = || (-1e300..1e300f64, prop_oneof![1e-3..10f64, 1e-300..1e300f64]);
    prop_oneof![
        ends().prop_map(|(low, width)| Domain::float(low, low + width)),
        (1e-300..1e300f64, 1.0001..1e6f64).prop_map(|(low, ratio)| Domain::log_float(low, low * ratio)),
        (-100.0..100f64, 0.01..3f64, 1..40u32).prop_map(|(low, step, count)| Domain::Float {
            low,
            high: step.mul_add(f64::from(count), low) + 0.001,
            log: false,
            step: Some(step)
        }),
        (-1_000..1_000i64, 1..1_000i64, 1..5i64).prop_map(|(low, more, step)| Domain::Int {
            low,
            high: low + more.max(step),
            log: false,
            step
        }),
        (1..1_000i64, 1..1_000_000i64).prop_map(|(low, more)| Domain::Int {
            low,
            high: low + more,
            log: true,
            step: 1
        }),
        (1..6usize).prop_map(|count| Domain::choices((0..count).map(|place| place as f64))),
    ]
    .prop_filter("ends that are one number", |domain| {
        Space::new(vec![Parameter::new("x", domain.clone())]).is_ok()
    })
}

proptest! {
    #[test]
    fn points_survive_coordinates_and_values(
        domains in prop::collection::vec(any_domain(), 1..5),
        cube in prop::collection::vec(0.0..=1.0f64, 5),
    ) {
        let named = domains.into_iter().enumerate();
        let space = Space::new(named.map(|(n, domain)| Parameter::new(&n.to_string(), domain)).collect()).unwrap();
        let point = space.sample(&cube);
        prop_assert_eq!(&space.point(&space.values(&point)).unwrap(), &point);
        let coordinates = space.encode(&point);
        let again = space.decode(&coordinates);
        for ((axis, &a), &b) in space.axes().iter().zip(point.numbers()).zip(again.numbers()) {
            match axis {
                // Rounding in the logarithm of a number near 1e300 costs some digits.
                Axis::Continuous => prop_assert!((a / 2.0 - b / 2.0).abs() <= 1e-11 * a.abs().max(b.abs()).max(1e288)
                    || (a - b).abs() <= 1e-11 * a.abs(), "{} {}", a, b),
                _ => prop_assert_eq!(a, b),
            }
        }
    }
}

#[test]
fn a_wide_range_of_whole_numbers_ends_where_it_says() {
    for high in [999_999_999, 1 << 31, (1 << 40) + 1] {
        let domain = Domain::int(0, high);
        assert_eq!(domain.levels(), Some(high as f64 + 1.0));
        assert_eq!(domain.at(1.0), high as f64);
        assert_eq!(domain.number(&Value::Number(high as f64)), Some(high as f64));
    }
}
