//! The line on a terminal, drawn over itself.

use super::line::Line;
use crate::base::logging;
use crate::sys;

/// The line as it stands on the terminal.
pub(super) struct Bar;

impl Bar {
    pub(super) fn new() -> Bar {
        Bar
    }

    pub(super) fn draw(&mut self, line: &Line) {
        // One column less: in the last one some terminals wrap.
        let width = sys::stderr_width().map_or(79, |width| width.saturating_sub(1));
        logging::print_over(&line.text(Some(width)));
    }

    pub(super) fn clear(&mut self) {
        logging::print_over("");
    }
}
