//! Circles among those who wait for one another, from the waits that are noted (`supervisor/waits.rs`) and from whom each shutdown
//! waits for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

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

/// Who waits for whom at one moment.
pub(super) struct Graph {
    edges: BTreeMap<Node, BTreeSet<Node>>,
    /// What the shutdowns are called.
    shutdowns: BTreeMap<usize, String>,
}

impl Graph {
    /// The waits that are noted just now.
    pub(super) fn now() -> Graph {
        let mut graph = Graph {
            edges: BTreeMap::new(),
            shutdowns: BTreeMap::new(),
        };
        for (waiter, target) in waits::all() {
            let waiter = Node::Someone(waiter);
            match target {
                Target::Worker(worker) => {
                    graph.add(waiter, Node::Someone(Waiter::Worker(worker)));
                }
                Target::Workers(whom) => {
                    for worker in whom() {
                        graph.add(waiter, Node::Someone(Waiter::Worker(worker)));
                    }
                }
                Target::Shutdown(core) => {
                    let shutdown = graph.add_shutdown(&core);
                    graph.add(waiter, shutdown);
                }
            }
        }
        graph
    }

    fn add(&mut self, from: Node, to: Node) {
        self.edges.entry(from).or_default().insert(to);
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
        for waiter in waiters {
            self.add(node, Node::Someone(waiter));
        }
        for child in children {
            let child = self.add_shutdown(&child);
            self.add(node, child);
        }
        node
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
