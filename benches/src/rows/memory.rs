//! Memory: for each worker that lives, and over a million that have lived. Measured in processes of their own.

use super::program;
use crate::table::Table;

/// A live worker's bytes beyond those of a std thread: what is handed out by the allocator.
pub fn live(table: &mut Table) {
    let figure = bytes_of_a_worker();
    table.figure(
        "memory of a live worker beyond std's, bytes",
        "`std::thread`",
        "≤ 400",
        format!("{figure:.0}"),
    );
}

pub fn bytes_of_a_worker() -> f64 {
    bytes("live", "sundown") - bytes("live", "std")
}

/// By how much resident memory grows over a million short workers.
pub fn short(table: &mut Table) {
    let (ours, std) = (
        bytes("short", "sundown") / 1024.0,
        bytes("short", "std") / 1024.0,
    );
    let figure = format!("{ours:+.0} KiB (std: {std:+.0} KiB)");
    table.figure(
        "resident memory over a million short workers",
        "`std::thread`",
        "flat",
        figure,
    );
}

/// What the program that measures memory says.
pub fn bytes(what: &str, whose: &str) -> f64 {
    let output = program("memory")
        .args([what, whose])
        .output()
        .expect("it was built with this one");
    let said = String::from_utf8_lossy(&output.stdout);
    said.trim().parse().unwrap_or_else(|_| panic!("{output:?}"))
}
