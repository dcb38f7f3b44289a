//! A shell in a pseudo-terminal, as somebody who sits in front of it has one.

use std::ffi::CStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Instant;

use crossbeam_channel::{unbounded, Receiver};

use super::process::signal_process;
use super::PATIENCE;

/// What Ctrl-C and Ctrl-Z send down the line.
pub const CTRL_C: &str = "\x03";
pub const CTRL_Z: &str = "\x1a";

/// A terminal with an interactive shell in it, which has a job control of its own.
pub struct Terminal {
    shell: Child,
    /// The side of whoever sits in front of it; closing it hangs up.
    keys: Option<File>,
    screen: Receiver<Vec<u8>>,
    /// What has been on the screen, and how much of it has been looked at.
    seen: String,
    looked_at: usize,
}

impl Terminal {
    /// Starts the shell, in which `$program` is the program under test.
    pub fn open(program: &Path) -> Terminal {
        let (keys, line) = pair();
        let mut shell = Command::new("bash");
        shell
            .args(["--norc", "--noprofile", "--noediting", "-i"])
            .env("PS1", "> ")
            .env("program", program)
            .env("RUST_BACKTRACE", "0")
            .env_remove("PROMPT_COMMAND")
            .stdin(line.try_clone().unwrap())
            .stdout(line.try_clone().unwrap())
            .stderr(line);
        // SAFETY: setsid, ioctl and signal are async-signal-safe; descriptor 0 is the terminal's line.
        unsafe {
            shell.pre_exec(|| {
                // Whatever the tests were started with.
                for signal in 1..=31 {
                    libc::signal(signal, libc::SIG_DFL);
                }
                match libc::setsid() >= 0 && libc::ioctl(0, libc::TIOCSCTTY as _, 0) == 0 {
                    true => Ok(()),
                    false => Err(std::io::Error::last_os_error()),
                }
            });
        }
        let child = shell.spawn().expect("these tests need bash");
        drop(shell); // and with it our copies of the line
        let mut output = keys.try_clone().unwrap();
        let (chunk, screen) = unbounded();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // An error is the hang-up: nobody holds the line any more.
            while let Ok(length @ 1..) = output.read(&mut buffer) {
                if chunk.send(buffer[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        let mut terminal = Terminal {
            shell: child,
            keys: Some(keys),
            screen,
            seen: String::new(),
            looked_at: 0,
        };
        // What is typed is not to be taken for what is answered.
        terminal.run("stty -echo; echo rea''dy");
        terminal.await_text("ready");
        terminal
    }

    pub fn press(&mut self, keys: &str) {
        self.keys
            .as_ref()
            .unwrap()
            .write_all(keys.as_bytes())
            .unwrap();
    }

    /// Types a command, and Enter.
    pub fn run(&mut self, command: &str) {
        self.press(&format!("{command}\n"));
    }

    /// Waits until this appears on the screen, after what was awaited before, and gives the rest of its line.
    pub fn await_text(&mut self, text: &str) -> String {
        let limit = Instant::now() + PATIENCE;
        loop {
            let rest = &self.seen[self.looked_at..];
            if let Some(at) = rest.find(text) {
                let after = &rest[at + text.len()..];
                if let Some(end) = after.find('\n') {
                    let line = after[..end].trim_end().to_owned();
                    self.looked_at += at + text.len();
                    return line;
                }
            }
            match self.screen.recv_deadline(limit) {
                Ok(chunk) => self.seen.push_str(&String::from_utf8_lossy(&chunk)),
                Err(_) => panic!("no {text:?} on the screen:\n{}", self.seen),
            }
        }
    }

    /// The exit status of the last command.
    pub fn status(&mut self) -> i32 {
        self.run("echo \"status=$?\"");
        self.await_text("status=").parse().unwrap()
    }

    /// All that has been on the screen.
    pub fn seen(&self) -> &str {
        &self.seen
    }

    /// The window is closed: the line is hung up. Returns when the shell is gone.
    pub fn close(&mut self) {
        // Everybody's copy of our side must go, and the reader has one: the shell's end makes it let go.
        signal_process(self.shell_pid(), libc::SIGHUP);
        self.keys = None;
        self.shell.wait().unwrap();
    }

    fn shell_pid(&self) -> libc::pid_t {
        libc::pid_t::try_from(self.shell.id()).unwrap()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Errors mean that it has ended already. Its jobs get a SIGHUP from the system when their terminal has no leader.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

/// The two sides of a new pseudo-terminal.
fn pair() -> (File, File) {
    // SAFETY: the descriptor is new and nobody else's; ptsname's text is copied before anybody can call it again (each test
    // binary opens terminals under this lock).
    unsafe {
        static LOCK: std::sync::Mutex<()> = std::sync::Mutex::new(());
        let _one_at_a_time = LOCK.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let keys = libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC);
        assert!(keys >= 0, "{}", std::io::Error::last_os_error());
        let keys = File::from_raw_fd(keys);
        assert_eq!(libc::grantpt(keys.as_raw_fd()), 0);
        assert_eq!(libc::unlockpt(keys.as_raw_fd()), 0);
        let name = CStr::from_ptr(libc::ptsname(keys.as_raw_fd()));
        let mut line = File::options();
        line.read(true).write(true);
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut line, libc::O_NOCTTY);
        let line = line.open(name.to_str().unwrap()).unwrap();
        (keys, line)
    }
}
