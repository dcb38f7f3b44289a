//! The critical path: which entries, one after the other, the length of a shutdown was made of.
//!
//! It is found from the end backwards. Entries of one supervisor are told one after the other, so the time between two of them
//! belongs to the first: its callback, one by one also its end, for a nested supervisor its whole shutdown. The joins overlap, so
//! of those only the one that ended last counts. The `on_exit` hooks run one after the other at the end.

use std::cmp::Reverse;
use std::time::Duration;

use super::chart::Span;
use super::nesting::{Level, Nesting};

/// What takes less than this part of the whole is no part of the path worth marking.
const NEGLIGIBLE: u32 = 200;
/// Ends that are closer together than this part of the whole are the same end: stragglers all end at the deadline.
const TOGETHER: u32 = 100;

/// What the path needs to know of an entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) told: Duration,
    /// When its callback had returned: when it was told, if it has none.
    pub(super) callback_end: Duration,
    /// Until when the joins waited for it.
    pub(super) end: Duration,
    /// Its callback did not return, and was given up at some moment.
    pub(super) hangs: bool,
    pub(super) straggler: bool,
}

/// By entry: when the shutdown waited for nothing but this one.
pub(super) fn critical(steps: &[Step], nesting: &Nesting, total: Duration) -> Vec<Option<Span>> {
    let mut path = Path {
        steps,
        nesting,
        together: total / TOGETHER,
        found: vec![None; steps.len()],
    };
    // What is left to follow: a level, and from which moment backwards.
    let mut next = vec![(nesting.outermost(), total)];
    while let Some((level, until)) = next.pop() {
        path.follow(level, until, &mut next);
    }
    let negligible = total / NEGLIGIBLE;
    let worth = |span: &Span| span.length() > negligible;
    let found = path.found.into_iter();
    found.map(|span| span.filter(worth)).collect()
}

/// The path without supervisors whose own entries are on it, in the order of time.
pub(super) fn leaves(critical: &[Option<Span>], nesting: &Nesting) -> Vec<(usize, Span)> {
    let is_leaf = |at: usize| {
        let inside = nesting.inside(at);
        !inside.is_some_and(|level| level.entries().any(|at| critical[at].is_some()))
    };
    let marked = critical.iter().enumerate();
    let marked = marked.filter_map(|(at, span)| span.map(|span| (at, span)));
    let mut leaves: Vec<(usize, Span)> = marked.filter(|&(at, _)| is_leaf(at)).collect();
    leaves.sort_by_key(|&(at, span)| (span.from, at));
    leaves
}

struct Path<'a> {
    steps: &'a [Step],
    nesting: &'a Nesting,
    together: Duration,
    found: Vec<Option<Span>>,
}

impl<'a> Path<'a> {
    /// Goes back through one supervisor's shutdown; the nested ones that are on the way are left for `next`.
    fn follow(
        &mut self,
        level: &'a Level,
        mut until: Duration,
        next: &mut Vec<(&'a Level, Duration)>,
    ) {
        for &hook in level.exit_hooks.iter().rev() {
            until = self.add(hook, self.holds_up(hook, until), next);
        }
        let Some((last, end)) = self.last_to_end(level, until) else {
            return;
        };
        until = self.add(level.told[last], end, next);
        for &before in level.told[..last].iter().rev() {
            until = self.add(before, self.holds_up(before, until), next);
        }
    }

    /// Books an entry until `to`, and says when it was told: what comes before that on the path ended there.
    fn add(&mut self, at: usize, to: Duration, next: &mut Vec<(&'a Level, Duration)>) -> Duration {
        let from = self.steps[at].told;
        let to = to.max(from);
        self.found[at] = Some(Span { from, to });
        next.extend(self.nesting.inside(at).map(|level| (level, to)));
        from
    }

    /// Which of them the joins ended with, by its place among those that were told, and when that was.
    fn last_to_end(&self, level: &Level, until: Duration) -> Option<(usize, Duration)> {
        let end = |at: usize| self.steps[at].end.min(until);
        let last = level.told.iter().map(|&at| end(at)).max()?;
        let near =
            |moment: Duration, other: Duration| moment.saturating_add(self.together) >= other;
        let oldest = level.told.len() - 1;
        if self.steps[level.told[oldest]].hangs && !near(last, until) {
            return Some((oldest, until)); // nobody came after it, so this is when it was given up
        }
        let candidates = (0..level.told.len()).filter(|&n| near(end(level.told[n]), last));
        let last = candidates.max_by_key(|&n| {
            let step = &self.steps[level.told[n]];
            (step.straggler, Reverse(step.told))
        })?;
        Some((last, end(level.told[last])))
    }

    /// Until when it kept the entry after it, told at `next`, from being told.
    fn holds_up(&self, at: usize, next: Duration) -> Duration {
        let step = &self.steps[at];
        if step.hangs {
            next
        } else if step.end <= next || self.nesting.inside(at).is_some() {
            step.end.min(next)
        } else {
            step.callback_end.min(next)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EntryKind::{self, OnExit, Supervisor, Worker};

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Told, end of the callback, end of it all.
    fn step(told: u64, callback: u64, end: u64) -> Step {
        Step {
            told: ms(told),
            callback_end: ms(callback),
            end: ms(end),
            hangs: false,
            straggler: false,
        }
    }

    /// A name, the name of its supervisor, what it is.
    type Who = (&'static str, Option<&'static str>, EntryKind);

    /// Who is on the path, from when to when, in milliseconds.
    fn path(total: u64, entries: &[(Who, Step)]) -> Vec<(&'static str, u128, u128)> {
        let steps: Vec<Step> = entries.iter().map(|(_, step)| *step).collect();
        let places = entries.iter().map(|((name, supervisor, kind), step)| {
            let whole = Span {
                from: step.told,
                to: step.end,
            };
            (Some(*name), *supervisor, *kind, whole)
        });
        let nesting = Nesting::of(places);
        let critical = critical(&steps, &nesting, ms(total));
        let leaves = leaves(&critical, &nesting).into_iter();
        leaves
            .map(|(at, span)| {
                let name = entries[at].0 .0;
                (name, span.from.as_millis(), span.to.as_millis())
            })
            .collect()
    }

    fn worker(name: &'static str) -> Who {
        (name, None, Worker)
    }

    #[test]
    fn of_workers_that_stop_side_by_side_only_the_last_counts() {
        let entries = [
            (worker("new"), step(0, 0, 300)),
            (worker("slow"), step(0, 0, 900)),
            (worker("old"), step(0, 0, 500)),
        ];
        assert_eq!(path(900, &entries), [("slow", 0, 900)]);
    }

    #[test]
    fn callbacks_before_the_last_count_and_those_after_it_do_not() {
        let entries = [
            (worker("new"), step(0, 200, 210)),
            (worker("last"), step(200, 300, 900)),
            (worker("old"), step(300, 700, 710)),
        ];
        assert_eq!(path(900, &entries), [("new", 0, 200), ("last", 200, 900)]);
    }

    #[test]
    fn one_by_one_all_count() {
        let entries = [
            (worker("new"), step(0, 10, 300)),
            (worker("middle"), step(300, 300, 500)),
            (worker("old"), step(500, 500, 900)),
        ];
        let all = [("new", 0, 300), ("middle", 300, 500), ("old", 500, 900)];
        assert_eq!(path(900, &entries), all);
    }

    #[test]
    fn exit_hooks_come_one_after_the_other_at_the_end() {
        let entries = [
            (worker("reader"), step(0, 0, 300)),
            (("flush", None, OnExit), step(300, 600, 600)),
            (("unlock", None, OnExit), step(600, 900, 900)),
        ];
        let all = [
            ("reader", 0, 300),
            ("flush", 300, 600),
            ("unlock", 600, 900),
        ];
        assert_eq!(path(900, &entries), all);
    }

    #[test]
    fn a_nested_supervisor_counts_by_what_is_in_it() {
        let inside = |name| (name, Some("tier"), Worker);
        let entries = [
            (("tier", None, Supervisor), step(0, 0, 500)),
            (inside("quick"), step(0, 0, 100)),
            (inside("slow"), step(0, 0, 490)),
            (("flush", Some("tier"), OnExit), step(490, 500, 500)),
            (worker("log"), step(500, 500, 900)),
        ];
        let all = [("slow", 0, 490), ("flush", 490, 500), ("log", 500, 900)];
        assert_eq!(path(900, &entries), all);
    }

    #[test]
    fn a_nested_supervisor_counts_until_its_end_and_not_until_the_next_is_told() {
        let entries = [
            (("tier", None, Supervisor), step(0, 0, 400)),
            (worker("log"), step(500, 500, 900)),
        ];
        assert_eq!(path(900, &entries), [("tier", 0, 400), ("log", 500, 900)]);
    }

    #[test]
    fn nested_supervisors_may_have_one_name() {
        let inside = |name| (name, Some("tier"), Worker);
        let entries = [
            (("tier", None, Supervisor), step(0, 0, 400)),
            (inside("a"), step(0, 0, 400)),
            (("tier", None, Supervisor), step(400, 400, 900)),
            (("tier", Some("tier"), Supervisor), step(400, 400, 600)),
            (inside("b"), step(400, 400, 600)),
            // After the inner one was over, so it belongs to the outer one.
            (inside("c"), step(650, 650, 900)),
        ];
        let all = [("a", 0, 400), ("b", 400, 600), ("c", 650, 900)];
        assert_eq!(path(900, &entries), all);
    }

    /// A worker whose callback hangs, and which is gone at `end`.
    fn hangs(told: u64, end: u64) -> Step {
        Step {
            hangs: true,
            straggler: true,
            ..step(told, 2000, end)
        }
    }

    #[test]
    fn a_callback_that_hangs_counts_until_the_next_is_told() {
        let entries = [
            (worker("hangs"), hangs(0, 10)),
            (worker("slow"), step(1000, 1000, 2000)),
        ];
        let all = [("hangs", 0, 1000), ("slow", 1000, 2000)];
        assert_eq!(path(2000, &entries), all);
    }

    #[test]
    fn one_that_hangs_last_counts_until_it_was_given_up() {
        let entries = [
            (worker("quick"), step(0, 0, 100)),
            (worker("hangs"), hangs(0, 10)),
            (("exit", None, OnExit), step(1000, 1500, 1500)),
        ];
        let all = [("hangs", 0, 1000), ("exit", 1000, 1500)];
        assert_eq!(path(1500, &entries), all);
        let entries = [
            (worker("slow"), step(0, 0, 1990)),
            (worker("hangs"), hangs(0, 10)),
        ];
        assert_eq!(path(2000, &entries), [("slow", 0, 1990)]);
    }

    #[test]
    fn a_worker_that_does_not_end_either_is_waited_for() {
        let entries = [
            (worker("hangs"), hangs(0, 2000)),
            (worker("quick"), step(1000, 1000, 1100)),
        ];
        assert_eq!(path(2000, &entries), [("hangs", 0, 2000)]);
    }

    #[test]
    fn of_stragglers_that_end_together_the_first_told_counts() {
        let stuck = |told, end| Step {
            straggler: true,
            ..step(told, told, end)
        };
        let entries = [
            (worker("first"), stuck(1, 998)),
            (worker("second"), stuck(2, 1000)),
            (worker("quick"), step(3, 3, 1000)),
        ];
        assert_eq!(path(1000, &entries), [("first", 1, 998)]);
    }

    #[test]
    fn who_is_not_waited_for_counts_by_its_callback_alone() {
        let entries = [
            (worker("daemon"), step(0, 300, 300)),
            (worker("reader"), step(300, 300, 1000)),
        ];
        assert_eq!(
            path(1000, &entries),
            [("daemon", 0, 300), ("reader", 300, 1000)]
        );
    }

    #[test]
    fn what_takes_next_to_nothing_is_not_marked() {
        let entries = [
            (worker("quick"), step(0, 2, 2)),
            (worker("slow"), step(2, 2, 1000)),
        ];
        assert_eq!(path(1000, &entries), [("slow", 2, 1000)]);
        assert_eq!(path(1000, &[]), []);
    }
}
