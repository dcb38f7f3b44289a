//! The picture for a terminal: a line for each entry, bars of block characters, as wide as the terminal.

use std::fmt;
use std::io::{stdout, IsTerminal};

use super::chart::{label, tick_label, Chart, Row, Span};
use super::columns::{cut, fit};
use crate::{sys, ShutdownReport};

/// How wide the picture is where nothing says how wide it may be.
const USUAL_WIDTH: usize = 80;
/// Narrower, and there would be no room for bars; wider, and nobody could follow a line.
const WIDTHS: (usize, usize) = (24, 300);
/// How many entries are shown one by one.
const ROWS: usize = 40;
/// The marks before each name.
const MARKS: usize = 3;

/// A shutdown as bars on a terminal. Made by [`ShutdownReport::timeline`]; print it.
///
/// ```text
/// shutdown after a request took 1.10 s: 9 entries, 1 STUCK
///                            0               0.5 s            1 s
///  * requests                ▒▒▒▒▒▒▒▒▒▒▒▒                          finished 342 ms
///  *   stop listening        ██                                    finished 31 ms
///  *   request 3              ▒▒▒▒▒▒▒▒▒▒▒                          finished 310 ms
///      request 2              ▒▒▒▒                                 finished 93 ms
///      request 1              ▒▒                                   finished 40 ms
/// !* plugin                             ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒   STUCK 700 ms
///    leave the load balancer            █████                      finished 120 ms
///    log writer                             ██████                 finished 150 ms
///  * remove the lock file                                      ███ finished 60 ms
/// critical path: stop listening (31 ms), then request 3 (310 ms),
///   then plugin (700 ms), then remove the lock file (60 ms)
/// █ callback  ▒ until it was gone  * critical path  ! went wrong
/// ```
///
/// It is made for standard output: as wide as `COLUMNS` says, else as that terminal is, else 80 columns; with colours if standard
/// output is a terminal, `NO_COLOR` is not set and `TERM` is not `dumb`. [`width`](Timeline::width) and
/// [`color`](Timeline::color) decide otherwise, for standard error or a file.
#[derive(Clone, Debug)]
pub struct Timeline {
    report: ShutdownReport,
    width: usize,
    color: bool,
}

impl ShutdownReport {
    /// The shutdown as bars on a terminal: `println!("{}", report.timeline())`.
    pub fn timeline(&self) -> Timeline {
        Timeline {
            report: self.clone(),
            width: terminal_width().unwrap_or(USUAL_WIDTH),
            color: wants_color(),
        }
    }
}

impl Timeline {
    /// How many columns its lines have at most: 24 to 300, what lies beyond is taken as the nearest of these.
    #[must_use]
    pub fn width(mut self, columns: usize) -> Timeline {
        self.width = columns;
        self
    }

    /// Whether it has colours: stragglers in red, the critical path in yellow.
    #[must_use]
    pub fn color(mut self, color: bool) -> Timeline {
        self.color = color;
        self
    }
}

/// As the user says, else as the terminal does.
fn terminal_width() -> Option<usize> {
    let says = std::env::var("COLUMNS").ok();
    let says = says.and_then(|columns| columns.trim().parse().ok());
    says.filter(|&columns| columns > 0)
        .or_else(sys::terminal_width)
}

fn wants_color() -> bool {
    // https://no-color.org: set, and not empty, whatever it says.
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    stdout().is_terminal() && !no_color && !dumb
}

/// How the columns of a line are shared out.
struct Columns {
    all: usize,
    names: usize,
    bars: usize,
    /// Zero where there is no room for words.
    figures: usize,
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chart = Chart::new(&self.report, ROWS);
        let columns = Columns::of(&chart, self.width.clamp(WIDTHS.0, WIDTHS.1));
        let paint = Paint(self.color);
        f.write_str(&cut(&chart.heading(), columns.all).0)?;
        if chart.rows.is_empty() {
            return Ok(());
        }
        write!(f, "\n{}", axis(&chart, &columns))?;
        for row in &chart.rows {
            write!(f, "\n{}", line(row, &chart, &columns, &paint))?;
        }
        if let Some(rest) = &chart.rest {
            let bar = bar(rest.span, None, &chart, columns.bars);
            let text = format!("   {} {bar}", fit(&rest.in_words(), columns.names));
            write!(f, "\n{}", text.trim_end())?;
            if columns.names < rest.in_words().chars().count() {
                write!(f, "\n   {}", cut(&rest.in_words(), columns.all - MARKS).0)?;
            }
        }
        for line in chart.path_lines(columns.all) {
            write!(f, "\n{}", paint.path(&line))?;
        }
        let legend = "█ callback  ▒ until it was gone  * critical path  ! went wrong";
        write!(f, "\n{}", paint.dim(&cut(legend, columns.all).0))
    }
}

impl Columns {
    fn of(chart: &Chart<'_>, all: usize) -> Columns {
        let longest = |texts: &mut dyn Iterator<Item = String>, most: usize| {
            texts.map(|text| cut(&text, most).1).max().unwrap_or(0)
        };
        let figures = match all {
            0..=49 => 0,
            _ => longest(&mut chart.rows.iter().map(Row::figures), 20),
        };
        let rest = chart.rest.as_ref().map(|rest| rest.in_words());
        let mut names = chart.rows.iter().map(name).chain(rest);
        let names = longest(&mut names, all / 3);
        // A space before the bars, and one before the figures.
        let taken = MARKS + names + 1 + figures + usize::from(figures > 0);
        Columns {
            all,
            names,
            bars: all - taken,
            figures,
        }
    }
}

fn name(row: &Row<'_>) -> String {
    format!("{}{}", "  ".repeat(row.depth.min(4)), label(row.entry))
}

fn line(row: &Row<'_>, chart: &Chart<'_>, columns: &Columns, paint: &Paint) -> String {
    let wrong = !row.entry.is_clean();
    let critical = row.critical.is_some();
    let mark = if wrong { paint.wrong("!") } else { " ".into() };
    let star = if critical {
        paint.path("*")
    } else {
        " ".into()
    };
    let bar = bar(row.whole, row.callback, chart, columns.bars);
    let figures = fit(&row.figures(), columns.figures);
    let name = fit(&name(row), columns.names);
    let text = match row.entry.is_straggler() {
        true => format!("{name} {} {}", paint.wrong(&bar), paint.wrong(&figures)),
        false if wrong => format!("{name} {bar} {}", paint.wrong(&figures)),
        false => format!("{name} {bar} {figures}"),
    };
    format!("{mark}{star} {text}").trim_end().to_owned()
}

/// The cells of a bar, all of them: at least one is filled, so that nothing is too short to be seen.
fn bar(whole: Span, callback: Option<Span>, chart: &Chart<'_>, cells: usize) -> String {
    let cell = |part: f64| (part * cells as f64) as usize;
    let part = |at: std::time::Duration| at.as_secs_f64() / chart.total.as_secs_f64();
    let first = cell(part(whole.from)).min(cells - 1);
    let end = |span: Span| {
        let end = (part(span.to) * cells as f64).ceil() as usize;
        end.clamp(first + 1, cells)
    };
    let dark = callback.map_or(first, end);
    let end = end(whole).max(dark);
    let of = |n: usize| match n {
        _ if n < first || n >= end => ' ',
        _ if n < dark => '█',
        _ => '▒',
    };
    (0..cells).map(of).collect()
}

/// Moments above the cells at which they are, as far as they have room.
fn axis(chart: &Chart<'_>, columns: &Columns) -> String {
    let mut text = " ".repeat(MARKS + columns.names + 1);
    let start = text.len();
    for at in chart.ticks(columns.bars / 9) {
        let label = tick_label(at, chart.total);
        let part = at.as_secs_f64() / chart.total.as_secs_f64();
        let place = start + (part * columns.bars as f64) as usize;
        let used = text.chars().count();
        // One space between two of them; none sticks out.
        let free = used < place || used == start;
        if free && place + label.chars().count() <= start + columns.bars {
            text.extend(std::iter::repeat(' ').take(place - used));
            text += &label;
        }
    }
    text
}

/// Colours, if there are any.
struct Paint(bool);

impl Paint {
    fn with(&self, code: &str, text: &str) -> String {
        match self.0 && !text.trim().is_empty() {
            true => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            false => text.to_owned(),
        }
    }

    fn wrong(&self, text: &str) -> String {
        self.with("31", text)
    }

    fn path(&self, text: &str) -> String {
        self.with("33", text)
    }

    fn dim(&self, text: &str) -> String {
        self.with("2", text)
    }
}
