//! What the kernel says of a thread: its state, and the system call it is in, from `/proc/self/task`.
//!
//! Nothing here stops or disturbs the thread. What cannot be read is said in words; nothing panics.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::descriptor::{Kind, Sockets};
use super::subject::subject;
use super::syscalls;
use crate::base::text::Printable;
use crate::supervisor::{StuckThread, ThreadState};

/// Longer than any file of `/proc/self/task` that is read here.
const FILE_LIMIT: u64 = 4096;

/// What a thread hangs in, for the choice of an advice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blocked {
    Running,
    Disk,
    Stopped,
    /// A lock, a channel, a condition variable, a park.
    Futex,
    /// The same, with a time limit.
    TimedFutex,
    /// The end of another thread.
    Join,
    Sleep,
    Accept,
    Connect,
    Receive(Kind),
    Send(Kind),
    Poll,
    Child,
    FileLock,
    Open,
    SignalWait,
    Pause,
    Fsync,
    /// A program that is being started.
    Exec,
    /// In a system call that we have no word for.
    Other,
    /// The kernel does not tell.
    Unknown,
}

/// Where the registers of a thread in a system call stand: enough to unwind its stack from outside.
#[cfg(all(feature = "stacks", target_os = "linux", target_arch = "x86_64"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) sp: u64,
    pub(super) pc: u64,
}

/// One look at one thread.
pub(super) struct Look {
    pub(super) thread: StuckThread,
    pub(super) blocked: Blocked,
}

/// What is asked about several threads of this process, at one time.
pub(super) struct Kernel {
    proc: PathBuf,
    sockets: Sockets,
}

impl Default for Kernel {
    fn default() -> Kernel {
        Kernel::of("/proc".into())
    }
}

impl Kernel {
    fn of(proc: PathBuf) -> Kernel {
        Kernel {
            sockets: Sockets::of(proc.join("self/net")),
            proc,
        }
    }

    /// Looks at a thread of this process.
    pub(super) fn look(&self, thread: u32) -> Look {
        look_in(&self.proc, &self.sockets, thread)
    }
}

fn look_in(proc: &Path, sockets: &Sockets, thread: u32) -> Look {
    let task = proc.join("self/task").join(thread.to_string());
    let mut seen = StuckThread {
        os_id: thread,
        state: state(&task),
        syscall: None,
        object: None,
        held_by: None,
        unknown: None,
        stack: Vec::new(),
    };
    if seen.state == Some(ThreadState::Stopped) {
        seen.held_by = tracer(proc, &task);
    }
    let call = read(&task.join("syscall"));
    let blocked = match call.as_deref().map(parse) {
        Ok(Some(Syscall::Running)) => match seen.state {
            Some(ThreadState::Stopped) => Blocked::Stopped,
            _ => Blocked::Running,
        },
        Ok(Some(Syscall::None)) => match seen.state {
            Some(ThreadState::Stopped) => Blocked::Stopped,
            _ => Blocked::Disk, // for a page of memory that is in a file
        },
        Ok(Some(Syscall::In(number, arguments))) => {
            let name = syscalls::name(number);
            seen.syscall = Some(match name {
                Some(name) => Cow::Borrowed(name),
                None => Cow::Owned(format!("system call {number}")),
            });
            let (object, blocked) = subject(proc, sockets, name.unwrap_or(""), &arguments);
            seen.object = object;
            match seen.state {
                Some(ThreadState::Stopped) => Blocked::Stopped,
                Some(ThreadState::DiskSleep) if blocked == Blocked::Other => Blocked::Disk,
                _ => blocked,
            }
        }
        Ok(None) => {
            seen.unknown = Some("its system call cannot be understood".to_owned());
            Blocked::Unknown
        }
        Err(error) => {
            seen.unknown = Some(match &seen.state {
                None => format!("the kernel says nothing of it: /proc is not readable ({error})"),
                Some(_) => {
                    let waits = read(&task.join("wchan")).ok();
                    let waits = waits.filter(|place| !place.is_empty() && place != "0");
                    let place =
                        waits.map(|place| format!(", only that it waits in {}", Printable(&place)));
                    let place = place.unwrap_or_default();
                    format!("the kernel does not say which system call it is in ({error}){place}")
                }
            });
            match seen.state {
                Some(ThreadState::Running) => Blocked::Running,
                Some(ThreadState::Stopped) => Blocked::Stopped,
                Some(ThreadState::DiskSleep) => Blocked::Disk,
                _ => Blocked::Unknown,
            }
        }
    };
    Look {
        thread: seen,
        blocked,
    }
}

/// Where a thread is that is blocked in a system call. `None` while it runs.
#[cfg(all(feature = "stacks", target_os = "linux", target_arch = "x86_64"))]
pub(super) fn place(thread: u32) -> Option<Place> {
    let text = read(Path::new(&format!("/proc/self/task/{thread}/syscall"))).ok()?;
    let mut words = text.split_ascii_whitespace().rev();
    let pc = number(words.next()?)?;
    let sp = number(words.next()?)?;
    Some(Place { sp, pc }).filter(|place| place.sp != 0 && place.pc != 0)
}

enum Syscall {
    /// It runs, whether in one or not.
    Running,
    /// It is blocked outside of any.
    None,
    In(syscalls::Number, [u64; 6]),
}

/// `running`; `-1 sp pc`; or `number six arguments sp pc`.
fn parse(text: &str) -> Option<Syscall> {
    let mut words = text.split_ascii_whitespace();
    let first = words.next()?;
    match first {
        "running" => return Some(Syscall::Running),
        "-1" => return Some(Syscall::None),
        _ => {}
    }
    let mut arguments = [0; 6];
    for argument in &mut arguments {
        *argument = number(words.next()?)?;
    }
    Some(Syscall::In(first.parse().ok()?, arguments))
}

fn number(word: &str) -> Option<u64> {
    u64::from_str_radix(word.strip_prefix("0x")?, 16).ok()
}

fn state(task: &Path) -> Option<ThreadState> {
    let stat = read(&task.join("stat")).ok()?;
    // The name in front of it stands in parentheses, and may contain anything.
    let letter = stat.rsplit_once(") ")?.1.chars().next()?;
    Some(match letter {
        'R' => ThreadState::Running,
        'D' => ThreadState::DiskSleep,
        'T' | 't' => ThreadState::Stopped,
        'Z' | 'X' | 'x' => ThreadState::Ended,
        _ => ThreadState::Sleeping,
    })
}

/// Which process holds a thread that is stopped: while others run, nobody but a tracer can do that.
fn tracer(proc: &Path, task: &Path) -> Option<String> {
    let status = read(&task.join("status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("TracerPid:"))?;
    let pid: u32 = line.trim().parse().ok().filter(|&pid| pid != 0)?;
    let name = read(&proc.join(pid.to_string()).join("comm"));
    Some(match name {
        Ok(name) => format!("process {pid} ({})", Printable(&name)),
        Err(_) => format!("process {pid}"),
    })
}

pub(super) fn read(file: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(file)?.take(FILE_LIMIT).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::PathBuf;

    /// A `/proc` of our own making, with one thread.
    struct Fake(PathBuf);

    impl Fake {
        fn new(name: &str, files: &[(&str, &str)]) -> Fake {
            let root = std::env::temp_dir().join(format!("sundown-{name}-{}", std::process::id()));
            let task = root.join("self/task/7");
            fs::create_dir_all(&task).unwrap();
            for (file, text) in files {
                fs::write(task.join(file), text).unwrap();
            }
            Fake(root)
        }

        fn look(&self) -> Look {
            Kernel::of(self.0.clone()).look(7)
        }
    }

    impl Drop for Fake {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn without_proc_it_says_so() {
        let look = Fake::new("none", &[]).look();
        assert_eq!(look.blocked, Blocked::Unknown);
        assert_eq!(look.thread.state, None);
        let words = look.thread.unknown.unwrap();
        assert!(words.contains("/proc is not readable"), "{words}");
    }

    #[test]
    fn without_the_system_call_it_says_what_is_left() {
        let files = [("stat", "7 (a) S 1) S 1 7"), ("wchan", "inet_csk_accept")];
        let look = Fake::new("half", &files).look();
        assert_eq!(look.blocked, Blocked::Unknown);
        assert_eq!(look.thread.state, Some(ThreadState::Sleeping));
        let words = look.thread.unknown.unwrap();
        assert!(words.contains("inet_csk_accept"), "{words}");
    }

    #[test]
    fn a_name_cannot_pose_as_a_state() {
        let files = [("stat", "7 (x) R 1 2) D 1 7"), ("syscall", "-1 0x7f 0x80")];
        let look = Fake::new("name", &files).look();
        assert_eq!(look.thread.state, Some(ThreadState::DiskSleep));
        assert_eq!(look.blocked, Blocked::Disk);
    }

    #[test]
    fn a_page_fault_is_no_running() {
        for (files, blocked) in [
            (
                [("stat", "7 (x) S 1"), ("syscall", "-1 0x7f 0x80")],
                Blocked::Disk,
            ),
            (
                [("stat", "7 (x) R 1"), ("syscall", "running")],
                Blocked::Running,
            ),
        ] {
            assert_eq!(Fake::new("fault", &files).look().blocked, blocked);
        }
    }

    #[test]
    fn nonsense_is_not_believed() {
        for text in [
            "",
            "\n",
            "x",
            "0",
            "0 0x1",
            "9999999999999999999999 0x0",
            "0 1 2 3 4 5 6 7 8",
        ] {
            let files = [("stat", "7 (x) S 1"), ("syscall", text)];
            let look = Fake::new("nonsense", &files).look();
            assert_eq!(look.blocked, Blocked::Unknown, "{text:?}");
            assert!(look.thread.unknown.is_some(), "{text:?}");
        }
    }

    #[test]
    fn a_call_that_is_not_in_the_table_has_its_number() {
        let files = [
            ("stat", "7 (x) S 1"),
            ("syscall", "99999 0x0 0x0 0x0 0x0 0x0 0x0 0x1 0x2"),
        ];
        let look = Fake::new("number", &files).look();
        assert_eq!(look.thread.syscall(), Some("system call 99999"));
        assert_eq!(look.blocked, Blocked::Other);
    }
}
