//! Sides of a comparison take turns, round after round; what counts is the ratio of two sides within one round.

use std::fmt;
use std::time::{Duration, Instant};

/// One side of a comparison: does its work once, and says how long the part that counts took.
pub struct Side<'a> {
    pub name: &'static str,
    pub once: Box<dyn FnMut() -> Duration + 'a>,
}

pub fn side<'a>(name: &'static str, once: impl FnMut() -> Duration + 'a) -> Side<'a> {
    Side {
        name,
        once: Box::new(once),
    }
}

/// How long `work` takes.
pub fn time(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

/// Median and quartiles.
#[derive(Clone, Copy)]
pub struct Spread {
    pub low: f64,
    pub median: f64,
    pub high: f64,
}

impl Spread {
    pub fn of(mut values: Vec<f64>) -> Spread {
        values.sort_by(f64::total_cmp);
        let at = |part: usize| values[(values.len() - 1) * part / 4];
        Spread {
            low: at(1),
            median: at(2),
            high: at(3),
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figure = |value: f64| match value {
            v if v >= 100.0 => format!("{v:.0}"),
            v if v >= 10.0 => format!("{v:.1}"),
            v => format!("{v:.2}"),
        };
        write!(
            f,
            "{} ({}–{})",
            figure(self.median),
            figure(self.low),
            figure(self.high)
        )
    }
}

/// Ours against each peer: the ratios of our time to theirs, round by round.
pub fn ratios(rounds: usize, ours: Side<'_>, peers: Vec<Side<'_>>) -> Vec<(&'static str, Spread)> {
    let mut sides: Vec<Side<'_>> = std::iter::once(ours).chain(peers).collect();
    let mut taken = vec![Vec::with_capacity(rounds); sides.len()];
    // One round that does not count: first calls pay for pages and lazy symbols.
    for round in 0..=rounds {
        for turn in 0..sides.len() {
            // Each is the first as often as the others.
            let which = (round + turn) % sides.len();
            let took = (sides[which].once)().as_secs_f64();
            if round > 0 {
                taken[which].push(took);
            }
        }
    }
    let (ours, peers) = taken.split_first().expect("there is our side");
    let ratio =
        |theirs: &Vec<f64>| Spread::of(ours.iter().zip(theirs).map(|(a, b)| a / b).collect());
    sides[1..]
        .iter()
        .map(|side| side.name)
        .zip(peers.iter().map(ratio))
        .collect()
}

/// Keeps this thread, and those that it starts meanwhile, on one core until it is dropped. Where that cannot be had, as on other systems
/// than Linux, they run as they do.
pub struct OneCore {
    #[cfg(target_os = "linux")]
    before: libc::cpu_set_t,
}

#[cfg(target_os = "linux")]
impl OneCore {
    pub fn take() -> OneCore {
        let size = std::mem::size_of::<libc::cpu_set_t>();
        // SAFETY: a zeroed set is an empty one; both calls get a set of that size, and act on the calling thread.
        unsafe {
            let mut before: libc::cpu_set_t = std::mem::zeroed();
            libc::sched_getaffinity(0, size, &mut before);
            let first =
                (0..libc::CPU_SETSIZE as usize).find(|&core| libc::CPU_ISSET(core, &before));
            let mut one: libc::cpu_set_t = std::mem::zeroed();
            libc::CPU_SET(first.unwrap_or(0), &mut one);
            libc::sched_setaffinity(0, size, &one);
            OneCore { before }
        }
    }
}

#[cfg(target_os = "linux")]
impl Drop for OneCore {
    fn drop(&mut self) {
        let size = std::mem::size_of::<libc::cpu_set_t>();
        // SAFETY: as above.
        unsafe { libc::sched_setaffinity(0, size, &self.before) };
    }
}

#[cfg(not(target_os = "linux"))]
impl OneCore {
    pub fn take() -> OneCore {
        OneCore {}
    }
}
