//! Who is started again with whom, and when it is whose turn: the rules, with no thread and no clock in them.
//!
//! A restart concerns every member from a certain number on. Each that runs is told to end, newest first; when none of them runs any
//! more and the pause is over, they start one by one, oldest first. A failure in the middle of that begins it anew, which ends
//! what it had started.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::supervisor::WorkerId;

/// The restartable workers of one supervisor.
#[derive(Default)]
pub(super) struct Turns {
    members: BTreeMap<WorkerId, Stage>,
    /// The restart that is under way.
    restart: Option<Together>,
}

/// How far a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It runs, and may go on.
    Running,
    /// It was told to end its run, and has until then.
    Ending { limit: Option<Instant> },
    /// Its run has ended, or has not begun: it waits for its turn.
    Waiting,
    /// It runs, started by the restart that is under way.
    Started,
}

/// A restart of several.
struct Together {
    /// Of this member and all newer ones.
    from: WorkerId,
    /// Nobody is started before this; `None` for never.
    until: Option<Instant>,
    /// The member whose failure began it, the last if there were several.
    by: WorkerId,
}

/// What a member that waits for its turn is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It runs.
    Go,
    /// It asks again when something has changed, or then.
    Wait(Option<Instant>),
    /// It began the restart, and that cannot be carried out: this one does not end its run.
    Stuck(WorkerId),
}

impl Turns {
    /// A new member, which waits for its turn.
    pub(super) fn enter(&mut self, id: WorkerId) {
        self.members.insert(id, Stage::Waiting);
    }

    /// A member that is gone.
    pub(super) fn leave(&mut self, id: WorkerId) {
        self.members.remove(&id);
        self.conclude();
    }

    /// A member's run has ended. True if it had been told to.
    pub(super) fn ended(&mut self, id: WorkerId) -> bool {
        let before = self.members.insert(id, Stage::Waiting);
        matches!(before, Some(Stage::Ending { .. }))
    }

    /// The run of `by` has failed: all from `from` on are to be started again. Gives those that are to be told, newest first;
    /// `limit` says by when each must have ended its run.
    pub(super) fn restart(
        &mut self,
        by: WorkerId,
        from: WorkerId,
        until: Option<Instant>,
        limit: impl Fn(WorkerId) -> Option<Instant>,
    ) -> Vec<WorkerId> {
        let (from, until) = match &self.restart {
            Some(before) => (from.min(before.from), later(until, before.until)),
            None => (from, until),
        };
        self.restart = Some(Together { from, until, by });
        let mut tell = Vec::new();
        for (&id, stage) in self.members.range_mut(from..).rev() {
            if matches!(stage, Stage::Running | Stage::Started) {
                *stage = Stage::Ending { limit: limit(id) };
                tell.push(id);
            }
        }
        tell
    }

    /// Whether it is this member's turn. If it is, the member counts as running.
    pub(super) fn turn(&mut self, id: WorkerId, now: Instant) -> Turn {
        let Some(restart) = self.restart.as_ref().filter(|restart| restart.from <= id) else {
            self.members.insert(id, Stage::Running);
            return Turn::Go;
        };
        let mut ending = false;
        let mut next = None; // the soonest limit
        for (&other, stage) in self.members.range(restart.from..) {
            if let Stage::Ending { limit } = *stage {
                ending = true;
                if restart.by != id {
                    continue;
                }
                match limit {
                    Some(limit) if limit <= now => return Turn::Stuck(other),
                    Some(limit) => next = Some(next.map_or(limit, |next| limit.min(next))),
                    None => {}
                }
            }
        }
        if ending {
            return Turn::Wait(next);
        }
        let waiting = |stage: &Stage| *stage == Stage::Waiting;
        let mut members = self.members.range(restart.from..);
        let first = members.find(|(_, stage)| waiting(stage));
        if first.is_some_and(|(&first, _)| first != id) {
            return Turn::Wait(None); // the first one looks at the clock
        }
        if restart.until.map_or(true, |until| until > now) {
            return Turn::Wait(restart.until);
        }
        self.members.insert(id, Stage::Started);
        self.conclude();
        Turn::Go
    }

    /// Whether somebody may be waiting for a turn.
    pub(super) fn is_restarting(&self) -> bool {
        self.restart.is_some()
    }

    /// The restart is through once all whom it concerns have been started.
    fn conclude(&mut self) {
        let Some(restart) = &self.restart else { return };
        let concerned = || self.members.range(restart.from..);
        if concerned().all(|(_, stage)| matches!(stage, Stage::Started | Stage::Running)) {
            self.restart = None;
            for stage in self.members.values_mut() {
                if *stage == Stage::Started {
                    *stage = Stage::Running;
                }
            }
        }
    }
}

/// The later of two, where `None` is never.
fn later(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    Some(one?.max(other?))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;
    use std::time::Duration;

    use super::*;

    fn id(n: u64) -> WorkerId {
        WorkerId(NonZeroU64::new(n).unwrap())
    }

    fn ids(numbers: &[u64]) -> Vec<WorkerId> {
        numbers.iter().copied().map(id).collect()
    }

    /// Members 1 to 4, running, on a clock that the test sets.
    struct Trial {
        turns: Turns,
        now: Instant,
    }

    impl Trial {
        fn new() -> Trial {
            let mut turns = Turns::default();
            let now = Instant::now();
            for n in 1..=4 {
                turns.enter(id(n));
                assert_eq!(turns.turn(id(n), now), Turn::Go);
            }
            Trial { turns, now }
        }

        /// `by` fails, so that all from `from` on are started again after `pause`. Gives who was told.
        fn fail(&mut self, by: u64, from: u64, pause: Duration) -> Vec<WorkerId> {
            self.turns.ended(id(by));
            let until = Some(self.now + pause);
            let limit = Some(self.now + Duration::from_secs(1));
            self.turns.restart(id(by), id(from), until, |_| limit)
        }

        fn end(&mut self, numbers: &[u64]) {
            for &n in numbers {
                assert!(self.turns.ended(id(n)), "{n} was not told");
            }
        }

        fn turn(&mut self, n: u64) -> Turn {
            self.turns.turn(id(n), self.now)
        }

        /// These start, in this order, and at each time nobody but the next may.
        fn start(&mut self, numbers: &[u64]) {
            for (at, &n) in numbers.iter().enumerate() {
                for &other in &numbers[at + 1..] {
                    assert_eq!(self.turn(other), Turn::Wait(None), "{other} before {n}");
                }
                assert_eq!(self.turn(n), Turn::Go, "{n}");
            }
        }
    }

    const NOW: Duration = Duration::ZERO;

    #[test]
    fn all_are_told_newest_first_and_started_oldest_first_when_all_have_ended() {
        let mut trial = Trial::new();
        assert_eq!(trial.fail(2, 1, NOW), ids(&[4, 3, 1]));
        trial.end(&[1, 4]);
        for n in [1, 4] {
            assert_eq!(trial.turn(n), Turn::Wait(None), "3 still runs");
        }
        trial.end(&[3]);
        trial.start(&[1, 2, 3, 4]);
        assert!(!trial.turns.is_restarting());
    }

    #[test]
    fn only_newer_ones_are_concerned_when_so_asked() {
        let mut trial = Trial::new();
        assert_eq!(trial.fail(3, 3, NOW), ids(&[4]));
        trial.end(&[4]);
        trial.start(&[3, 4]);
        assert!(!trial.turns.is_restarting());
    }

    #[test]
    fn nobody_starts_before_the_pause_is_over() {
        let mut trial = Trial::new();
        let pause = Duration::from_secs(5);
        trial.fail(1, 1, pause);
        trial.end(&[2, 3, 4]);
        let until = trial.now + pause;
        assert_eq!(trial.turn(1), Turn::Wait(Some(until)));
        assert_eq!(trial.turn(2), Turn::Wait(None));
        trial.now = until;
        trial.start(&[1, 2, 3, 4]);
    }

    #[test]
    fn a_restart_that_fails_half_way_first_ends_what_it_had_started() {
        let mut trial = Trial::new();
        trial.fail(1, 1, NOW);
        trial.end(&[2, 3, 4]);
        assert_eq!(trial.turn(1), Turn::Go);
        assert_eq!(trial.turn(2), Turn::Go);
        // 2 fails again, before 3 and 4 have been started. With RestForOne that concerns 2 and newer; but 1 was started by the
        // same restart.
        assert_eq!(trial.fail(2, 2, NOW), ids(&[1]));
        assert_eq!(trial.turn(3), Turn::Wait(None));
        trial.end(&[1]);
        trial.start(&[1, 2, 3, 4]);
        assert!(!trial.turns.is_restarting());
    }

    #[test]
    fn two_failures_at_once_make_one_restart_with_the_longer_pause() {
        let mut trial = Trial::new();
        let (short, long) = (Duration::from_secs(1), Duration::from_secs(2));
        assert_eq!(trial.fail(3, 3, long), ids(&[4]));
        assert_eq!(trial.fail(2, 2, short), ids(&[])); // 3 waits, 4 has been told
        trial.end(&[4]);
        let until = trial.now + long;
        assert_eq!(trial.turn(2), Turn::Wait(Some(until)));
        trial.now = until;
        trial.start(&[2, 3, 4]);
    }

    #[test]
    fn who_leaves_holds_nobody_up() {
        let mut trial = Trial::new();
        trial.fail(1, 1, NOW);
        trial.end(&[2, 4]);
        assert_eq!(trial.turn(4), Turn::Wait(None));
        trial.turns.leave(id(3)); // it was told to stop for good
        trial.turns.leave(id(1)); // so was the one that failed
        trial.start(&[2, 4]);
        assert!(!trial.turns.is_restarting());

        trial.fail(2, 1, NOW);
        trial.turns.leave(id(4));
        trial.turns.leave(id(2));
        assert!(!trial.turns.is_restarting());
    }

    #[test]
    fn one_that_does_not_end_is_named_to_the_one_that_failed() {
        let mut trial = Trial::new();
        trial.fail(1, 1, NOW);
        trial.end(&[2, 4]);
        let limit = trial.now + Duration::from_secs(1);
        assert_eq!(trial.turn(1), Turn::Wait(Some(limit)));
        assert_eq!(trial.turn(2), Turn::Wait(None));
        trial.now = limit;
        assert_eq!(trial.turn(2), Turn::Wait(None));
        assert_eq!(trial.turn(1), Turn::Stuck(id(3)));
        trial.turns.leave(id(1));
        assert_eq!(trial.turn(2), Turn::Wait(None), "3 still runs");
        trial.end(&[3]);
        trial.start(&[2, 3, 4]);
    }

    #[test]
    fn a_new_member_starts_after_the_older_ones_that_are_being_restarted() {
        let mut trial = Trial::new();
        trial.fail(2, 1, NOW);
        trial.turns.enter(id(5));
        assert_eq!(trial.turn(5), Turn::Wait(None));
        trial.end(&[1, 3, 4]);
        trial.start(&[1, 2, 3, 4, 5]);
        assert!(!trial.turns.is_restarting());
    }
}
