//! How many columns of a terminal a text takes, and cutting it to that.
//!
//! Known are East Asian wide characters and the common marks that take no column. Not known: what a terminal makes of emoji that
//! are joined into one, of flags, of Indic conjuncts, and of characters whose width depends on its settings. A row with those may
//! be a column or two off; nothing else is.

use crate::base::text::printable;

/// How many marks may stand on one character: more are only there to flood the line.
const MARKS: usize = 4;

/// Characters that take no column, as ranges.
const MARK: [(u32, u32); 14] = [
    (0x00ad, 0x00ad),
    (0x0300, 0x036f),
    (0x0483, 0x0489),
    (0x0591, 0x05bd),
    (0x0610, 0x061c),
    (0x064b, 0x065f),
    (0x1ab0, 0x1aff),
    (0x1dc0, 0x1dff),
    (0x200b, 0x200d),
    (0x20d0, 0x20ff),
    (0xfe00, 0xfe0f),
    (0xfe20, 0xfe2f),
    (0xfeff, 0xfeff),
    (0xe0000, 0xe01ef),
];

/// Characters that take two columns, as ranges.
const WIDE: [(u32, u32); 15] = [
    (0x1100, 0x115f),
    (0x231a, 0x231b),
    (0x2e80, 0x303e),
    (0x3041, 0x4dbf),
    (0x4e00, 0xa4cf),
    (0xa960, 0xa97f),
    (0xac00, 0xd7a3),
    (0xf900, 0xfaff),
    (0xfe30, 0xfe6f),
    (0xff00, 0xff60),
    (0xffe0, 0xffe6),
    (0x1f300, 0x1f64f),
    (0x1f680, 0x1f6ff),
    (0x1f900, 0x1faff),
    (0x20000, 0x3fffd),
];

fn width(c: char) -> usize {
    let code = u32::from(c);
    let within = |ranges: &[(u32, u32)]| {
        let range = |&(first, last): &(u32, u32)| first <= code && code <= last;
        ranges.iter().any(range)
    };
    match code {
        0..=0xac => 1,
        _ if within(&MARK) => 0,
        _ if within(&WIDE) => 2,
        _ => 1,
    }
}

/// The text without what could drive a terminal, with an ellipsis where it had to be cut, and how many columns that takes: at
/// most `columns`.
pub(super) fn cut(text: &str, columns: usize) -> (String, usize) {
    let mut kept = String::new();
    let mut used = 0;
    // Where an ellipsis would still fit in.
    let mut place = (0, 0);
    let mut marks = 0;
    for c in text.chars().map(printable) {
        let width = width(c);
        marks = if width == 0 { marks + 1 } else { 0 };
        if marks > MARKS {
            continue;
        }
        if used + width > columns {
            kept.truncate(place.0);
            if columns == 0 {
                return (kept, 0);
            }
            kept.push('…');
            return (kept, place.1 + 1);
        }
        kept.push(c);
        used += width;
        if used < columns {
            place = (kept.len(), used);
        }
    }
    (kept, used)
}

/// The same, filled up with spaces.
pub(super) fn fit(text: &str, columns: usize) -> String {
    let (mut text, used) = cut(text, columns);
    text.extend(std::iter::repeat(' ').take(columns - used));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_fits_is_left_alone() {
        assert_eq!(cut("reader", 6), ("reader".into(), 6));
        assert_eq!(cut("", 6), (String::new(), 0));
        assert_eq!(fit("reader", 8), "reader  ");
    }

    #[test]
    fn one_that_does_not_ends_in_an_ellipsis() {
        assert_eq!(cut("reader", 5), ("read…".into(), 5));
        assert_eq!(cut("reader", 1), ("…".into(), 1));
        assert_eq!(cut("reader", 0), (String::new(), 0));
    }

    #[test]
    fn wide_characters_take_two_columns() {
        assert_eq!(cut("日本語", 6), ("日本語".into(), 6));
        // Half a character cannot be shown.
        assert_eq!(cut("日本語", 5), ("日本…".into(), 5));
        assert_eq!(cut("日本語", 4), ("日…".into(), 3));
        assert_eq!(fit("日本語", 4), "日… ");
    }

    #[test]
    fn marks_take_none_and_cannot_flood() {
        assert_eq!(cut("e\u{301}t", 2), ("e\u{301}t".into(), 2));
        let flood = format!("e{}t", "\u{301}".repeat(10_000));
        let (text, used) = cut(&flood, 2);
        assert_eq!((text.chars().count(), used), (2 + MARKS, 2));
    }

    #[test]
    fn what_could_drive_a_terminal_is_replaced() {
        assert_eq!(cut("a\u{1b}[2Jb\n", 80).0, "a\u{fffd}[2Jb\u{fffd}");
    }
}
