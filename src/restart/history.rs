//! What follows from the end of a run: a pure decision, from the settings, what went before, and the time that it is given.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher};
use std::time::{Duration, Instant};

use crate::base::restart::{Restart, When};

/// What a worker's runs have been like so far.
pub(super) struct History {
    policy: Restart,
    /// When it was started again, oldest first: no more than the policy's limit, and none from before its window.
    recent: VecDeque<Instant>,
    /// Restarts since the pause was last the shortest one.
    in_a_row: u32,
    chance: Chance,
}

/// What follows from the end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The worker is through.
    Done,
    /// There is another run after this pause.
    Again(Duration),
    /// There should be, but there have been too many.
    GiveUp,
}

/// As a limit, none: then there is no need to remember anything.
const NO_LIMIT: u32 = u32::MAX;

impl History {
    pub(super) fn new(policy: Restart) -> History {
        History::with_chance(policy, Chance::seeded())
    }

    fn with_chance(policy: Restart, chance: Chance) -> History {
        History {
            policy,
            recent: VecDeque::new(),
            in_a_row: 0,
            chance,
        }
    }

    /// A run that began at `began` ended at `now`. A restart that this decides on counts from `now`.
    pub(super) fn judge(&mut self, began: Instant, now: Instant, failed: bool) -> Verdict {
        match self.policy.when {
            When::Never => return Verdict::Done,
            When::OnFailure if !failed => return Verdict::Done,
            When::OnFailure | When::Always => {}
        }
        let within = self.policy.within;
        while let Some(&oldest) = self.recent.front() {
            if now.saturating_duration_since(oldest) < within {
                break;
            }
            self.recent.pop_front();
        }
        if self.policy.limit != NO_LIMIT {
            if self.recent.len() >= self.policy.limit as usize {
                return Verdict::GiveUp;
            }
            self.recent.push_back(now);
        }
        if now.saturating_duration_since(began) >= within {
            self.in_a_row = 0;
        }
        let doubled = 1_u32.checked_shl(self.in_a_row).unwrap_or(u32::MAX);
        let pause = self
            .policy
            .first
            .saturating_mul(doubled)
            .min(self.policy.max);
        self.in_a_row = self.in_a_row.saturating_add(1);
        Verdict::Again(self.chance.between_half_and_whole(pause))
    }
}

/// Numbers that differ from worker to worker, which is all that is asked of them: a xorshift generator.
struct Chance(u64);

impl Chance {
    /// From the keys that std draws at random for its hash maps.
    fn seeded() -> Chance {
        let keys = std::collections::hash_map::RandomState::new();
        Chance(keys.build_hasher().finish() | 1)
    }

    fn between_half_and_whole(&mut self, pause: Duration) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let half = pause / 2;
        // The upper half of the number, as a part of 2^32.
        let part = (self.0 >> 32) as f64 / (1_u64 << 32) as f64;
        half + half.mul_f64(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A worker whose runs end when the test says so, on a clock that the test sets.
    struct Trial {
        history: History,
        start: Instant,
    }

    impl Trial {
        fn new(policy: Restart) -> Trial {
            Trial {
                history: History::with_chance(policy, Chance(88_172_645_463_325_252)),
                start: Instant::now(),
            }
        }

        /// A run from `began` to `ended`, in milliseconds.
        fn run(&mut self, began: u64, ended: u64, failed: bool) -> Verdict {
            let at = |millis| self.start + Duration::from_millis(millis);
            let (began, ended) = (at(began), at(ended));
            self.history.judge(began, ended, failed)
        }

        /// A run that fails at once.
        fn fail(&mut self, at: u64) -> Verdict {
            self.run(at, at, true)
        }
    }

    const AT_ONCE: Verdict = Verdict::Again(Duration::ZERO);

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn no_pause(policy: Restart) -> Restart {
        policy.backoff(Duration::ZERO, Duration::ZERO)
    }

    /// The pause that a verdict asks for.
    fn pause(verdict: Verdict) -> Duration {
        match verdict {
            Verdict::Again(pause) => pause,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_policy_says_which_ends_have_a_restart() {
        for (policy, on_failure, on_success) in [
            (Restart::never(), Verdict::Done, Verdict::Done),
            (Restart::on_failure(), AT_ONCE, Verdict::Done),
            (Restart::always(), AT_ONCE, AT_ONCE),
        ] {
            let policy = no_pause(policy);
            assert_eq!(Trial::new(policy.clone()).run(0, 1, true), on_failure);
            assert_eq!(Trial::new(policy).run(0, 1, false), on_success);
        }
    }

    #[test]
    fn failures_that_are_spread_out_go_on_for_ever_and_a_burst_does_not() {
        let policy = no_pause(Restart::on_failure()).limit(3, ms(1_000));
        let mut trial = Trial::new(policy);
        for n in 0..1_000 {
            assert_eq!(trial.fail(n * 334), AT_ONCE); // at most three in any second
        }
        let burst = 1_000 * 334; // one of the regular ones is still in the window
        assert_eq!(trial.fail(burst + 600), AT_ONCE);
        assert_eq!(trial.fail(burst + 601), AT_ONCE);
        assert_eq!(trial.fail(burst + 602), Verdict::GiveUp);
    }

    #[test]
    fn the_window_slides_and_its_end_is_exact() {
        let policy = no_pause(Restart::on_failure()).limit(2, ms(1_000));
        let mut trial = Trial::new(policy.clone());
        assert_eq!(trial.fail(0), AT_ONCE);
        assert_eq!(trial.fail(900), AT_ONCE);
        assert_eq!(trial.fail(999), Verdict::GiveUp);

        let mut trial = Trial::new(policy);
        assert_eq!(trial.fail(0), AT_ONCE);
        assert_eq!(trial.fail(900), AT_ONCE);
        assert_eq!(trial.fail(1_000), AT_ONCE); // that at 0 is out
        assert_eq!(trial.fail(1_001), Verdict::GiveUp); // two fixed windows would allow it
    }

    #[test]
    fn a_return_that_is_followed_by_a_restart_counts() {
        let mut trial = Trial::new(no_pause(Restart::always()).limit(2, ms(1_000)));
        assert_eq!(trial.run(0, 1, false), AT_ONCE);
        assert_eq!(trial.run(1, 2, false), AT_ONCE);
        assert_eq!(trial.run(2, 3, false), Verdict::GiveUp);
    }

    #[test]
    fn pauses_double_up_to_the_longest_each_between_half_and_whole() {
        let policy = Restart::on_failure().limit(100, ms(1_000));
        let mut trial = Trial::new(policy.backoff(ms(100), ms(1_500)));
        let mut pauses = Vec::new();
        for whole in [100, 200, 400, 800, 1_500, 1_500] {
            let pause = pause(trial.fail(0));
            assert!(
                pause >= ms(whole / 2) && pause <= ms(whole),
                "{pause:?} of {whole} ms"
            );
            pauses.push(pause.as_secs_f64() / ms(whole).as_secs_f64());
        }
        let same = pauses.windows(2).all(|pair| pair[0] == pair[1]);
        assert!(!same, "no jitter: {pauses:?}");
    }

    #[test]
    fn a_run_as_long_as_the_window_starts_again_from_the_first_pause() {
        let policy = Restart::on_failure().limit(100, ms(1_000));
        let mut trial = Trial::new(policy.backoff(ms(100), ms(60_000)));
        for _ in 0..5 {
            trial.fail(0);
        }
        assert!(pause(trial.run(0, 999, true)) > ms(100));
        assert!(pause(trial.run(1_000, 2_000, true)) <= ms(100));
    }

    #[test]
    fn extreme_settings_do_not_overflow() {
        for limit in [u32::MAX, u32::MAX - 1] {
            let policy = Restart::on_failure().limit(limit, Duration::MAX);
            let mut trial = Trial::new(policy.backoff(Duration::MAX, Duration::MAX));
            for at in 0..100 {
                assert!(pause(trial.fail(at)) >= Duration::MAX / 2);
            }
            let remembered = if limit == u32::MAX { 0 } else { 100 };
            assert_eq!(trial.history.recent.len(), remembered);
        }
    }

    #[test]
    fn two_workers_do_not_pause_alike() {
        let policy = Restart::on_failure().backoff(ms(1_000), ms(1_000));
        let pause_of = |_| {
            let now = Instant::now();
            pause(History::new(policy.clone()).judge(now, now, true))
        };
        let pauses: Vec<Duration> = (0..8).map(pause_of).collect();
        assert!(pauses.iter().any(|pause| *pause != pauses[0]), "{pauses:?}");
    }
}
