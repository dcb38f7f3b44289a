//! The line on a terminal as a progress bar, drawn by `indicatif`.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::line::Line;
use crate::base::logging;
use crate::sys;

/// The bar as it stands on the terminal.
pub(super) struct Bar {
    bar: ProgressBar,
}

/// The columns that the bar takes, with the spaces around it.
const WIDTH: usize = 16;

impl Bar {
    pub(super) fn new() -> Bar {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {bar:12} {msg}") {
            bar.set_style(style);
        }
        Bar { bar }
    }

    pub(super) fn draw(&mut self, line: &Line) {
        let (ended, of) = line.progress();
        let width = sys::stderr_width().unwrap_or(80);
        logging::line_is_open();
        self.bar.set_length(of as u64);
        self.bar.set_position(ended as u64);
        self.bar
            .set_message(line.text(Some(width.saturating_sub(WIDTH + 1))));
        self.bar.tick();
    }

    pub(super) fn clear(&mut self) {
        self.bar.finish_and_clear();
        logging::print_over("");
    }
}
