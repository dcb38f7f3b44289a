//! Spawn and join of threads that do nothing.

use std::process::Command;
use std::time::Duration;

use sundown_benches::least;

use super::LEAST;
use crate::measure::{ratios, side, time};
use crate::table::Table;

/// How many threads one side starts in one round.
const THREADS: usize = 400;

pub fn timed(table: &mut Table) {
    for spawners in [1, 8] {
        let each = THREADS / spawners;
        let work = format!(
            "spawn + join, {spawners} spawning thread{}",
            if spawners == 1 { "" } else { "s" }
        );
        let ours = side("sundown", || {
            from(spawners, || {
                for _ in 0..each {
                    sundown::thread::spawn(|| ()).join().unwrap();
                }
            })
        });
        let std = side("`std::thread`", || {
            from(spawners, || {
                for _ in 0..each {
                    std::thread::spawn(|| ()).join().unwrap();
                }
            })
        });
        let crossbeam = side("`crossbeam` scope", || {
            from(spawners, || {
                for _ in 0..each {
                    crossbeam_utils::thread::scope(|s| s.spawn(|_| ()).join().unwrap()).unwrap();
                }
            })
        });
        let least = side(LEAST, || {
            from(spawners, || {
                for _ in 0..each {
                    least::spawn(|| ()).join().unwrap();
                }
            })
        });
        for (peer, ratio) in ratios(150, ours, vec![std, crossbeam, least]) {
            let aim = if peer == "`std::thread`" {
                "≤ 1.03"
            } else {
                ""
            };
            table.ratio(&work, peer, aim, ratio);
        }
    }
}

/// Runs `job` on so many threads of std's at once.
fn from(spawners: usize, job: impl Fn() + Sync) -> Duration {
    if spawners == 1 {
        return time(job);
    }
    time(|| {
        std::thread::scope(|s| {
            for _ in 0..spawners {
                s.spawn(&job);
            }
        })
    })
}

/// Instructions that one spawn + join costs more than std's, in user space; and what the least by hand costs more.
pub fn counted(table: &mut Table) {
    let ours = count_or_why(instructions_added());
    let least = count_or_why(added("least"));
    let work = "instructions added to one spawn + join";
    table.figure(work, "`std::thread`, callgrind", "≤ 600", ours);
    let by_hand = "instructions added by the least by hand that keeps the promises";
    table.figure(by_hand, "`std::thread`, callgrind", "", least);
}

fn count_or_why(count: Result<f64, String>) -> String {
    match count {
        Ok(count) => format!("{count:.0}"),
        Err(error) => format!("not counted: {error}"),
    }
}

/// Those of sundown, beyond std's.
pub fn instructions_added() -> Result<f64, String> {
    added("sundown")
}

fn added(what: &str) -> Result<f64, String> {
    const FEW: usize = 100;
    const MANY: usize = 1100;
    // How often a join finds its thread gone already is up to the scheduler, and adds some: the least of six runs has the least of that.
    let least = |what: &str, threads: usize| {
        let runs = (0..6).map(|_| instructions(what, threads));
        let runs: Result<Vec<f64>, String> = runs.collect();
        runs.map(|counts| counts.into_iter().fold(f64::MAX, f64::min))
    };
    // The difference of two runs takes the program's own start and end out.
    let each = |what: &str| -> Result<f64, String> {
        let (few, many) = (least(what, FEW)?, least(what, MANY)?);
        Ok((many - few) / (MANY - FEW) as f64)
    };
    Ok(each(what)? - each("std")?)
}

fn instructions(what: &str, threads: usize) -> Result<f64, String> {
    let program = super::program("spawn_join");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program.get_program())
        .args([what, &threads.to_string()])
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let count = said
        .lines()
        .find_map(|line| line.split("Collected : ").nth(1));
    count
        .and_then(|count| count.trim().parse().ok())
        .ok_or_else(|| format!("no count in {said}"))
}
