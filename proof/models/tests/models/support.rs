//! Runs a model, and what models are made of.
//!
//! `MODEL_ITERATIONS` says how many executions each model gets (default 1,000). Half of them choose every next step at random; half
//! by priorities that change at a few random points (PCT), which finds what needs one thread to stand still for long. A failure
//! prints its seed. `MODEL_SEED` runs the one execution of a random seed; `MODEL_PCT_SEED` the few of a seed of PCT.

use std::sync::{Arc, Mutex};

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, MaxSteps, Runner};

pub use sundown::model::Time;

/// How many changes of priority an execution has; most mistakes need one or two.
const CHANGES: usize = 3;
/// How many executions follow from one seed of PCT. The first is never random: it is what the others change.
const PCT_RUN: u64 = 50;

/// Runs `model` under many interleavings.
pub fn check(time: Time, model: fn()) {
    let body = move || {
        sundown::model::begin(time);
        model();
    };
    let pct = |seed| {
        let _said = SaidOnPanic(seed);
        let scheduler = PctScheduler::new_from_seed(seed, CHANGES, PCT_RUN as usize);
        Runner::new(scheduler, config()).run(body);
    };
    if let Some(seed) = setting("MODEL_SEED") {
        Runner::new(RandomScheduler::new_from_seed(seed, 1), config()).run(body);
    } else if let Some(seed) = setting("MODEL_PCT_SEED") {
        pct(seed);
    } else {
        let half = setting("MODEL_ITERATIONS").unwrap_or(1_000) / 2;
        let random = RandomScheduler::new(usize::try_from(half).unwrap());
        Runner::new(random, config()).run(body);
        for _ in 0..half / PCT_RUN {
            pct(rand_seed());
        }
    }
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}")),
    )
}

/// Different each time.
fn rand_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new()
        .build_hasher()
        .finish()
}

struct SaidOnPanic(u64);

impl Drop for SaidOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failing seed of PCT: {} (MODEL_PCT_SEED)", self.0);
        }
    }
}

fn config() -> Config {
    let mut config = Config::new();
    config.stack_size = 1 << 18;
    config.max_steps = MaxSteps::FailAfter(100_000);
    config.silence_warnings = true;
    config
        .ungraceful_shutdown_config
        .immediately_return_on_panic = true;
    config
}

/// What happened, in order. Looking at it is no step of the model.
pub struct Log<T>(Arc<Mutex<Vec<T>>>);

impl<T> Clone for Log<T> {
    fn clone(&self) -> Log<T> {
        Log(Arc::clone(&self.0))
    }
}

impl<T: Clone> Log<T> {
    pub fn new() -> Log<T> {
        Log(Arc::default())
    }

    pub fn add(&self, what: T) {
        self.0.lock().unwrap().push(what);
    }

    pub fn all(&self) -> Vec<T> {
        self.0.lock().unwrap().clone()
    }
}
