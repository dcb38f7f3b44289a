//! Which supervisor each entry of a report belongs to: the report is a flat list, in which a nested supervisor's entries follow
//! it.

use crate::EntryKind;

use super::chart::Span;

/// Which supervisor each entry belongs to.
pub(super) struct Nesting {
    /// By entry.
    places: Vec<Place>,
    /// The first is the supervisor that was shut down.
    levels: Vec<Level>,
}

struct Place {
    /// How many supervisors it is nested in.
    depth: usize,
    /// If it is a supervisor: the level of its entries.
    inside: Option<usize>,
}

/// The entries of one supervisor, in the order of the report.
#[derive(Default)]
pub(super) struct Level {
    pub(super) told: Vec<usize>,
    pub(super) exit_hooks: Vec<usize>,
}

impl Level {
    pub(super) fn entries(&self) -> impl Iterator<Item = usize> + '_ {
        self.told.iter().chain(&self.exit_hooks).copied()
    }
}

/// A supervisor that the next entry may belong to.
struct Open<'a> {
    name: Option<&'a str>,
    whole: Span,
    level: usize,
}

impl Nesting {
    /// Of entries given by name, name of the supervisor, kind, and when they were.
    ///
    /// The report only names the supervisor that an entry belongs to, and names need not differ. So an entry belongs to the
    /// innermost supervisor before it that has the name and was not over.
    pub(super) fn of<'a>(
        entries: impl Iterator<Item = (Option<&'a str>, Option<&'a str>, EntryKind, Span)>,
    ) -> Nesting {
        let mut nesting = Nesting {
            places: Vec::new(),
            levels: vec![Level::default()],
        };
        let mut open: Vec<Open<'_>> = Vec::new();
        for (at, (name, supervisor, kind, whole)) in entries.enumerate() {
            let fits = |holder: &Open<'_>| {
                supervisor.is_some() && supervisor == holder.name && whole.from <= holder.whole.to
            };
            while open.last().is_some_and(|holder| !fits(holder)) {
                open.pop();
            }
            let depth = open.len();
            let level = &mut nesting.levels[open.last().map_or(0, |holder| holder.level)];
            match kind {
                EntryKind::OnExit => level.exit_hooks.push(at),
                _ => level.told.push(at),
            }
            let inside = (kind == EntryKind::Supervisor).then(|| {
                nesting.levels.push(Level::default());
                nesting.levels.len() - 1
            });
            open.extend(inside.map(|level| Open { name, whole, level }));
            nesting.places.push(Place { depth, inside });
        }
        nesting
    }

    /// The level of the supervisor that was shut down.
    pub(super) fn outermost(&self) -> &Level {
        &self.levels[0]
    }

    /// How many supervisors an entry is nested in.
    pub(super) fn depth(&self, at: usize) -> usize {
        self.places[at].depth
    }

    /// The entries of a nested supervisor.
    pub(super) fn inside(&self, at: usize) -> Option<&Level> {
        self.places[at].inside.map(|level| &self.levels[level])
    }
}
