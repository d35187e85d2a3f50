//! The page around the figures.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::report::plot::{Mark, Percent, SHAPES, mark};
use crate::report::text;

/// The whole page. `kind` says what `name` is.
pub(super) fn page(name: &str, kind: &str, summary: &Markup, body: &Markup, now_ms: u64) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                // Nothing from elsewhere, whatever a study's texts contain.
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                title { (name) " · " (kind) " report" }
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body {
                a.skip href="#content" { "Skip to the content" }
                (SHAPES)
                header {
                    p.kind { (kind) " report, " time { (text::time(now_ms)) } }
                    h1 { bdi { (name) } }
                    (summary)
                }
                main #content { (body) }
            }
        }
    };
    page.into_string()
}

/// Links to the sections.
pub(super) fn contents<'a>(sections: impl Iterator<Item = (&'a str, &'a str)>) -> Markup {
    html! {
        nav aria-label="Sections" {
            @for (id, title) in sections { a href={ "#" (id) } { (title) } }
            a href="#facts" { "About this study" }
        }
    }
}

/// A part of the page.
pub(super) fn section(id: &str, title: &str, inside: &Markup) -> Markup {
    html! { section id=(id) { h2 { (title) } (inside) } }
}

/// How to read a figure, what its marks are, and what it leaves out.
pub(super) fn caption(
    how: &str,
    key: &[(Mark, &str, &str)],
    notes: impl IntoIterator<Item = Option<String>>,
) -> Markup {
    let notes: Vec<String> = notes.into_iter().flatten().collect();
    html! {
        p.how { (how) }
        @if !key.is_empty() {
            ul.key {
                @for (shape, class, label) in key {
                    li {
                        svg width="16" height="16" aria-hidden="true" { (swatch(*shape, class)) }
                        (label)
                    }
                }
            }
        }
        @for note in notes { p.note { (note) } }
    }
}

fn swatch(shape: Mark, class: &str) -> Markup {
    if class.starts_with("line") {
        return html! { line class=(class) x1="0" x2="16" y1="8" y2="8" {} };
    }
    mark(shape, class, (Percent(0.5), 8.0), "")
}

/// Tables and wide pictures move sideways where there is no room; the keyboard reaches them.
pub(super) fn scrolling(label: &str, inside: &Markup) -> Markup {
    html! { div.scrolling role="region" aria-label=(label) tabindex="0" { (inside) } }
}
