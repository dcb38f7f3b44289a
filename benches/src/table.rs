//! The table that a run produces.

use crate::measure::Spread;

/// One line: what was done, against what, what is aimed at, and what came out.
pub struct Line {
    pub work: String,
    pub against: String,
    pub aim: String,
    pub figure: String,
}

/// What all rows have produced.
#[derive(Default)]
pub struct Table {
    lines: Vec<Line>,
}

impl Table {
    /// A ratio of our time to a peer's.
    pub fn ratio(&mut self, work: impl Into<String>, against: &str, aim: &str, ratio: Spread) {
        self.figure(work, against, aim, ratio.to_string());
    }

    pub fn figure(
        &mut self,
        work: impl Into<String>,
        against: &str,
        aim: &str,
        figure: impl Into<String>,
    ) {
        let line = Line {
            work: work.into(),
            against: against.into(),
            aim: aim.into(),
            figure: figure.into(),
        };
        println!(
            "{:<52} | {:<44} | {:<10} | {}",
            line.work, line.against, line.aim, line.figure
        );
        self.lines.push(line);
    }

    /// As Markdown.
    pub fn markdown(&self) -> String {
        let mut text = String::from("| work | against | aim | measured |\n|---|---|---|---|\n");
        let mut work = "";
        for line in &self.lines {
            // What is the same as above is not said again.
            let shown = if line.work == work { "" } else { &line.work };
            work = &line.work;
            text.push_str(&format!(
                "| {shown} | {} | {} | {} |\n",
                line.against, line.aim, line.figure
            ));
        }
        text
    }
}
