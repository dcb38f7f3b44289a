//! Whether the graces that were given out fit into the deadline. Looked at once, when `main` of an installed supervisor begins to
//! wait: then everything that the program starts with has been started.

use std::time::Duration;

use log::Level;

use super::kind::EntryKind;
use super::registry::{Core, Entry};
use super::settings::Order;
use crate::base::logging;
use crate::base::text::Short;
use crate::sync::atomic::Ordering;

impl Core {
    /// `main` has shown that it can be told, so a shutdown gives it until the deadline to leave.
    pub(crate) fn main_can_hear(&self) {
        // Relaxed: `take_untold` reads it; a shutdown that is under way just now may or may not see it.
        if self.main_hears.swap(true, Ordering::Relaxed) || !logging::listens(Level::Warn) {
            return;
        }
        let (installed, deadline) = {
            let registry = self.registry.lock();
            (registry.main.is_some(), registry.settings.deadline)
        };
        let graces = self.graces();
        if installed && graces > deadline {
            logging::log(
                Level::Warn,
                format_args!(
                    "graces of {} in all, one after the other, do not fit into the deadline of {}: some worker will not have its own",
                    Short(graces),
                    Short(deadline)
                ),
            );
        }
    }

    /// How long a shutdown takes in which every worker uses up its grace. One with no grace of its own counts for nothing: it takes
    /// what is left.
    fn graces(&self) -> Duration {
        let mut children = Vec::new();
        let mut all = Duration::ZERO;
        {
            let registry = self.registry.lock();
            for entry in registry.untold.values() {
                match entry {
                    Entry::Worker(worker) => {
                        let grace = worker.traits.grace.or(registry.settings.grace);
                        // `Duration::MAX` is a way to say: until the deadline.
                        let grace = grace.filter(|grace| *grace < Duration::MAX);
                        let main = worker.traits.kind == EntryKind::Main;
                        let waited = !(main || worker.traits.daemon);
                        let grace = grace.filter(|_| waited).unwrap_or_default();
                        all = match registry.settings.order {
                            Order::AllThenJoin => all.max(grace),
                            Order::OneByOne => all.saturating_add(grace),
                        };
                    }
                    // Each has its whole shutdown before the next is told.
                    Entry::Child(child) => children.extend(child.core.upgrade()),
                    Entry::Hook(_) => {}
                }
            }
        }
        let nested = children.iter().map(|child| child.graces());
        nested.fold(all, Duration::saturating_add)
    }
}
