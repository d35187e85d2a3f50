use proptest::prelude::*;

use super::*;
use crate::bandit::Standing;
use crate::sampler::SamplerKind;
use crate::space::tests::any_domain;
use crate::space::{Domain, Parameter, Space};
use crate::study::{Direction, Event, Outcome, StudyOptions};

/// Text that would like to be markup, or to turn what comes after it.
const HOSTILE: &str = "</title><script>alert('x')</script>\"&'\u{0}\u{202e}\u{200f}&lt;";

fn plane() -> Space {
    let side = |name| Parameter::new(name, Domain::float(0.0, 1.0));
    Space::new(vec![side("u"), side("v")]).unwrap()
}

/// A study whose trials, from a random sampler, come to what is said.
fn study(options: StudyOptions, outcomes: impl IntoIterator<Item = Outcome>) -> Study {
    let options = StudyOptions { sampler: SamplerKind::Random, ..options };
    let mut study = Study::create(options, 0).unwrap();
    for (now, outcome) in (0..).step_by(1_000).zip(outcomes) {
        let trial = study.ask(1, now).unwrap()[0];
        study.tell(trial, outcome, now + 700).unwrap();
    }
    study
}

fn value(value: f64) -> Outcome {
    Outcome::Values(vec![value], vec![])
}

/// The page, which must be whole: elements that end, in their order, attributes in quotes, and numbers that are numbers.
fn check(page: &str) {
    let mut open = Vec::new();
    let mut rest = page.strip_prefix("<!DOCTYPE html>").unwrap();
    while let Some(start) = rest.find('<') {
        let tag = &rest[start + 1..];
        let mut quoted = false;
        let inside = |letter: char| {
            quoted ^= letter == '"';
            letter == '>' && !quoted
        };
        let end = tag.find(inside).unwrap();
        let (tag, after) = (&tag[..end], &tag[end + 1..]);
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name)),
            None if tag.starts_with("meta") || tag.ends_with('/') => {}
            None => open.push(tag.split(' ').next().unwrap()),
        }
        assert!(!tag.contains('<') && tag.matches('"').count().is_multiple_of(2), "{tag}");
        rest = after;
    }
    assert!(open.is_empty(), "{open:?}");
    for word in page.split(|letter: char| !letter.is_alphanumeric()) {
        assert!(!["NaN", "inf", "NaNpx"].contains(&word), "a number that is none");
    }
}

fn page(study: &Study) -> String {
    let page = html(study, 10_000_000);
    check(&page);
    page
}

#[test]
fn text_of_others_is_shown_and_does_nothing() {
    let parameters = vec![
        Parameter::new(HOSTILE, Domain::choices([HOSTILE, "b"])),
        Parameter::new("p", Domain::float(0.0, 1.0)).when(HOSTILE, HOSTILE),
    ];
    let constraints = vec![HOSTILE.into()];
    let options = StudyOptions { constraints, ..StudyOptions::new(HOSTILE, Space::new(parameters).unwrap()) };
    let study =
        study(options, (0..30).map(|n| Outcome::Values(vec![f64::from(n)], vec![f64::from(n % 3 - 1)])));
    let arm = Standing {
        arm: HOSTILE.into(),
        is_retired: false,
        mean: 0.5,
        std: 0.1,
        pulls: 3.0,
        probability_best: 1.0,
    };
    let bandit = bandit_html(HOSTILE, &[arm], Some(HOSTILE), 0);
    check(&bandit);
    for page in [page(&study), bandit] {
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;alert("));
        assert!(!page.contains(['\u{0}', '\u{202e}', '\u{200f}']) && page.contains('\u{fffd}'));
        assert!(page.contains("&amp;lt;"), "what looks escaped is escaped again");
    }
}

#[test]
fn a_page_asks_for_nothing_from_elsewhere() {
    let page = page(&study(StudyOptions::new("s", plane()), (0..30).map(|n| value(f64::from(n)))));
    for request in ["http:", "https:", "src=", "url(", "@import", "<script", "<link", "xlink"] {
        assert!(!page.contains(request), "{request}");
    }
    assert!(page.split("href=\"").skip(1).all(|link| link.starts_with('#')));
}

#[test]
fn every_figure_is_there_once_there_is_something_to_show() {
    let mut study =
        study(StudyOptions::new("s", plane()), (0..30).map(|n| value((f64::from(n) - 20.0).powi(2))));
    let all =
        ["history", "importance", "slices", "contours", "parallel", "spread", "timeline", "best", "facts"];
    let has = |page: &str, id: &str| page.contains(&format!("<section id=\"{id}\">"));
    let whole = page(&study);
    assert!(all.iter().all(|id| has(&whole, id)) && !has(&whole, "steps"));
    // Each has a caption and, as far as it is drawn, a description.
    let figures = whole.matches("role=\"img\"").count();
    assert!(
        whole.matches("class=\"how\"").count() >= 8
            && whole.matches("role=\"img\" aria-label=\"").count() == figures
    );
    let trial = study.ask(1, 0).unwrap()[0];
    study.report(trial, 3, 1.0, 0).unwrap();
    assert!(has(&page(&study), "steps"));
    let empty = page(&Study::create(StudyOptions::new("s", plane()), 0).unwrap());
    assert!(empty.contains("Nothing has been tried yet.") && has(&empty, "facts"));
    assert!(all.iter().filter(|id| **id != "facts").all(|id| !has(&empty, id)));
}

#[test]
fn the_best_is_named_and_constraints_come_first() {
    let constraints = vec!["memory".into()];
    let options = StudyOptions {
        constraints,
        directions: vec![Direction::Maximize],
        ..StudyOptions::new("s", plane())
    };
    let told = [(3.0, -1.0), (9.0, 2.0), (5.0, 0.0)];
    let page =
        page(&study(options.clone(), told.map(|(value, over)| Outcome::Values(vec![value], vec![over]))));
    assert!(page.contains(
        "The largest value of 3 trials is 5, found by trial 2, among those that meet all constraints."
    ));
    assert!(page.contains("memory by 2") && page.contains("class=\"violating\""));
    let none = super::html(&study(options, [Outcome::Values(vec![1.0], vec![1.0])]), 0);
    assert!(none.contains("No complete trial meets all constraints."));
}

#[test]
fn odd_studies_have_sane_pages() {
    let options = || StudyOptions::new("s", plane());
    page(&study(options(), [value(1.0)]));
    page(&study(options(), vec![value(2.5); 40]));
    let failed = page(&study(options(), vec![Outcome::Nothing; 20]));
    assert!(failed.contains("None of 20 trials is complete yet"));
    for scale in [1e300, 1e-300, f64::MAX] {
        page(&study(options(), (0..40).map(|n| value(scale * (f64::from(n) / 20.0 - 1.0)))));
    }
    let single = Space::new(vec![
        Parameter::new("c", Domain::choices(["only"])),
        Parameter::new("x", Domain::float(-1.7e308, 1.7e308)),
        Parameter::new("n", Domain::int(i64::from(i32::MIN), i64::from(i32::MAX))),
    ]);
    page(&study(StudyOptions::new("s", single.unwrap()), (0..40).map(|n| value(f64::from(n)))));
    let many = (0..100).map(|n| Parameter::new(&format!("parameter {n}"), Domain::float(0.0, 1.0))).collect();
    let page =
        page(&study(StudyOptions::new("s", Space::new(many).unwrap()), (0..60).map(|n| value(f64::from(n)))));
    assert!(page.contains("The 12 most important of 100 parameters are shown."));
}

#[test]
fn a_value_far_out_does_not_take_the_place_of_the_others() {
    let study = study(
        StudyOptions::new("s", plane()),
        (0..40).map(|n| value(if n == 7 { 1e6 } else { f64::from(n % 9) - 4.0 })),
    );
    assert!(
        page(&study).contains("1 trial lies beyond the end of the axis of values and is drawn on its edge.")
    );
}

#[test]
fn ten_thousand_trials_are_thinned_out_and_the_page_says_so() {
    use crate::study::State;
    let name = |n: u32| format!("a parameter with a long name {n}");
    let names = || (0..20).map(|n| Parameter::new(&name(n), Domain::log_float(1e-5, 1.0))).collect();
    // Values by chance, and values that get better with every trial.
    for is_random in [true, false] {
        let options = StudyOptions::new("s", Space::new(names()).unwrap());
        let mut events = vec![Event::Created { options, at: 0 }];
        for trial in 0..10_000u64 {
            let mut stream = crate::Stream::new(1, trial);
            let settings = (0..20).map(|n| (name(n).into(), (10f64.powf(-5.0 * stream.unit())).into()));
            let parameters = crate::space::Ordered(settings.collect());
            let (by, at) = (SamplerKind::Random, trial * 1_000);
            events.push(Event::Asked { trial, parameters, by, fit: None, at });
            for step in 0..20 {
                events.push(Event::Reported { trial, step, value: stream.unit(), at: at + step });
            }
            let values = vec![if is_random { stream.normal() } else { -(trial as f64) }];
            let (state, constraint_values) = (State::Complete, vec![]);
            events.push(Event::Told { trial, state, values, constraint_values, at: at + 700 });
        }
        let page = page(&Study::replay(events).unwrap());
        assert!(page.len() < 1_900_000, "{}", page.len());
        assert!(page.matches("of 10,000 trials are drawn").count() >= 5);
    }
}

#[test]
fn arms_are_ranked_and_their_chances_shown() {
    let arm = |arm: &str, mean, probability_best, is_retired| Standing {
        arm: arm.into(),
        is_retired,
        mean,
        std: 0.05,
        pulls: 120.0,
        probability_best,
    };
    let arms = [arm("b", 0.4, 0.1, false), arm("old", 0.9, 0.0, true), arm("a", 0.6, 0.9, false)];
    let page = bandit_html("prompts", &arms, None, 0);
    check(&page);
    assert!(page.contains("a is most probably the best arm (90%).") && page.contains("0.600 ± 0.098"));
    let place = |text: &str| page.find(text).unwrap();
    assert!(place("title=\"a\"") < place("title=\"b\"") && place("title=\"b\"") < place("title=\"old\""));
    assert!(bandit_html("prompts", &arms, Some("a"), 0).contains("a is the best arm"));
    for odd in [vec![], vec![arm("x", 1e300, 1.0, false)], vec![arm("x", 0.0, 0.0, true)]] {
        check(&bandit_html("prompts", &odd, None, 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_study_has_a_whole_page(
        domains in prop::collection::vec(any_domain(), 1..6),
        values in prop::collection::vec(prop::option::of(prop_oneof![-1.0..1.0f64, Just(1e300), Just(-1e300), Just(0.0)]), 0..30),
        maximised: bool,
    ) {
        let named = domains.into_iter().enumerate().map(|(place, domain)| Parameter::new(&format!("p{place}"), domain));
        let direction = if maximised { Direction::Maximize } else { Direction::Minimize };
        let space = Space::new(named.collect()).unwrap();
        let options = StudyOptions { directions: vec![direction], ..StudyOptions::new("s", space) };
        page(&study(options, values.into_iter().map(|told| told.map_or(Outcome::Nothing, value))));
    }
}
