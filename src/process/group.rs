//! Who is left in a process group whose leader has ended: Linux says so under `/proc`, other systems nowhere.
//!
//! A look goes through all processes, so those who ask at the same time share it: a shutdown of a thousand children takes a few
//! looks, not a thousand.

#[cfg(not(target_os = "linux"))]
pub(super) use elsewhere::has_others;
#[cfg(target_os = "linux")]
pub(super) use linux::has_others;

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::BTreeSet;
    use std::fs;
    use std::time::Instant;

    use parking_lot::Mutex;

    /// The last look. Held while looking, so that whoever asks meanwhile waits for the answer.
    static LAST: Mutex<Option<Look>> = Mutex::new(None);

    struct Look {
        began: Instant,
        /// The groups in which somebody other than the leader is alive.
        groups: BTreeSet<u32>,
    }

    /// Whether somebody other than its leader is alive in this group.
    pub(in crate::process) fn has_others(group: u32) -> bool {
        let asked = Instant::now();
        let mut last = LAST.lock();
        let look = match last.take() {
            // Began after this was asked: as good as one of its own.
            Some(look) if look.began >= asked => look,
            _ => Look {
                began: Instant::now(),
                groups: groups(),
            },
        };
        let found = look.groups.contains(&group);
        *last = Some(look);
        found
    }

    fn groups() -> BTreeSet<u32> {
        let Ok(processes) = fs::read_dir("/proc") else {
            return BTreeSet::new(); // then nobody gets longer than the leader
        };
        let ids = processes
            .flatten()
            .filter_map(|process| process.file_name().to_str()?.parse().ok());
        ids.filter_map(group_of_follower).collect()
    }

    /// The group of a process that is alive and does not lead it. `/proc/ID/stat` reads "ID (NAME) STATE PARENT GROUP ...", and the
    /// name may hold anything.
    fn group_of_follower(id: u32) -> Option<u32> {
        let stat = fs::read(format!("/proc/{id}/stat")).ok()?; // it may just have ended
        let stat = String::from_utf8_lossy(&stat);
        let (_, rest) = stat.rsplit_once(") ")?;
        let mut fields = rest.split(' ');
        let (state, _parent, group) = (fields.next()?, fields.next()?, fields.next()?);
        let group = group.parse().ok()?;
        (group != id && !matches!(state, "Z" | "X")).then_some(group)
    }
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    /// Not to be known here: nobody gets longer than the leader.
    pub(in crate::process) fn has_others(_group: u32) -> bool {
        false
    }
}
