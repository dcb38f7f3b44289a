//! What a descriptor is: the link in `/proc/self/fd`, and for a socket its line in `/proc/self/net`.
//!
//! Everything is read with a limit, and whatever cannot be read or understood is said in fewer words.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use once_cell::unsync::OnceCell;

use crate::base::text::Printable;

/// How much of a table of sockets is read: some fifty thousand of them.
const TABLE_LIMIT: u64 = 8 << 20;

/// What a descriptor is, in words, and for the choice of an advice.
pub(super) struct Descriptor {
    pub(super) kind: Kind,
    pub(super) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Listener,
    Stream,
    Datagram,
    /// A socket that is in no table that we read.
    Socket,
    /// A pipe, a FIFO, a device: what can be polled.
    Pipe,
    Terminal,
    /// An eventfd, a timerfd, an epoll instance, an inotify queue.
    Event,
    File,
}

/// The tables of sockets, read when the first socket is to be described: on a server that is busy they are long.
pub(super) struct Sockets {
    net: PathBuf,
    /// The lines of all tables, with the inode, which is how a descriptor names a socket; and what the table is of.
    lines: OnceCell<Vec<(u64, &'static str, String)>>,
}

/// Describes descriptor `fd` of this process. `None` if it is not open (any more), or `/proc` does not tell.
pub(super) fn describe(proc: &Path, sockets: &Sockets, fd: i32) -> Option<Descriptor> {
    let this = proc.join("self");
    let link = std::fs::read_link(this.join("fd").join(fd.to_string())).ok()?;
    let link = link.to_string_lossy();
    let mut found = if let Some(inode) = link.strip_prefix("socket:[") {
        sockets.describe(inode.trim_end_matches(']'))
    } else if link.starts_with("pipe:[") {
        Descriptor {
            kind: Kind::Pipe,
            text: "pipe".to_owned(),
        }
    } else if let Some(what) = link.strip_prefix("anon_inode:") {
        let what = what.trim_matches(|c| c == '[' || c == ']');
        Descriptor {
            kind: Kind::Event,
            text: Printable(what).to_string(),
        }
    } else {
        Descriptor {
            kind: kind_of_file(&this, fd, &link),
            text: Printable(&link).to_string(),
        }
    };
    if let Some(name) = ["standard input", "standard output", "standard error"].get(fd as usize) {
        found.text = format!("{name} ({})", found.text);
    }
    Some(found)
}

/// What is behind a path: the path does not tell a FIFO from a file.
fn kind_of_file(this: &Path, fd: i32, path: &str) -> Kind {
    if path.starts_with("/dev/pts/") || path.starts_with("/dev/tty") || path == "/dev/console" {
        return Kind::Terminal;
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let file = std::fs::metadata(this.join("fd").join(fd.to_string()));
        let kind = file.map(|file| file.file_type());
        if kind.is_ok_and(|kind| kind.is_fifo() || kind.is_char_device()) {
            return Kind::Pipe;
        }
    }
    #[cfg(not(unix))]
    let _ = (this, fd);
    Kind::File
}

impl Sockets {
    pub(super) fn of(net: PathBuf) -> Sockets {
        Sockets {
            net,
            lines: OnceCell::new(),
        }
    }

    fn describe(&self, inode: &str) -> Descriptor {
        let lines = self.lines.get_or_init(|| self.read());
        let inode = inode.parse::<u64>().ok();
        let found = lines.iter().find(|line| Some(line.0) == inode);
        let found = found.and_then(|(_, protocol, line)| match *protocol {
            "unix" => Some(unix(line)),
            protocol => internet(line, protocol),
        });
        found.unwrap_or(Descriptor {
            kind: Kind::Socket,
            text: "socket".to_owned(),
        })
    }

    fn read(&self) -> Vec<(u64, &'static str, String)> {
        let mut all = Vec::new();
        for (table, protocol, column) in [
            ("tcp", "tcp", 9),
            ("tcp6", "tcp", 9),
            ("udp", "udp", 9),
            ("udp6", "udp", 9),
            ("unix", "unix", 6),
        ] {
            let Ok(file) = File::open(self.net.join(table)) else {
                continue;
            };
            let lines = BufReader::new(file.take(TABLE_LIMIT)).lines();
            for line in lines.map_while(Result::ok) {
                let inode = line.split_ascii_whitespace().nth(column);
                // The first line has titles.
                if let Some(inode) = inode.and_then(|inode| inode.parse().ok()) {
                    all.push((inode, protocol, line));
                }
            }
        }
        all
    }
}

fn internet(line: &str, protocol: &str) -> Option<Descriptor> {
    let mut columns = line.split_ascii_whitespace().skip(1);
    let local = address(columns.next()?)?;
    let peer = address(columns.next()?)?;
    let state = u8::from_str_radix(columns.next()?, 16).ok()?;
    let connected = peer.port() != 0;
    let (kind, text) = match (protocol, state) {
        ("tcp", 0x0a) => (Kind::Listener, format!("tcp {local} listening")),
        ("tcp", state) => {
            let state = match state {
                0x01 => "established",
                0x02 | 0x03 => "connecting",
                0x08 => "closed by its peer",
                0x07 => "not connected",
                _ => "closing",
            };
            (Kind::Stream, format!("tcp {local} to {peer} {state}"))
        }
        _ if connected => (Kind::Datagram, format!("udp {local} to {peer}")),
        _ => (Kind::Datagram, format!("udp {local}")),
    };
    Some(Descriptor { kind, text })
}

/// An address as the kernel prints it: the words of it in hexadecimal, each in the machine's own order.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    if ![8, 32].contains(&ip.len()) {
        return None;
    }
    let mut bytes = Vec::with_capacity(16);
    for word in ip.as_bytes().chunks(8) {
        let word = std::str::from_utf8(word).ok()?;
        bytes.extend(u32::from_str_radix(word, 16).ok()?.to_ne_bytes());
    }
    let ip = match bytes.len() {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        _ => {
            let ip = Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?);
            ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4)
        }
    };
    Some(SocketAddr::new(ip, port))
}

fn unix(line: &str) -> Descriptor {
    let mut columns = line.split_ascii_whitespace();
    let accepts = columns
        .nth(3)
        .and_then(|flags| u32::from_str_radix(flags, 16).ok());
    let listening = accepts.is_some_and(|flags| flags & 0x0001_0000 != 0);
    let datagram = columns.next() == Some("0002");
    let path = columns.nth(2).map(Printable);
    let mut text = "unix socket".to_owned();
    if let Some(path) = path {
        text = format!("unix {path}");
    }
    if listening {
        text.push_str(" listening");
    }
    let kind = match (listening, datagram) {
        (true, _) => Kind::Listener,
        (_, true) => Kind::Datagram,
        _ => Kind::Stream,
    };
    Descriptor { kind, text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_the_kernel_prints_them() {
        let read = |text: &str| address(text).map(|address| address.to_string());
        if cfg!(target_endian = "little") {
            assert_eq!(read("0100007F:1F90").as_deref(), Some("127.0.0.1:8080"));
            let v6 = "B80D0120000000000000000001000000:0016";
            assert_eq!(read(v6).as_deref(), Some("[2001:db8::1]:22"));
            let mapped = "0000000000000000FFFF00000100007F:0016";
            assert_eq!(read(mapped).as_deref(), Some("127.0.0.1:22"));
        }
        for nonsense in [
            "",
            ":",
            "0100007F",
            "0100007F:1F90F",
            "01:02",
            "ü00007F:1",
            "zz00007F:0001",
        ] {
            assert_eq!(read(nonsense), None, "{nonsense}");
        }
    }
}
