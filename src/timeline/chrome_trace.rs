//! The picture for Perfetto and `chrome://tracing`: every entry as a track of its own, in the Trace Event Format.
//!
//! Each track holds the entry, and within it its callback and what came after; the first track is the critical path.

use std::fmt::{self, Display, Write};
use std::time::Duration;

use super::chart::{hangs, label, state, Chart, Row, Span};
use crate::{CallbackFault, Outcome, ShutdownReport};

/// The track of the critical path. No entry has this number.
const PATH_TRACK: u64 = 0;

impl ShutdownReport {
    /// The shutdown as a trace: a JSON document to be opened in [Perfetto](https://ui.perfetto.dev) or `chrome://tracing`.
    ///
    /// ```no_run
    /// let report = sundown::shutdown();
    /// std::fs::write("shutdown.json", report.to_chrome_trace())?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn to_chrome_trace(&self) -> String {
        let chart = Chart::new(self, usize::MAX);
        let mut trace = Trace {
            text: String::from(r#"{"displayTimeUnit":"ms","traceEvents":["#),
            process: std::process::id(),
        };
        trace.label("process_name", PATH_TRACK, "name", Json(&chart.heading()));
        trace.label("thread_name", PATH_TRACK, "name", Json("critical path"));
        trace.label("thread_sort_index", PATH_TRACK, "sort_index", -1);
        for (place, row) in chart.rows.iter().enumerate() {
            trace.row(place, row);
        }
        trace.text += "\n]}\n";
        trace.text
    }
}

struct Trace {
    text: String,
    process: u32,
}

impl Trace {
    fn row(&mut self, place: usize, row: &Row<'_>) {
        let entry = row.entry;
        let track = entry.id().get();
        let name = label(entry);
        self.label("thread_name", track, "name", Json(&name));
        self.label("thread_sort_index", track, "sort_index", place);
        let location = entry.location();
        let site = format!("{}:{}", location.file(), location.line());
        let mut facts = format!(
            r#""kind":{},"state":{},"spawned":{},"told_ms":{:.3},"took_ms":{:.3}"#,
            Json(&entry.kind().to_string()),
            Json(state(entry)),
            Json(&site),
            millis(entry.told()),
            millis(row.whole.length()),
        );
        let mut fact = |name: &str, value: &str| {
            // Writing to a String does not fail.
            let _ = write!(facts, ",{}:{}", Json(name), Json(value));
        };
        if let Some(supervisor) = entry.supervisor() {
            fact("supervisor", supervisor);
        }
        if let Outcome::Panicked(message) = entry.outcome() {
            fact("panic", message);
        }
        match entry.callback_fault() {
            Some(CallbackFault::Panicked(message)) => fact("callback_panic", message),
            Some(CallbackFault::Hung) => fact("callback", "did not return"),
            None => {}
        }
        let category = if entry.is_straggler() {
            "straggler"
        } else {
            "entry"
        };
        self.span(track, category, &name, row.whole, &facts);
        let mut told = row.whole.from;
        if let Some(callback) = row.callback {
            let words = if hangs(entry) {
                "callback that hangs"
            } else {
                "callback"
            };
            self.span(track, "callback", words, callback, "");
            told = callback.to;
        }
        if told < row.whole.to {
            let join = Span {
                from: told,
                to: row.whole.to,
            };
            self.span(track, "join", "until it was gone", join, "");
        }
        if let Some(critical) = row.critical {
            self.span(PATH_TRACK, "critical path", &name, critical, "");
        }
    }

    /// What a track, or the process, is called or where it stands.
    fn label(&mut self, what: &str, track: u64, key: &str, value: impl Display) {
        let process = self.process;
        self.event(format_args!(
            r#""ph":"M","pid":{process},"tid":{track},"name":"{what}","args":{{"{key}":{value}}}"#
        ));
    }

    /// `facts` are members of a JSON object.
    fn span(&mut self, track: u64, category: &str, name: &str, span: Span, facts: &str) {
        let (process, name) = (self.process, Json(name));
        let (from, length) = (micros(span.from), micros(span.length()));
        self.event(format_args!(
            r#""ph":"X","pid":{process},"tid":{track},"cat":"{category}","name":{name},"ts":{from:.3},"dur":{length:.3},"args":{{{facts}}}"#
        ));
    }

    fn event(&mut self, members: fmt::Arguments<'_>) {
        let separator = if self.text.ends_with('[') { "" } else { "," };
        // Writing to a String does not fail.
        let _ = write!(self.text, "{separator}\n{{{members}}}");
    }
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// A JSON string, fit to stand in a page too: no `<`.
struct Json<'a>(&'a str);

impl Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '<' | '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' => {
                    write!(f, "\\u{:04x}", u32::from(c))?
                }
                c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}
