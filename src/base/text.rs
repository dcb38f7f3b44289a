//! Text for people: names that cannot drive a terminal, durations that can be read.

use std::fmt;
use std::time::Duration;

/// The character, or a stand-in for one that could drive a terminal.
pub(crate) fn printable(c: char) -> char {
    // The bidirectional overrides would let a name rewrite the rest of its line.
    let hostile = c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if hostile {
        '\u{fffd}'
    } else {
        c
    }
}

/// Text from outside (names, panic messages) without what could drive a terminal.
pub(crate) struct Printable<'a>(pub(crate) &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        self.0.chars().try_for_each(|c| f.write_char(printable(c)))
    }
}

/// The beginning of a text that may be of any length.
pub(crate) fn beginning(text: &str) -> &str {
    const MOST: usize = 200;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

/// A duration with two or three figures, which is all that one reads.
pub(crate) struct Short(pub(crate) Duration);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX);
        match micros {
            0..=999 => write!(f, "{micros} µs"),
            1_000..=999_999 => write!(f, "{} ms", micros / 1_000),
            // Without a float, since that would bring its formatting into every program.
            _ => {
                let hundredths = micros.saturating_add(5_000) / 10_000;
                write!(f, "{}.{:02} s", hundredths / 100, hundredths % 100)
            }
        }
    }
}
