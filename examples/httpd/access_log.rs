//! The access log: lines go through a bounded channel to one thread, which writes them to a buffered file.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{bounded, Receiver, RecvTimeoutError, SendError, Sender};

/// How long the writer waits for a next line before it flushes, so that `tail -f` shows what there is.
const IDLE: Duration = Duration::from_secs(1);

/// One request, as it will stand in the log.
pub(crate) struct Line {
    pub(crate) time: SystemTime,
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) status: u16,
    pub(crate) size: u64,
}

/// What goes through the channel.
pub(crate) enum Message {
    Line(Line),
    /// Nothing that matters comes after this.
    End,
}

/// The sending side.
#[derive(Clone)]
pub(crate) struct AccessLog {
    messages: Sender<Message>,
}

impl AccessLog {
    pub(crate) fn new(capacity: usize) -> (AccessLog, Receiver<Message>) {
        let (messages, receiver) = bounded(capacity);
        (AccessLog { messages }, receiver)
    }

    /// Hands a line to the writer; waits if it is behind. An error means that there is no writer any more.
    pub(crate) fn send(&self, line: Line) -> Result<(), SendError<Message>> {
        self.messages.send(Message::Line(line))
    }

    /// Tells the writer that it is over. A message, and not the drop of the last sender: a request thread that calls
    /// `process::exit`, or is stuck with a client, keeps its sender for ever.
    pub(crate) fn end(&self) {
        // An error means that it has ended already.
        let _ = self.messages.send(Message::End);
    }
}

/// The log writer's thread.
///
/// # Panics
///
/// If the file cannot be written: the worker is critical, and the panic's message is what the report says of it.
pub(crate) fn write(file: File, messages: &Receiver<Message>) {
    if let Err(error) = write_lines(BufWriter::new(file), messages) {
        panic!("cannot write the access log: {error}");
    }
}

fn write_lines(mut file: BufWriter<File>, messages: &Receiver<Message>) -> io::Result<()> {
    loop {
        match messages.recv_timeout(IDLE) {
            Ok(Message::Line(line)) => writeln!(file, "{line}")?,
            Err(RecvTimeoutError::Timeout) => file.flush()?,
            Ok(Message::End) | Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    // From request threads that went on after their time was up.
    for message in messages.try_iter() {
        if let Message::Line(line) = message {
            writeln!(file, "{line}")?;
        }
    }
    file.flush()
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Line {
            method,
            url,
            status,
            size,
            ..
        } = self;
        let (method, url) = (Escaped(method), Escaped(url));
        write!(f, "{} {method} {url} {status} {size}", Utc(self.time))
    }
}

/// What a client sent, without what would begin a new line, drive a terminal or look like another field. Method and URL
/// contain no spaces: those separate them in the request.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.bytes() {
            match byte {
                b'\\' => f.write_str("\\\\")?,
                0x21..=0x7e => write!(f, "{}", char::from(byte))?,
                _ => write!(f, "\\x{byte:02x}")?,
            }
        }
        Ok(())
    }
}

/// A time as `2026-01-31T12:00:00.000Z`.
struct Utc(SystemTime);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A clock before 1970 shows 1970.
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
        // Years that begin in March, so that the leap day is the last; eras of 400 years have 146,097 days.
        let days = days + 719_468;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (month, next) = if month < 10 {
            (month + 3, 0)
        } else {
            (month - 9, 1)
        };
        let year = era * 400 + year + next;
        let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        let millis = since.subsec_millis();
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z"
        )
    }
}

/// The file, and the lock file that says whose it is.
pub(crate) struct LogFile {
    pub(crate) file: File,
    pub(crate) lock: PathBuf,
}

impl LogFile {
    /// Opens the log to append to it. On an error nothing is left behind.
    pub(crate) fn create(path: &Path) -> Result<LogFile, String> {
        let cannot = |error: io::Error| format!("cannot write {}: {error}", path.display());
        if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            return Err(format!(
                "cannot write {}: it is not a regular file",
                path.display()
            ));
        }
        let lock = with_suffix(path, ".lock");
        let mut created = take_lock(&lock)?;
        let written = writeln!(created, "{}", process::id());
        let opened = written.and_then(|()| OpenOptions::new().append(true).create(true).open(path));
        match opened {
            Ok(file) => Ok(LogFile { file, lock }),
            Err(error) => {
                // If it cannot be removed either, the error that counts is the first.
                let _ = fs::remove_file(&lock);
                Err(cannot(error))
            }
        }
    }
}

/// Where the lock file goes at the end.
pub(crate) fn last(lock: &Path) -> PathBuf {
    with_suffix(lock, ".last")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn take_lock(lock: &Path) -> Result<File, String> {
    let create = || OpenOptions::new().write(true).create_new(true).open(lock);
    let created = match create() {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let owner = fs::read_to_string(lock).unwrap_or_default();
            let owner = owner.trim();
            if !is_gone(owner) {
                return Err(format!(
                    "{} says that process {owner:?} writes this log; remove it if that is not so",
                    lock.display()
                ));
            }
            // It was cut off: killed, or run without sundown.
            fs::remove_file(lock).and_then(|()| create())
        }
        created => created,
    };
    created.map_err(|error| format!("cannot write {}: {error}", lock.display()))
}

/// Whether the process with this number is certainly gone. Only Linux says so without unsafe code.
fn is_gone(owner: &str) -> bool {
    let Ok(number) = owner.parse::<u32>() else {
        return false;
    };
    // Our own number is left over too: in a container every run may be process 1.
    number == process::id()
        || Path::new("/proc/self").exists() && !Path::new("/proc").join(owner).exists()
}
