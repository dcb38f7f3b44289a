//! How the cost for each worker grows with their number, as a picture: lines over two logarithmic axes.

use std::fmt::Write;

/// One line of the plot: (number of workers, µs for each).
pub struct Curve {
    pub name: &'static str,
    pub points: Vec<(f64, f64)>,
}

const LEFT: f64 = 70.0;
const TOP: f64 = 56.0;
const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 300.0;

const STYLE: &str = "text{font:13px sans-serif;fill:#222}.axis{stroke:#999;stroke-width:1}.grid{stroke:#ddd;stroke-width:1}\
path{fill:none;stroke-width:2}.c0{stroke:#0b6e4f}.c1{stroke:#b3541e;stroke-dasharray:7 4}.c2{stroke:#3b5bdb;stroke-dasharray:2 4}\
.back{fill:#fff}@media(prefers-color-scheme:dark){text{fill:#ddd}.back{fill:#161616}.grid{stroke:#333}.axis{stroke:#777}\
.c0{stroke:#4cc38a}.c1{stroke:#ff9f5a}.c2{stroke:#91a7ff}}";

pub fn svg(title: &str, curves: &[Curve]) -> String {
    let all = || curves.iter().flat_map(|curve| &curve.points);
    let most = all().map(|point| point.0).fold(1.0, f64::max);
    let (low, high) = (
        decade(all().map(|p| p.1).fold(f64::MAX, f64::min)),
        decade(all().map(|p| p.1).fold(0.0, f64::max)) + 1.0,
    );
    let x = |workers: f64| LEFT + WIDTH * workers.log10() / most.log10();
    let y = |micros: f64| TOP + HEIGHT * (high - micros.log10()) / (high - low);

    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 660 450\" role=\"img\" aria-labelledby=\"t d\">\n\
         <title id=\"t\">{title}</title>\n<desc id=\"d\">{}</desc>\n<style>{STYLE}</style>\n\
         <rect class=\"back\" width=\"660\" height=\"450\"/>\n<text x=\"{LEFT}\" y=\"30\">{title}</text>\n",
        describe(curves)
    );
    // Writing to a String does not fail.
    let mut line = |text: String| writeln!(out, "{text}").expect("a String takes all");
    for power in low as i32..=high as i32 {
        let (value, at) = (10_f64.powi(power), y(10_f64.powi(power)));
        line(format!(
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>",
            LEFT + WIDTH
        ));
        line(format!(
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value} µs</text>",
            LEFT - 8.0,
            at + 4.0
        ));
    }
    for power in 0..=most.log10().round() as i32 {
        let (value, at) = (10_u64.pow(power as u32), x(10_f64.powi(power)));
        line(format!(
            "<line class=\"axis\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{0}\" y2=\"{1}\"/>",
            TOP + HEIGHT,
            TOP + HEIGHT + 5.0
        ));
        line(format!(
            "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{value}</text>",
            TOP + HEIGHT + 22.0
        ));
    }
    for (which, curve) in curves.iter().enumerate() {
        let points: Vec<String> = curve
            .points
            .iter()
            .map(|p| format!("{:.1} {:.1}", x(p.0), y(p.1)))
            .collect();
        line(format!(
            "<path class=\"c{which}\" d=\"M{}\"/>",
            points.join(" L")
        ));
        let (at, row) = (LEFT + 190.0 * which as f64, TOP + HEIGHT + 60.0);
        line(format!("<path class=\"c{which}\" d=\"M{at} {row} h30\"/>"));
        line(format!(
            "<text x=\"{}\" y=\"{}\">{}</text>",
            at + 38.0,
            row + 4.0,
            curve.name
        ));
    }
    line("</svg>".into());
    out
}

/// The picture in words, for who cannot see it.
fn describe(curves: &[Curve]) -> String {
    let words = curves.iter().filter_map(|curve| {
        let (first, last) = (curve.points.first()?, curve.points.last()?);
        Some(format!(
            "{}: {:.1} µs at {} worker, {:.1} µs each at {}",
            curve.name, first.1, first.0, last.1, last.0
        ))
    });
    words.collect::<Vec<_>>().join("; ")
}

/// The power of ten at or below.
fn decade(value: f64) -> f64 {
    value.log10().floor()
}
