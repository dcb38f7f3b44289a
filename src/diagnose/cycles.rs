//! Circles among those who wait for one another, from the waits that are noted (`supervisor/waits.rs`) and from whom each shutdown
//! waits for.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;

use crate::base::panics::drop_quietly;
use crate::base::text::Printable;
use crate::supervisor::registry::Core;
use crate::supervisor::waits::{self, Target, Waiter};
use crate::supervisor::WorkerId;

/// Somebody who waits or is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Node {
    Someone(Waiter),
    /// A shutdown, by the address of its supervisor, which the waits keep alive as long as we look.
    Shutdown(usize),
}

/// Who waits for whom at one moment, without the waits that will end.
pub(super) struct Graph {
    edges: BTreeMap<Node, BTreeSet<Node>>,
    /// What the shutdowns are called.
    shutdowns: BTreeMap<usize, String>,
}

/// One wait: who waits, and for whom.
struct Wait {
    from: Node,
    to: BTreeSet<Node>,
    /// The end of one of them is enough; else it takes all.
    any: bool,
}

/// All waits, as they are noted.
#[derive(Default)]
struct Noted {
    waits: Vec<Wait>,
    shutdowns: BTreeMap<usize, String>,
}

impl Noted {
    fn add(&mut self, waiter: Waiter, target: Target) {
        let worker = |id| Node::Someone(Waiter::Worker(id));
        let (to, any) = match target {
            Target::Worker(id) => (BTreeSet::from([worker(id)]), false),
            Target::AnyOf(whom) => {
                // It is a user's.
                let named = catch_unwind(AssertUnwindSafe(&*whom)).unwrap_or_else(|payload| {
                    drop_quietly(payload);
                    Vec::new()
                });
                (named.into_iter().map(worker).collect(), true)
            }
            Target::Shutdown(core) => (BTreeSet::from([self.add_shutdown(&core)]), false),
        };
        let from = Node::Someone(waiter);
        self.waits.push(Wait { from, to, any });
    }

    /// Adds whom this shutdown waits for.
    fn add_shutdown(&mut self, core: &Arc<Core>) -> Node {
        let address = Arc::as_ptr(core) as usize;
        let node = Node::Shutdown(address);
        if self.shutdowns.contains_key(&address) {
            return node;
        }
        let name = match core.name.get() {
            Some(name) => format!("shutdown of {}", Printable(name)),
            None => "shutdown".to_owned(),
        };
        self.shutdowns.insert(address, name);
        let (waiters, children) = core.awaited();
        let mut to: BTreeSet<Node> = waiters.into_iter().map(Node::Someone).collect();
        for child in children {
            to.insert(self.add_shutdown(&child));
        }
        self.waits.push(Wait {
            from: node,
            to,
            any: false,
        });
        node
    }
}

/// Takes out, again and again, who waits for nobody that waits, since that wait ends: what is left waits in circles, or for them.
fn without_those_that_end(waits: Vec<Wait>) -> BTreeMap<Node, BTreeSet<Node>> {
    // How many of each wait's targets have yet to go on until it ends: none, if it is not known who could end it. And how many waits
    // each waiter is in.
    let mut missing: Vec<usize> = Vec::new();
    let mut is_in: BTreeMap<Node, usize> = BTreeMap::new();
    let mut waited_by: BTreeMap<Node, Vec<usize>> = BTreeMap::new();
    for (at, wait) in waits.iter().enumerate() {
        let all = wait.to.len();
        missing.push(if wait.any { all.min(1) } else { all });
        *is_in.entry(wait.from).or_default() += 1;
        for to in &wait.to {
            waited_by.entry(*to).or_default().push(at);
        }
    }
    let mut goes_on: Vec<Node> = waited_by.keys().copied().collect();
    goes_on.retain(|node| !is_in.contains_key(node));
    let mut ended: Vec<usize> = (0..waits.len()).filter(|&at| missing[at] == 0).collect();
    loop {
        while let Some(at) = ended.pop() {
            let waiter = waits[at].from;
            if let Some(count) = is_in.get_mut(&waiter) {
                *count -= 1;
                if *count == 0 {
                    is_in.remove(&waiter);
                    goes_on.push(waiter);
                }
            }
        }
        let Some(node) = goes_on.pop() else { break };
        for &at in waited_by.get(&node).into_iter().flatten() {
            if missing[at] > 0 {
                missing[at] -= 1;
                if missing[at] == 0 {
                    ended.push(at);
                }
            }
        }
    }
    let mut edges: BTreeMap<Node, BTreeSet<Node>> = BTreeMap::new();
    for (at, wait) in waits.iter().enumerate() {
        if missing[at] > 0 {
            let stuck = wait.to.iter().filter(|to| is_in.contains_key(to));
            edges.entry(wait.from).or_default().extend(stuck);
        }
    }
    edges
}

impl Graph {
    /// The waits that are noted just now. Asks whoever noted one, so this is not to be called where it must not hang.
    pub(super) fn now() -> Graph {
        let mut noted = Noted::default();
        for (waiter, target) in waits::all() {
            noted.add(waiter, target);
        }
        Graph {
            edges: without_those_that_end(noted.waits),
            shutdowns: noted.shutdowns,
        }
    }

    /// The shortest circle that `start` is in, as `a → b → a`. `name` knows what workers are called.
    pub(super) fn cycle_of(
        &self,
        start: Waiter,
        name: impl Fn(WorkerId) -> Option<String>,
    ) -> Option<String> {
        let start = Node::Someone(start);
        // Breadth first, so that the first way back is the shortest; each node is seen once.
        let mut came_from: BTreeMap<Node, Node> = BTreeMap::new();
        let mut next = vec![start];
        while !next.is_empty() {
            let mut found = Vec::new();
            for from in next {
                for &to in self.edges.get(&from).into_iter().flatten() {
                    if to == start {
                        return Some(self.words(start, from, &came_from, name));
                    }
                    if let std::collections::btree_map::Entry::Vacant(new) = came_from.entry(to) {
                        new.insert(from);
                        found.push(to);
                    }
                }
            }
            next = found;
        }
        None
    }

    /// The circle that begins and ends with `start` and whose last step is from `last`.
    fn words(
        &self,
        start: Node,
        last: Node,
        came_from: &BTreeMap<Node, Node>,
        name: impl Fn(WorkerId) -> Option<String>,
    ) -> String {
        let called = |id: WorkerId| name(id).unwrap_or_else(|| id.to_string());
        let word = |node: Node| match node {
            Node::Someone(Waiter::Worker(id)) => called(id),
            Node::Someone(Waiter::Callback(id)) => format!("callback of {}", called(id)),
            Node::Shutdown(address) => self.shutdowns.get(&address).cloned().unwrap_or_default(),
        };
        let mut way = vec![word(start)];
        let mut node = last;
        while node != start {
            way.push(word(node));
            node = came_from[&node];
        }
        way.push(word(start));
        way.reverse();
        way.join(" → ")
    }
}
