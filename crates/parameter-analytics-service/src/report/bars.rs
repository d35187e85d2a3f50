//! Which parameters matter.

use maud::{Markup, html};

use crate::report::page::caption;
use crate::report::plot::Percent;
use crate::report::text;
use crate::report::view::View;

/// Parameters that are listed at most.
const MOST: usize = 30;
/// With fewer complete trials the best tenth are too few to say much.
const FEW: usize = 50;

pub(super) fn figure(view: &View<'_>) -> Option<Markup> {
    if view.complete.len() < 2 || view.importance.len() < 2 {
        return None;
    }
    let mut shares = view.importance.clone();
    shares.sort_by(|a, b| b.1.total_cmp(&a.1));
    let most = shares.first().map_or(1.0, |(_, share)| *share).max(f64::MIN_POSITIVE);
    let left_out = view.left_out(shares.len().min(MOST));
    shares.truncate(MOST);
    let equal = shares.iter().all(|(_, share)| (share / most - 1.0).abs() < 1e-9);
    let hint = if equal {
        Some("All shares are the same: these trials do not tell the parameters apart.".to_owned())
    } else {
        let complete = view.complete.len();
        (complete < FEW).then(|| format!("A hint only: it rests on {complete} complete trials."))
    };
    let how = "The longer a bar, the more it depends on this parameter whether a trial is among the best tenth; the shares add up to \
               100% (PED-ANOVA).";
    Some(html! {
        figure {
            figcaption { (caption(how, &[], [left_out, hint])) }
            table.full {
                thead { tr { th scope="col" { "Parameter" } th scope="col" colspan="2" { "Importance" } } }
                tbody {
                    @for (name, share) in &shares {
                        tr {
                            th scope="row" { bdi title=(text::clean(name, text::LINE)) { (text::clean(name, 2 * text::LABEL)) } }
                            td.bar {
                                svg width="100%" height="14" aria-hidden="true" {
                                    rect.track width="100%" height="14" rx="3" {}
                                    rect.fill width=(Percent(share / most)) height="14" rx="3" {}
                                }
                            }
                            td.number { (Percent((share * 1000.0).round() / 1000.0)) }
                        }
                    }
                }
            }
        }
    })
}
