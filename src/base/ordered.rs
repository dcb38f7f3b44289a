//! What is registered, in the order of registration. Numbers only grow, so a queue with gaps does all that a tree would, and
//! adding to it allocates nothing most of the time: a spawn and its end leave the queue as it was.

use std::collections::VecDeque;

/// A map whose keys are inserted in rising order.
pub(crate) struct Ordered<K, T> {
    /// By rising number; `None` where something was removed. Neither end is such a gap, and there are no more gaps than
    /// `SLACK` and the entries that are there.
    slots: VecDeque<(K, Option<T>)>,
    /// How many entries are there.
    live: usize,
}

/// How many gaps are not worth closing.
const SLACK: usize = 32;

impl<K: Copy + Ord, T> Ordered<K, T> {
    pub(crate) const fn new() -> Ordered<K, T> {
        Ordered {
            slots: VecDeque::new(),
            live: 0,
        }
    }

    /// Adds what has a newer number than all that is there; or an older one, which is `main`'s.
    pub(crate) fn insert(&mut self, id: K, entry: T) {
        let slot = (id, Some(entry));
        match self.slots.front() {
            Some((oldest, _)) if id < *oldest => self.slots.push_front(slot),
            _ => {
                debug_assert!(self.newest() < Some(id), "numbers only grow");
                self.slots.push_back(slot);
            }
        }
        self.live += 1;
    }

    pub(crate) fn remove(&mut self, id: K) -> Option<T> {
        if self.newest() == Some(id) {
            return self.pop_newest().map(|(_, entry)| entry); // as most do that are joined soon
        }
        let entry = self.slot(id)?.take()?;
        self.live -= 1;
        self.close_gaps();
        Some(entry)
    }

    pub(crate) fn get_mut(&mut self, id: K) -> Option<&mut T> {
        self.slot(id)?.as_mut()
    }

    fn slot(&mut self, id: K) -> Option<&mut Option<T>> {
        let at = self.slots.binary_search_by_key(&id, |slot| slot.0).ok()?;
        Some(&mut self.slots[at].1)
    }

    /// Takes the newest out.
    pub(crate) fn pop_newest(&mut self) -> Option<(K, T)> {
        let (id, entry) = self.slots.pop_back()?;
        self.live -= 1;
        self.close_gaps();
        // The last slot is no gap.
        entry.map(|entry| (id, entry))
    }

    /// Takes the oldest out.
    pub(crate) fn pop_oldest(&mut self) -> Option<(K, T)> {
        let (id, entry) = self.slots.pop_front()?;
        self.live -= 1;
        self.close_gaps();
        // The first slot is no gap.
        entry.map(|entry| (id, entry))
    }

    /// The newest number.
    pub(crate) fn newest(&self) -> Option<K> {
        self.slots.back().map(|slot| slot.0)
    }

    /// Oldest first.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|slot| slot.1.as_ref())
    }

    pub(crate) fn len(&self) -> usize {
        self.live
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Restores what is said of `slots`. O(1) for each removal on average: closing all gaps happens only after as many removals
    /// as there are entries to move.
    fn close_gaps(&mut self) {
        while self.slots.back().is_some_and(|slot| slot.1.is_none()) {
            self.slots.pop_back();
        }
        while self.slots.front().is_some_and(|slot| slot.1.is_none()) {
            self.slots.pop_front();
        }
        if self.slots.len() > 2 * self.live + SLACK {
            self.slots.retain(|slot| slot.1.is_some());
        }
        // What a burst has left behind is given back, but not so much that the next entry has to ask again.
        if self.slots.capacity() > 8 * self.slots.len() + 4 * SLACK {
            self.slots.shrink_to(2 * self.slots.len() + SLACK);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Against a tree, through every kind of removal: at both ends, in the middle, of all, of what is not there.
    #[test]
    fn it_is_a_map_by_number() {
        let (mut ordered, mut tree) = (Ordered::new(), BTreeMap::new());
        let mut random = 0x9e37_79b9_u64;
        let mut next = 2;
        for round in 0..20_000_u64 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let pick = random >> 33;
            match pick % 8 {
                // More of one kind for a while, so that it grows and shrinks.
                0..=2 => {
                    ordered.insert(next, next);
                    tree.insert(next, next);
                    next += 1;
                }
                3 if round / 2_000 % 2 == 1 => {
                    assert_eq!(ordered.pop_newest(), tree.pop_last());
                }
                4 if round / 2_000 % 2 == 1 => {
                    assert_eq!(ordered.pop_oldest(), tree.pop_first());
                }
                _ if round / 2_000 % 2 == 0 && pick % 8 < 6 => {
                    ordered.insert(next, next);
                    tree.insert(next, next);
                    next += 1;
                }
                _ => {
                    let which = 1 + pick % next;
                    assert_eq!(ordered.get_mut(which), tree.get_mut(&which));
                    assert_eq!(ordered.remove(which), tree.remove(&which));
                }
            }
            assert_eq!(ordered.len(), tree.len());
            assert_eq!(ordered.newest(), tree.keys().next_back().copied());
            if round % 100 == 0 {
                assert!(ordered.values().eq(tree.values()));
                assert!(ordered.slots.len() <= 2 * ordered.len() + SLACK);
            }
        }
        while let Some(newest) = tree.pop_last() {
            assert_eq!(ordered.pop_newest(), Some(newest));
        }
        assert!(ordered.is_empty() && ordered.slots.capacity() <= 4 * SLACK);
    }

    #[test]
    fn main_is_the_oldest_however_late_it_comes() {
        let mut ordered = Ordered::new();
        ordered.insert(5, 'b');
        ordered.insert(1, 'a');
        ordered.insert(6, 'c');
        assert!(ordered.values().eq(&['a', 'b', 'c']));
        assert_eq!(ordered.remove(1), Some('a'));
    }
}
