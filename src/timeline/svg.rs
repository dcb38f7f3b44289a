//! The picture as an SVG document: text as text, colours by class for light and dark, everything from outside escaped and
//! bounded.

use std::fmt::{self, Display, Write};
use std::time::Duration;

use super::chart::{label, short_name, state, tick_label, Chart, Rest, Row, Span, NAMED};
use super::columns::cut;
use crate::base::text::{printable, Short};
use crate::{CallbackFault, Outcome, ShutdownReport};

/// How many entries are shown one by one.
const ROWS: usize = 100;
/// How long a text may be that is shown when one points at a row.
const TOOLTIP: usize = 300;

// All in pixels.
const WIDTH: usize = 960;
const MARGIN: usize = 20;
/// The column of names, and how many characters of a fixed pitch fit into it.
const NAMES: usize = 230;
const NAME_COLUMNS: usize = 30;
/// Where bars begin, and how long the longest is.
const BARS: usize = MARGIN + NAMES + 10;
const BARS_WIDTH: usize = 550;
const FIGURES: usize = BARS + BARS_WIDTH + 12;
/// Above the first row: heading, one line of the critical path, axis.
const HEAD: usize = 90;
/// Each further line of the critical path.
const LINE: usize = 16;
const ROW: usize = 22;
const FOOT: usize = 44;
/// The shortest bar that can still be seen.
const SHORTEST: f64 = 2.0;

/// Classes, for whatever the picture is put into. Contrasts: text at least 4.5 to 1, bars at least 3 to 1.
const STYLE: &str = "\
.sundown-timeline{font:12px ui-monospace,Menlo,Consolas,\"DejaVu Sans Mono\",monospace}\
.sundown-timeline .ground{fill:#fff}\
.sundown-timeline text{fill:#1f2328}\
.sundown-timeline .heading{font-size:15px;font-weight:600}\
.sundown-timeline .quiet{fill:#59636e}\
.sundown-timeline .grid{stroke:#d1d9e0;stroke-width:1}\
.sundown-timeline .join{fill:#6c8ebf}\
.sundown-timeline .callback{fill:#1d4f91}\
.sundown-timeline .stuck .join{fill:#d1242f}\
.sundown-timeline .stuck .callback{fill:#82071e}\
.sundown-timeline .wrong .figures,.sundown-timeline .stuck .figures{fill:#c4161c;font-weight:600}\
.sundown-timeline .path{fill:#bf6a02}\
.sundown-timeline .rest{fill:#848d97}\
@media (prefers-color-scheme:dark){\
.sundown-timeline .ground{fill:#0d1117}\
.sundown-timeline text{fill:#e6edf3}\
.sundown-timeline .quiet{fill:#9198a1}\
.sundown-timeline .grid{stroke:#30363d}\
.sundown-timeline .join{fill:#4d77b0}\
.sundown-timeline .callback{fill:#a5cdff}\
.sundown-timeline .stuck .join{fill:#c93c37}\
.sundown-timeline .stuck .callback{fill:#ff7b72}\
.sundown-timeline .wrong .figures,.sundown-timeline .stuck .figures{fill:#ff8078}\
.sundown-timeline .path{fill:#e3b341}\
.sundown-timeline .rest{fill:#768390}}";

impl ShutdownReport {
    /// The shutdown as a picture: a whole SVG document that needs nothing else, for a file, a page or a ticket. Light or dark as
    /// the reader's system is.
    ///
    /// ```no_run
    /// let report = sundown::shutdown();
    /// std::fs::write("shutdown.svg", report.to_svg())?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn to_svg(&self) -> String {
        let chart = Chart::new(self, ROWS);
        let path = chart.path_lines(122);
        let top = HEAD + path.len().saturating_sub(1) * LINE;
        Picture { chart, path, top }.to_string()
    }
}

struct Picture<'a> {
    chart: Chart<'a>,
    /// The critical path in words.
    path: Vec<String>,
    /// Where the rows begin.
    top: usize,
}

impl Display for Picture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (chart, top) = (&self.chart, self.top);
        let lines = chart.rows.len() + usize::from(chart.rest.is_some());
        let bottom = top + lines * ROW;
        let height = bottom + FOOT;
        writeln!(
            f,
            r#"<svg xmlns="http://www.w3.org/2000/svg" class="sundown-timeline" role="img" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}">"#
        )?;
        let heading = chart.heading();
        writeln!(f, "<title>{}</title>", Text(&heading))?;
        writeln!(f, "<desc>{}</desc>", Text(&describe(chart)))?;
        writeln!(f, "<style>{STYLE}</style>")?;
        writeln!(
            f,
            r#"<rect class="ground" width="{WIDTH}" height="{height}"/>"#
        )?;
        let heading = cut(&heading, 96).0;
        text(f, "heading", MARGIN, 30, &heading)?;
        for (n, line) in self.path.iter().enumerate() {
            text(f, "quiet", MARGIN, 52 + n * LINE, line)?;
        }
        if chart.rows.is_empty() {
            text(f, "quiet", MARGIN, top, "nothing was registered")?;
            return writeln!(f, "</svg>");
        }
        self.axis(f, bottom)?;
        for (n, row) in chart.rows.iter().enumerate() {
            self.row(f, top + n * ROW, row)?;
        }
        if let Some(rest) = &chart.rest {
            self.rest(f, top + chart.rows.len() * ROW, rest)?;
        }
        legend(f, bottom + 26)?;
        writeln!(f, "</svg>")
    }
}

impl Picture<'_> {
    fn x(&self, at: Duration) -> f64 {
        let part = at.as_secs_f64() / self.chart.total.as_secs_f64();
        BARS as f64 + part.clamp(0.0, 1.0) * BARS_WIDTH as f64
    }

    fn axis(&self, f: &mut fmt::Formatter<'_>, bottom: usize) -> fmt::Result {
        for at in self.chart.ticks(7) {
            let (x, top) = (self.x(at), self.top - 12);
            writeln!(
                f,
                r#"<line class="grid" x1="{x:.1}" x2="{x:.1}" y1="{top}" y2="{bottom}"/><text class="quiet" x="{x:.1}" y="{}" text-anchor="middle">{}</text>"#,
                top - 4,
                tick_label(at, self.chart.total)
            )?;
        }
        Ok(())
    }

    fn row(&self, f: &mut fmt::Formatter<'_>, y: usize, row: &Row<'_>) -> fmt::Result {
        let entry = row.entry;
        let class = match entry.is_clean() {
            _ if entry.is_straggler() => "stuck",
            false => "wrong",
            true => "fine",
        };
        writeln!(
            f,
            r#"<g class="{class}"><title>{}</title>"#,
            Text(&cut(&tooltip(row), TOOLTIP).0)
        )?;
        let indent = row.depth.min(6) * 2;
        // Inner svg elements clip: a name in a font that is wider than ours does not run into the bars.
        let name = cut(&label(entry), NAME_COLUMNS - indent).0;
        let x = indent * 7;
        writeln!(
            f,
            r#"<svg x="{MARGIN}" y="{y}" width="{NAMES}" height="{ROW}"><text x="{x}" y="15">{}</text></svg>"#,
            Text(&name)
        )?;
        self.bar(f, "join", row.whole, y + 4, 12)?;
        if let Some(callback) = row.callback {
            self.bar(f, "callback", callback, y + 4, 12)?;
        }
        if let Some(critical) = row.critical {
            self.bar(f, "path", critical, y + 18, 3)?;
        }
        text(f, "figures", FIGURES, y + 15, &row.figures())?;
        writeln!(f, "</g>")
    }

    fn rest(&self, f: &mut fmt::Formatter<'_>, y: usize, rest: &Rest) -> fmt::Result {
        writeln!(f, "<g>")?;
        self.bar(f, "rest", rest.span, y + 4, 12)?;
        let text_of = |words: &str| cut(words, NAME_COLUMNS).0;
        text(
            f,
            "quiet",
            MARGIN,
            y + 15,
            &text_of(&format!("and {} more", rest.count)),
        )?;
        let mut wrong = Vec::new();
        for (what, count) in [("STUCK", rest.stuck), ("failed", rest.broken)] {
            if count > 0 {
                wrong.push(format!("{count} {what}"));
            }
        }
        let state = match wrong.is_empty() {
            true => "all fine".to_owned(),
            false => wrong.join(", "),
        };
        text(f, "quiet", FIGURES, y + 15, &state)?;
        writeln!(f, "</g>")
    }

    fn bar(
        &self,
        f: &mut fmt::Formatter<'_>,
        class: &str,
        span: Span,
        y: usize,
        height: usize,
    ) -> fmt::Result {
        let end = (BARS + BARS_WIDTH) as f64;
        let x = self.x(span.from).min(end - SHORTEST);
        let width = (self.x(span.to) - x).max(SHORTEST);
        writeln!(
            f,
            r#"<rect class="{class}" x="{x:.2}" y="{y}" width="{width:.2}" height="{height}"/>"#
        )
    }
}

fn text(f: &mut fmt::Formatter<'_>, class: &str, x: usize, y: usize, text: &str) -> fmt::Result {
    writeln!(
        f,
        r#"<text class="{class}" x="{x}" y="{y}">{}</text>"#,
        Text(text)
    )
}

fn legend(f: &mut fmt::Formatter<'_>, y: usize) -> fmt::Result {
    let items = [
        ("callback", "callback", 12),
        ("join", "until it was gone", 12),
        ("stuck", "still running when its time was up", 12),
        ("path", "critical path", 3),
    ];
    let mut x = BARS;
    for (class, words, height) in items {
        let (class, group) = match class {
            "stuck" => ("join", "stuck"),
            class => (class, "fine"),
        };
        writeln!(
            f,
            r#"<g class="{group}"><rect class="{class}" x="{x}" y="{}" width="12" height="{height}"/></g>"#,
            y - height + 1
        )?;
        text(f, "quiet", x + 18, y, words)?;
        x += 18 + words.len() * 15 / 2 + 18;
    }
    Ok(())
}

/// The picture in words, for who cannot see it.
fn describe(chart: &Chart<'_>) -> String {
    let mut words = String::from(
        "A bar for each entry, from when it was told to stop until it was gone; the dark part is its callback.",
    );
    let stragglers = chart.report.stragglers();
    if !stragglers.is_empty() {
        let names: Vec<String> = stragglers
            .iter()
            .take(NAMED)
            .map(|e| short_name(e))
            .collect();
        words += &format!(
            " Still running when their time was up: {}",
            names.join(", ")
        );
        if stragglers.len() > NAMED {
            words += &format!(", and {} more", stragglers.len() - NAMED);
        }
        words += ".";
    }
    let path = chart.path_in_words().join(", then ");
    if !path.is_empty() {
        words += &format!(" Critical path: {path}.");
    }
    if let Some(rest) = &chart.rest {
        words += &format!(
            " Shown are the {} most telling entries, {}.",
            chart.rows.len(),
            rest.in_words()
        );
    }
    words
}

/// All that the report says of an entry, but for its times, which the row shows.
fn tooltip(row: &Row<'_>) -> String {
    let entry = row.entry;
    let name = cut(&label(entry), 100).0;
    let location = entry.location();
    let mut words = format!("{name} ({} {}", entry.kind(), entry.id());
    // Writing to a String does not fail.
    if let Some(supervisor) = entry.supervisor() {
        let _ = write!(words, " of {}", cut(supervisor, 40).0);
    }
    let _ = write!(
        words,
        ", {}:{}): {}",
        location.file(),
        location.line(),
        state(entry)
    );
    let _ = write!(
        words,
        ", told after {}, took {}",
        Short(entry.told()),
        Short(row.whole.length())
    );
    if let Some(callback) = entry.callback() {
        let _ = write!(words, ", callback {}", Short(callback));
    }
    match (entry.outcome(), entry.callback_fault()) {
        // Of a hook the two are the same.
        (Outcome::Panicked(message), _) => {
            let _ = write!(words, ": {message}");
        }
        (_, Some(CallbackFault::Panicked(message))) => {
            let _ = write!(words, ", its callback panicked: {message}");
        }
        (_, Some(CallbackFault::Hung)) => words += ", its callback did not return",
        (_, None) => {}
    }
    words
}

/// Text as the content of an XML element: no markup, and no character that XML 1.0 forbids.
struct Text<'a>(&'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            '\u{fffe}' | '\u{ffff}' => f.write_char('\u{fffd}'),
            c => f.write_char(printable(c)),
        })
    }
}
