//! Circles among those who wait for one another, from the waits that are noted (`supervisor/waits.rs`) and from whom each shutdown
//! waits for.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;

use crate::base::panics::drop_quietly;
use crate::base::sort::sort_by_key;
use crate::base::text::Printable;
use crate::supervisor::registry::Core;
use crate::supervisor::waits::{self, Target, Waiter};
use crate::supervisor::WorkerId;

/// Somebody who waits or is waited for.
#[derive(Clone, Copy, PartialEq)]
enum Node {
    Someone(Waiter),
    /// A shutdown, by the address of its supervisor, which the waits keep alive as long as we look.
    Shutdown(usize),
}

impl Node {
    /// In the order of the nodes.
    fn key(self) -> (u64, u64) {
        match self {
            Node::Someone(Waiter::Worker(id)) => (0, id.get()),
            Node::Someone(Waiter::Callback(id)) => (1, id.get()),
            Node::Shutdown(address) => (2, address as u64),
        }
    }
}

/// Who waits for whom at one moment, without the waits that will end. A node is known by its place in `nodes`.
pub(super) struct Graph {
    /// All who wait or are waited for, in their order.
    nodes: Vec<Node>,
    /// For each node those that it waits for, in their order.
    edges: Vec<Vec<usize>>,
    shutdowns: Vec<(usize, String)>,
}

/// One wait: who waits, and for whom.
struct Wait {
    from: Node,
    to: Vec<Node>,
    /// The end of one of them is enough; else it takes all.
    any: bool,
}

/// All waits, as they are noted.
#[derive(Default)]
struct Noted {
    waits: Vec<Wait>,
    /// The shutdowns that were met, and what they are called.
    shutdowns: Vec<(usize, String)>,
}

impl Noted {
    fn add(&mut self, waiter: Waiter, target: Target) {
        let worker = |id| Node::Someone(Waiter::Worker(id));
        let (to, any) = match target {
            Target::Worker(id) => (vec![worker(id)], false),
            Target::AnyOf(whom) => {
                // It is a user's.
                let named = catch_unwind(AssertUnwindSafe(&*whom)).unwrap_or_else(|payload| {
                    drop_quietly(payload);
                    Vec::new()
                });
                (named.into_iter().map(worker).collect(), true)
            }
            Target::Shutdown(core) => (vec![self.add_shutdown(&core)], false),
        };
        let from = Node::Someone(waiter);
        self.waits.push(Wait { from, to, any });
    }

    /// Adds whom this shutdown waits for.
    fn add_shutdown(&mut self, core: &Arc<Core>) -> Node {
        let address = Arc::as_ptr(core) as usize;
        let node = Node::Shutdown(address);
        if self.shutdowns.iter().any(|known| known.0 == address) {
            return node;
        }
        let name = match core.name.get() {
            Some(name) => format!("shutdown of {}", Printable(name)),
            None => "shutdown".to_owned(),
        };
        self.shutdowns.push((address, name));
        let (waiters, children) = core.awaited();
        let mut to: Vec<Node> = waiters.into_iter().map(Node::Someone).collect();
        for child in children {
            to.push(self.add_shutdown(&child));
        }
        self.waits.push(Wait {
            from: node,
            to,
            any: false,
        });
        node
    }
}

/// The place of `node` among all of them, which are in order.
fn place_of(nodes: &[Node], node: Node) -> Option<usize> {
    let found = nodes.binary_search_by_key(&node.key(), |node| node.key());
    found.ok()
}

/// All who wait or are waited for, in their order.
fn nodes_of(waits: &[Wait]) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    for wait in waits {
        nodes.push(wait.from);
        nodes.extend(&wait.to);
    }
    sort_by_key(&mut nodes, |node| node.key());
    nodes.dedup();
    nodes
}

/// Takes out, again and again, who waits for nobody that waits, since that wait ends: what is left waits in circles, or for them. For
/// each node those for which it waits then.
fn without_those_that_end(waits: &[Wait], nodes: &[Node]) -> Vec<Vec<usize>> {
    // How many of each wait's targets have yet to go on until it ends: none, if it is not known who could end it. And how many waits
    // each node is in, and which wait for it.
    let mut missing: Vec<usize> = Vec::new();
    let mut from: Vec<usize> = Vec::new();
    let mut is_in: Vec<usize> = vec![0; nodes.len()];
    let mut waited_by: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    for (at, wait) in waits.iter().enumerate() {
        let all = wait.to.len();
        missing.push(if wait.any { all.min(1) } else { all });
        let place = |node| place_of(nodes, node).expect("all nodes have a place");
        let waiter = place(wait.from);
        from.push(waiter);
        is_in[waiter] += 1;
        for &to in &wait.to {
            waited_by[place(to)].push(at);
        }
    }
    let mut goes_on: Vec<usize> = (0..nodes.len()).filter(|&node| is_in[node] == 0).collect();
    let mut ended: Vec<usize> = (0..waits.len()).filter(|&at| missing[at] == 0).collect();
    loop {
        while let Some(at) = ended.pop() {
            let waiter = from[at];
            is_in[waiter] -= 1;
            if is_in[waiter] == 0 {
                goes_on.push(waiter);
            }
        }
        let Some(node) = goes_on.pop() else { break };
        for &at in &waited_by[node] {
            if missing[at] > 0 {
                missing[at] -= 1;
                if missing[at] == 0 {
                    ended.push(at);
                }
            }
        }
    }
    let mut edges: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    for to in (0..nodes.len()).filter(|&node| is_in[node] > 0) {
        for &at in waited_by[to].iter().filter(|&&at| missing[at] > 0) {
            let edges = &mut edges[from[at]];
            // Somebody may wait for the same in several ways.
            if edges.last() != Some(&to) {
                edges.push(to);
            }
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
        let nodes = nodes_of(&noted.waits);
        Graph {
            edges: without_those_that_end(&noted.waits, &nodes),
            nodes,
            shutdowns: noted.shutdowns,
        }
    }

    /// The shortest circle that `start` is in, as `a → b → a`. `name` knows what workers are called.
    pub(super) fn cycle_of(
        &self,
        start: Waiter,
        name: impl Fn(WorkerId) -> Option<String>,
    ) -> Option<String> {
        let start = place_of(&self.nodes, Node::Someone(start))?;
        // Breadth first, so that the first way back is the shortest; each node is seen once.
        let mut came_from: Vec<Option<usize>> = vec![None; self.nodes.len()];
        let mut next = vec![start];
        while !next.is_empty() {
            let mut found = Vec::new();
            for from in next {
                for &to in &self.edges[from] {
                    if to == start {
                        return Some(self.words(start, from, &came_from, name));
                    }
                    if came_from[to].is_none() {
                        came_from[to] = Some(from);
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
        start: usize,
        last: usize,
        came_from: &[Option<usize>],
        name: impl Fn(WorkerId) -> Option<String>,
    ) -> String {
        let called = |id: WorkerId| name(id).unwrap_or_else(|| id.to_string());
        let word = |node: usize| match self.nodes[node] {
            Node::Someone(Waiter::Worker(id)) => called(id),
            Node::Someone(Waiter::Callback(id)) => format!("callback of {}", called(id)),
            Node::Shutdown(address) => {
                let mut known = self.shutdowns.iter();
                let name = known.find_map(|known| (known.0 == address).then(|| known.1.clone()));
                name.unwrap_or_default()
            }
        };
        let mut way = vec![word(start)];
        let back = std::iter::successors(Some(last), |&node| came_from[node]);
        way.extend(back.take_while(|&node| node != start).map(word));
        way.push(word(start));
        way.reverse();
        way.join(" → ")
    }
}
