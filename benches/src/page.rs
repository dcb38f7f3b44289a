//! Puts what a run has produced into a page, between its markers.

use std::fs;
use std::io;
use std::path::Path;

const BEGIN: &str = "<!-- begin: written by benches/run -->\n";
const END: &str = "<!-- end -->";

pub fn write(page: &Path, table: &str) -> io::Result<()> {
    let text = fs::read_to_string(page)?;
    let parts = text
        .split_once(BEGIN)
        .and_then(|(head, rest)| Some((head, rest.split_once(END)?.1)));
    let Some((head, tail)) = parts else {
        let missing = format!(
            "{} has no place for the table: {BEGIN:?} … {END:?}",
            page.display()
        );
        return Err(io::Error::new(io::ErrorKind::InvalidData, missing));
    };
    fs::write(page, format!("{head}{BEGIN}\n{table}\n{END}{tail}"))
}
