//! Sorting for lists that are sorted seldom: one sort, of numbers, for all of them. The standard library's is compiled anew for each
//! type of item, and is several kilobytes each time.

use std::collections::BinaryHeap;

/// What items are sorted by: by the first number, and where that is equal by the second.
pub(crate) type Key = (u64, u64);

/// Sorts by a key, lowest first. What is equal stays in order.
pub(crate) fn sort_by_key<T>(items: &mut [T], key: impl FnMut(&T) -> Key) {
    let keys: Vec<Key> = items.iter().map(key).collect();
    for (one, other) in swaps(&keys) {
        items.swap(one, other);
    }
}

/// Which places to swap, in this order, so that what has these keys is sorted.
fn swaps(keys: &[Key]) -> Vec<(usize, usize)> {
    if keys.windows(2).all(|pair| pair[0] <= pair[1]) {
        return Vec::new();
    }
    // The places make all of them different, so equal keys stay in order however this is sorted.
    let placed: BinaryHeap<(Key, usize)> = keys.iter().copied().zip(0..).collect();
    // From where comes what belongs to a place: circles, each of which is gone through once.
    let mut from: Vec<usize> = Vec::with_capacity(keys.len());
    from.extend(placed.into_sorted_vec().iter().map(|placed| placed.1));
    let mut swaps = Vec::with_capacity(keys.len());
    for first in 0..from.len() {
        let mut place = first;
        loop {
            let next = std::mem::replace(&mut from[place], place);
            if next == first || next == place {
                break;
            }
            swaps.push((place, next));
            place = next;
        }
    }
    swaps
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the standard library's sort, with few and with many that are equal, and with the greatest numbers.
    #[test]
    fn it_is_a_stable_sort() {
        let mut random = 0x9e37_79b9_u64;
        for length in 0..200 {
            for kinds in [1, 3, 50, u64::MAX] {
                let mut items: Vec<(Key, usize)> = Vec::new();
                for place in 0..length {
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    let first = u64::MAX - (random >> 20) % kinds;
                    items.push(((first, (random >> 40) % kinds), place));
                }
                let mut sorted = items.clone();
                sorted.sort_by_key(|item| item.0);
                sort_by_key(&mut items, |item| item.0);
                assert_eq!(items, sorted);
            }
        }
    }

    #[test]
    fn what_cannot_be_copied_is_moved() {
        let mut items = ["b", "a", "c", "a"].map(String::from);
        sort_by_key(&mut items, |item| (u64::from(item.as_bytes()[0]), 0));
        assert_eq!(items, ["a", "a", "b", "c"]);
    }
}
