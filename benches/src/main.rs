//! What sundown costs, beside what people would use instead. `benches/run` runs it.
//!
//! Without arguments every row is measured; else those that are named. `--list` says which there are, `--write` puts the table and the
//! plot into `docs/performance.md`, which has markers for it, `--guard` only counts what can be counted and fails if it has grown.

mod guard;
mod measure;
mod page;
mod plot;
mod rows;
mod table;

use std::path::Path;
use std::process::ExitCode;

use table::Table;

/// A row's name and what measures it.
type Row = (&'static str, fn(&mut Table));

const ROWS: [Row; 14] = [
    ("spawn", rows::spawn::timed),
    ("instructions", rows::spawn::counted),
    ("poll", rows::token::polled),
    ("wake", rows::waiters::woken),
    ("shutdown", rows::shutdown::of_workers),
    ("hooks", rows::entries::hooks),
    ("memory", rows::memory::live),
    ("short", rows::memory::short),
    ("signal", rows::signal::to_the_end),
    ("pool", rows::pool::many),
    ("pool-one", rows::pool::one),
    ("pool-memory", rows::pool::memory),
    ("background", rows::background::handed_over),
    ("size", rows::size::of_a_program),
];

fn main() -> ExitCode {
    let (flags, named): (Vec<String>, Vec<String>) = std::env::args()
        .skip(1)
        .partition(|word| word.starts_with("--"));
    let mut write = false;
    for flag in &flags {
        match flag.as_str() {
            "--list" => {
                ROWS.iter().for_each(|(name, _)| println!("{name}"));
                return ExitCode::SUCCESS;
            }
            "--guard" => return ended(guard::check()),
            "--write" => write = true,
            unknown => {
                return ended(Err(format!(
                    "no flag {unknown}: --list, --write or --guard"
                )))
            }
        }
    }
    let known = |word: &String| ROWS.iter().any(|(name, _)| name == word);
    if let Some(unknown) = named.iter().find(|word| !known(word)) {
        return ended(Err(format!("no row {unknown:?}: --list names them")));
    }
    if write && !named.is_empty() {
        return ended(Err("--write is for the whole table: name no rows".into()));
    }
    let mut table = Table::default();
    for (name, measure) in ROWS {
        if named.is_empty() || named.iter().any(|word| word == name) {
            measure(&mut table);
        }
    }
    if !write {
        return ExitCode::SUCCESS;
    }
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let plot = plot::svg(
        "Shutdown of parked workers: time for each, by their number",
        &rows::shutdown::growth(),
    );
    let written = page::write(&docs.join("performance.md"), &table.markdown())
        .and_then(|()| std::fs::write(docs.join("performance.svg"), plot));
    ended(written.map_err(|error| format!("cannot write the docs: {error}")))
}

fn ended(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
