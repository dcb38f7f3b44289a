//! A shutdown of a great many entries without a thread.

use std::sync::Arc;
use std::time::Duration;

use sundown::Supervisor;
use sundown_benches::least::Hooks;

use super::LEAST;

use crate::measure::{ratios, side, time, Spread};
use crate::table::Table;

pub fn hooks(table: &mut Table) {
    for entries in [1_000, 10_000, 100_000, 1_000_000] {
        let rounds = (2_000_000 / entries).clamp(5, 50);
        let each = (0..rounds).map(|_| shut_down(entries).as_nanos() as f64 / entries as f64);
        let spread = Spread::of(each.collect());
        table.figure(
            format!("shutdown of {entries} hooks, ns an entry"),
            "—",
            "≤ 200",
            spread.to_string(),
        );
    }
    // What the same costs by hand, with nothing but what has to be done for each.
    let pairs = ratios(
        20,
        side("sundown", || shut_down(SOME)),
        vec![side(LEAST, by_hand)],
    );
    for (peer, ratio) in pairs {
        table.ratio(format!("shutdown of {SOME} hooks"), peer, "", ratio);
    }
}

const SOME: usize = 100_000;

fn by_hand() -> Duration {
    let hooks = Arc::new(Hooks::default());
    for _ in 0..SOME {
        hooks.add("hook", || ());
    }
    let mut report = Vec::new();
    let took = time(|| report = hooks.run());
    assert!(report.len() == SOME && report.iter().all(|line| line.took.is_some()));
    took
}

fn shut_down(entries: usize) -> Duration {
    let supervisor = Supervisor::builder()
        .deadline(Duration::from_secs(600))
        .build();
    for _ in 0..entries {
        supervisor.on_shutdown("hook", || ());
    }
    let mut report = None;
    let took = time(|| report = Some(supervisor.shutdown()));
    assert_eq!(report.expect("it ran").entries().len(), entries);
    took
}
