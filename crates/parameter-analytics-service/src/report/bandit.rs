//! What came of a bandit.

use maud::{Markup, html};

use crate::bandit::Standing;
use crate::report::page::{page, section};
use crate::report::plot::Percent;
use crate::report::scale::Scale;
use crate::report::text;

/// Arms that are shown at most.
const MOST: usize = 200;
/// Deviations to either side: of a normal distribution 68 % and 95 % lie between them.
const INNER: f64 = 1.0;
const OUTER: f64 = 1.96;

/// The page of a bandit: what the mean reward of each arm may be, how probable it is that it is the best, and how often it was tried.
/// Beliefs are drawn as intervals, by their mean and standard deviation, as if they were normal: near 0 and 1, and after few rewards, those
/// of rewards in 0..1 are not, and an interval may reach beyond what is possible. `verdict` is the best arm where it is known for sure.
pub fn bandit_html(name: &str, arms: &[Standing], verdict: Option<&str>, now_ms: u64) -> String {
    let mut ranked: Vec<&Standing> = arms.iter().collect();
    ranked.sort_by(|a, b| a.is_retired.cmp(&b.is_retired).then(b.mean.total_cmp(&a.mean)));
    let total: f64 = arms.iter().map(|arm| arm.pulls).sum();
    let likely = arms
        .iter()
        .filter(|arm| !arm.is_retired)
        .max_by(|a, b| a.probability_best.total_cmp(&b.probability_best));
    let lead = match (verdict, likely) {
        (Some(best), _) => format!(
            "{} is the best arm: enough is known, and it alone is chosen from now on.",
            text::clean(best, text::LINE)
        ),
        (None, Some(arm)) if total > 0.0 => {
            let chance = Percent((arm.probability_best * 1000.0).round() / 1000.0);
            format!("{} is most probably the best arm ({chance}).", text::clean(&arm.arm, text::LINE))
        }
        _ => "No reward has come yet.".to_owned(),
    };
    let summary = html! {
        p.lead { bdi { (lead) } }
        ul.tiles {
            li { b { (text::count(arms.len())) } span { (if arms.len() == 1 { "arm" } else { "arms" }) } }
            li { b { (text::number(total)) } span { "rewards" } }
        }
    };
    let body = section("arms", "Arms", &table(&ranked, verdict));
    page(&text::clean(name, text::LINE), "Bandit", &summary, &body, now_ms)
}

fn table(ranked: &[&Standing], verdict: Option<&str>) -> Markup {
    let shown: Vec<&&Standing> = ranked.iter().take(MOST).collect();
    let scale = scale(&shown);
    let pulls = shown.iter().map(|arm| arm.pulls).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    html! {
        p.how {
            "The line is where the mean reward of an arm lies with 95% probability, its thick part with 68%, its dot what is expected: \
             arms whose lines do not overlap are told apart. Intervals are drawn as if beliefs were normal."
        }
        @if shown.len() < ranked.len() { p.note { "The " (MOST) " best of " (ranked.len()) " arms are shown." } }
        (crate::report::page::scrolling("Arms", &html! {
            table.full.arms {
                thead {
                    tr {
                        th scope="col" { "Arm" }
                        th.wide scope="col" { "Mean reward" }
                        th.number scope="col" { "Expected" }
                        th scope="col" colspan="2" { "Probability of being the best" }
                        th scope="col" colspan="2" { "Rewards" }
                    }
                }
                tbody {
                    @for arm in &shown { (row(arm, &scale, pulls, verdict == Some(&*arm.arm))) }
                    tr {
                        th scope="row" { span.hidden { "Scale" } }
                        td.bar { (axis(&scale)) }
                        td colspan="5" {}
                    }
                }
            }
        }))
    }
}

fn scale(arms: &[&&Standing]) -> Scale {
    let ends = |side: f64| {
        arms.iter().map(move |arm| arm.mean + side * OUTER * arm.std).filter(|end| end.is_finite())
    };
    let low = ends(-1.0).fold(f64::INFINITY, f64::min);
    let high = ends(1.0).fold(f64::NEG_INFINITY, f64::max);
    if low.is_finite() && high.is_finite() { Scale::linear(low, high) } else { Scale::linear(0.0, 1.0) }
}

fn row(arm: &Standing, scale: &Scale, pulls: f64, is_best: bool) -> Markup {
    let at = |deviations: f64| Percent(scale.share(arm.mean + deviations * arm.std));
    let expected = within(arm.mean, OUTER * arm.std);
    let chance = Percent((arm.probability_best * 1000.0).round() / 1000.0);
    html! {
        tr.first[is_best] {
            th scope="row" {
                bdi title=(text::clean(&arm.arm, text::LINE)) { (text::clean(&arm.arm, 2 * text::LABEL)) }
                @if is_best { " (the best)" }
                @if arm.is_retired { " (retired)" }
            }
            td.bar.wide {
                svg width="100%" height="22" role="img" aria-label=(expected) {
                    title { (expected) }
                    line.spread x1=(at(-OUTER)) x2=(at(OUTER)) y1="11" y2="11" {}
                    line.middle x1=(at(-INNER)) x2=(at(INNER)) y1="11" y2="11" {}
                    circle.complete cx=(at(0.0)) cy="11" r="4.5" {}
                }
            }
            td.number { (expected) }
            td.small { (share(arm.probability_best)) }
            td.number { (chance) }
            td.small { (share(arm.pulls / pulls)) }
            td.number { (text::number(arm.pulls)) }
        }
    }
}

/// A number and how far it may be off, to two digits of the latter.
fn within(mean: f64, off: f64) -> String {
    let decimals = 1.0 - off.abs().log10().floor();
    if (0.0..=6.0).contains(&decimals) && mean.abs() < 1e6 {
        let decimals = decimals as usize;
        return format!("{mean:.decimals$} ± {off:.decimals$}");
    }
    format!("{} ± {}", text::number(mean), text::number(off))
}

fn share(share: f64) -> Markup {
    html! {
        svg width="90" height="12" aria-hidden="true" {
            rect.track width="90" height="12" rx="3" {}
            rect.fill width=(Percent(share.clamp(0.0, 1.0))) height="12" rx="3" {}
        }
    }
}

fn axis(scale: &Scale) -> Markup {
    html! {
        svg width="100%" height="26" aria-hidden="true" overflow="visible" {
            line.axis x1="0" x2="100%" y1="1" y2="1" {}
            @for tick in scale.ticks(4) {
                line.axis x1=(Percent(tick.at)) x2=(Percent(tick.at)) y1="1" y2="6" {}
                text.x x=(Percent(tick.at)) y="20" { (tick.label) }
            }
        }
    }
}
