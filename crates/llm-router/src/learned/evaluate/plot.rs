//! A line chart as SVG. By hand: a grid, lines and a legend are a page, and `plotters` brings fonts and colours of
//! its own for it.

use std::fmt::Write as _;

/// One line of a chart.
#[derive(Debug, Clone)]
pub struct Line {
    /// Its name in the legend.
    pub name: String,
    /// Its points, by x.
    pub points: Vec<(f64, f64)>,
}

const COLOURS: [&str; 8] =
    ["#0b61a4", "#9aa0a6", "#d1495b", "#edae49", "#66a182", "#7b4fa3", "#2e4057", "#b07d62"];
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 460.0;
const LEFT: f64 = 64.0;
const TOP: f64 = 44.0;
const PLOT_WIDTH: f64 = 500.0;
const PLOT_HEIGHT: f64 = 350.0;

/// Draws lines with a title and names of the axes. The first line is drawn thicker.
pub fn svg(title: &str, x_name: &str, y_name: &str, lines: &[Line]) -> String {
    let points = || lines.iter().flat_map(|line| &line.points).filter(|p| p.0.is_finite() && p.1.is_finite());
    let [x_low, x_high] = range(points().map(|p| p.0));
    let [y_low, y_high] = range(points().map(|p| p.1));
    let x = |value: f64| LEFT + PLOT_WIDTH * (value - x_low) / (x_high - x_low);
    let y = |value: f64| TOP + PLOT_HEIGHT * (1.0 - (value - y_low) / (y_high - y_low));
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"24\" font-size=\"15\">{}</text>\n",
        escaped(title)
    );
    // Writing to a string does not fail.
    for i in 0..=5 {
        let share = f64::from(i) / 5.0;
        let (at_x, at_y) = (LEFT + PLOT_WIDTH * share, TOP + PLOT_HEIGHT * (1.0 - share));
        let (right, bottom) = (LEFT + PLOT_WIDTH, TOP + PLOT_HEIGHT);
        let _ =
            writeln!(out, "<path d=\"M{LEFT} {at_y}H{right}M{at_x} {TOP}V{bottom}\" stroke=\"#e4e6e8\"/>");
        let _ = writeln!(
            out,
            "<text x=\"{at_x}\" y=\"{}\" text-anchor=\"middle\">{}</text>\
             <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            bottom + 18.0,
            rounded(x_low + (x_high - x_low) * share),
            LEFT - 8.0,
            at_y + 4.0,
            rounded(y_low + (y_high - y_low) * share),
        );
    }
    let middle = TOP + PLOT_HEIGHT / 2.0;
    let _ = writeln!(
        out,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\
         <text transform=\"translate(16 {middle}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
        LEFT + PLOT_WIDTH / 2.0,
        HEIGHT - 18.0,
        escaped(x_name),
        escaped(y_name),
    );
    // The first on top of the others.
    for (i, line) in lines.iter().enumerate().rev() {
        let colour = COLOURS[i % COLOURS.len()];
        let width = if i == 0 { 2.5 } else { 1.5 };
        let mut path = String::new();
        for (px, py) in line.points.iter().filter(|p| p.0.is_finite() && p.1.is_finite()) {
            let _ = write!(path, "{:.1},{:.1} ", x(*px), y(*py));
        }
        let at = TOP + 10.0 + 20.0 * i as f64;
        let legend = LEFT + PLOT_WIDTH + 16.0;
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"/>\
             <path d=\"M{legend} {at}h18\" stroke=\"{colour}\" stroke-width=\"{width}\"/>\
             <text x=\"{}\" y=\"{}\">{}</text>",
            path.trim_end(),
            legend + 24.0,
            at + 4.0,
            escaped(&line.name),
        );
    }
    out.push_str("</svg>\n");
    out
}

/// From the least to the greatest value, never empty.
fn range(values: impl Iterator<Item = f64>) -> [f64; 2] {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    match low < high {
        true => [low, high],
        false if low.is_finite() => [low - 1.0, low + 1.0],
        false => [0.0, 1.0],
    }
}

fn rounded(value: f64) -> String {
    if value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_drawn_and_named() {
        let line = |name: &str| Line { name: name.to_owned(), points: vec![(0.0, 0.0), (1.0, 0.5)] };
        let svg = svg("Quality", "calls", "gap", &[line("ours"), line("a < b")]);
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert!(svg.contains("a &lt; b") && svg.ends_with("</svg>\n"));
    }

    #[test]
    fn nothing_to_draw_is_no_failure() {
        assert!(svg("", "", "", &[]).contains("<svg"));
        let flat = Line { name: String::new(), points: vec![(1.0, f64::NAN), (1.0, 1.0)] };
        assert!(!svg("", "", "", &[flat]).contains("NaN"));
    }
}
