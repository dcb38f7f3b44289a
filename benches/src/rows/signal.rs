//! From SIGTERM until the process is gone.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::{program, LEAST};
use crate::measure::{ratios, side};
use crate::table::Table;

pub fn to_the_end(table: &mut Table) {
    // The fewer there are to stop, the more does it count how the system happened to wake a thread.
    for (workers, rounds) in [(1, 400), (100, 100)] {
        let work = format!(
            "signal → process gone, {workers} worker{}",
            if workers == 1 { "" } else { "s" }
        );
        let whose = |name: &'static str| move || leave(name, workers);
        let peers = vec![
            side("`ctrlc`, flag and joins by hand", whose("ctrlc")),
            side("`signal-mod`, joins by hand", whose("signal-mod")),
            side(
                "`tokio-graceful-shutdown`",
                whose("tokio-graceful-shutdown"),
            ),
            side(LEAST, whose("least")),
        ];
        for (peer, ratio) in ratios(rounds, side("sundown", whose("sundown")), peers) {
            let aim = if peer == LEAST { "" } else { "≤ 1" };
            table.ratio(&work, peer, aim, ratio);
        }
    }
}

fn leave(whose: &str, workers: usize) -> Duration {
    let mut child: Child = program("leave")
        .args([whose, &workers.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it was built with this one");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("piped");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    assert_eq!(line, "ready\n");
    // Until the last worker has parked.
    std::thread::sleep(Duration::from_millis(3 + workers as u64 / 20));
    let began = Instant::now();
    let pid = libc::pid_t::try_from(child.id()).expect("a process id");
    // SAFETY: the child has not been reaped, so the number is its own.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGTERM) }, 0);
    child.wait().expect("our own child");
    began.elapsed()
}
