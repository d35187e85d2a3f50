//! What came of a study or a bandit, as one HTML page that a person reads without a manual.
//!
//! A page asks for nothing from elsewhere and runs no script: pictures are SVG, hover texts are their titles, and colours follow the
//! reader's light or dark mode. Positions across are percentages and letters have a size of their own, so that a page fits a telephone as
//! well as paper. Of large studies a choice of trials is drawn, and the page says so: 10,000 trials stay below 2 MB.

mod bandit;
mod bars;
mod contour;
mod facts;
mod history;
mod intermediate;
mod page;
mod parallel;
mod plot;
mod scale;
mod slice;
mod spread;
mod surface;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod timeline;
mod view;

use maud::{Markup, html};

pub use bandit::bandit_html;

use crate::study::Study;
use view::View;

/// The page of a study, as it is at `now_ms` (ms since 1970). Takes up to a second: for its contours a Gaussian process is fitted to at
/// most 256 trials.
pub fn html(study: &Study, now_ms: u64) -> String {
    let view = View::new(study, now_ms);
    let figures: [(&str, &str, Option<Markup>); 9] = [
        ("history", "History", history::figure(&view)),
        ("importance", "Importance", bars::figure(&view)),
        ("slices", "Slices", slice::figure(&view)),
        ("contours", "Contours", contour::figure(&view)),
        ("parallel", "Parallel coordinates", parallel::figure(&view)),
        ("spread", "Spread of values", spread::figure(&view)),
        ("steps", "Values on the way", intermediate::figure(&view)),
        ("timeline", "Timeline", timeline::figure(&view)),
        ("best", "Best trials", table::figure(&view)),
    ];
    let name = text::clean(&study.options().name, text::LINE);
    let body = html! {
        (page::contents(figures.iter().filter(|(.., figure)| figure.is_some()).map(|(id, title, _)| (*id, *title))))
        @for (id, title, figure) in &figures {
            @if let Some(figure) = figure { (page::section(id, title, figure)) }
        }
        (page::section("facts", "About this study", &facts::list(&view)))
    };
    page::page(&name, "Study", &facts::summary(&view), &body, now_ms)
}
