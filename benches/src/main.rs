//! What sundown costs, beside what people would use instead: `cargo run --release`, in this folder.
//!
//! Without arguments every row is measured; else those that are named. `--list` says which there are.

mod measure;
mod rows;
mod table;

use std::process::ExitCode;

use table::Table;

/// A row's name and what measures it.
type Row = (&'static str, fn(&mut Table));

const ROWS: [Row; 11] = [
    ("spawn", rows::spawn::timed),
    ("instructions", rows::spawn::counted),
    ("poll", rows::token::polled),
    ("wake", rows::waiters::woken),
    ("shutdown", rows::shutdown::of_workers),
    ("hooks", rows::entries::hooks),
    ("memory", rows::memory::live),
    ("short", rows::memory::short),
    ("signal", rows::signal::to_the_end),
    ("size", rows::size::of_a_program),
    ("growth", rows::shutdown::growth_of),
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.iter().any(|word| word == "--list") {
        ROWS.iter().for_each(|(name, _)| println!("{name}"));
        return ExitCode::SUCCESS;
    }
    let known = |word: &String| ROWS.iter().any(|(name, _)| name == word);
    if let Some(unknown) = words.iter().find(|word| !known(word)) {
        eprintln!("no row {unknown:?}: --list names them");
        return ExitCode::from(2);
    }
    let mut table = Table::default();
    for (name, measure) in ROWS {
        if words.is_empty() || words.iter().any(|word| word == name) {
            measure(&mut table);
        }
    }
    println!("\n{}", table.markdown());
    ExitCode::SUCCESS
}
