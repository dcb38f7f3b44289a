//! Sockets: shut them down, and leave the closing to their owner. A descriptor is never closed under a thread that uses it.

use std::io;
use std::net::{
    IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket,
};
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use super::Terminate;

/// Shuts both directions down: a blocked read returns 0, a blocked write an error. A stream that is closed already is no error.
///
/// ```
/// use std::io::Read;
/// use std::net::{TcpListener, TcpStream};
/// use sundown::thread;
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let mut stream = TcpStream::connect(listener.local_addr()?)?;
/// let worker = thread::Builder::new()
///     .on_terminate(stream.try_clone()?)
///     .spawn(move || stream.read(&mut [0; 64]))?; // nothing ever comes
/// worker.terminate();
/// assert_eq!(worker.join().unwrap()?, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
impl Terminate for TcpStream {
    fn terminate(self) {
        report(self.shutdown(Shutdown::Both));
    }
}

/// As for `TcpStream`.
///
/// ```
/// use std::io::Read;
/// use std::os::unix::net::UnixStream;
/// use sundown::thread;
///
/// let (mut stream, _other_end) = UnixStream::pair()?;
/// let worker = thread::Builder::new()
///     .on_terminate(stream.try_clone()?)
///     .spawn(move || stream.read(&mut [0; 64]))?;
/// worker.terminate();
/// assert_eq!(worker.join().unwrap()?, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[cfg(unix)]
impl Terminate for UnixStream {
    fn terminate(self) {
        report(self.shutdown(Shutdown::Both));
    }
}

/// Makes a blocked `accept` return: with an error on Linux (and every later one), with a connection from ourselves elsewhere, where
/// shutting a listener down is not reliable. So the loop should end at an error, and ask its token after a connection.
///
/// ```
/// use std::net::TcpListener;
/// use sundown::thread;
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let worker = thread::Builder::new()
///     .on_terminate(listener.try_clone()?)
///     .spawn_with(move |stop| {
///         for stream in listener.incoming() {
///             match stream {
///                 Ok(_stream) if !stop.is_stopped() => { /* serve it */ }
///                 _ => break,
///             }
///         }
///     })?;
/// worker.terminate();
/// worker.join().unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
impl Terminate for TcpListener {
    fn terminate(self) {
        #[cfg(target_os = "linux")]
        report(crate::sys::shut_down_socket(&self));
        #[cfg(not(target_os = "linux"))]
        report(self.local_addr().and_then(wake));
    }
}

/// As for `TcpListener`.
///
/// ```
/// use std::os::unix::net::UnixListener;
/// use sundown::thread;
///
/// let path = std::env::temp_dir().join(format!("sundown-doc-{}.sock", std::process::id()));
/// let listener = UnixListener::bind(&path)?;
/// let worker = thread::Builder::new()
///     .on_terminate(listener.try_clone()?)
///     .spawn_with(move |stop| while listener.accept().is_ok() && !stop.is_stopped() {})?;
/// worker.terminate();
/// worker.join().unwrap();
/// std::fs::remove_file(&path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[cfg(unix)]
impl Terminate for UnixListener {
    fn terminate(self) {
        #[cfg(target_os = "linux")]
        report(crate::sys::shut_down_socket(&self));
        #[cfg(not(target_os = "linux"))]
        report(
            self.local_addr()
                .and_then(|address| match address.as_pathname() {
                    Some(path) => UnixStream::connect(path).map(drop),
                    None => Err(io::Error::new(
                        io::ErrorKind::Unsupported,
                        "a listener with no path",
                    )),
                }),
        );
    }
}

/// Makes a blocked `recv` or `recv_from` return: by shutting the socket down on Linux, by an empty datagram to itself elsewhere. It
/// returns no bytes, or (`recv_from` on Linux, where there is no sender to name) an error. So the loop should ask its token
/// after each.
///
/// ```
/// use std::net::UdpSocket;
/// use sundown::thread;
///
/// let socket = UdpSocket::bind("127.0.0.1:0")?;
/// let worker = thread::Builder::new()
///     .on_terminate(socket.try_clone()?)
///     .spawn(move || socket.recv(&mut [0; 512]))?;
/// worker.terminate();
/// assert_eq!(worker.join().unwrap()?, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
impl Terminate for UdpSocket {
    fn terminate(self) {
        // On a socket that is not connected this says NotConnected, and wakes the readers all the same.
        #[cfg(target_os = "linux")]
        report(crate::sys::shut_down_socket(&self));
        #[cfg(not(target_os = "linux"))]
        report(
            self.local_addr()
                .and_then(|address| self.send_to(&[], reachable(address)).map(drop)),
        );
    }
}

/// Connects to `address` and hangs up: wakes an `accept` on a listener that is out of reach, inside a library for example. An
/// address of "any" is reached through loopback.
///
/// ```
/// use std::net::TcpListener;
/// use sundown::{terminate, thread};
///
/// let listener = TcpListener::bind("0.0.0.0:0")?;
/// let worker = thread::Builder::new()
///     .on_terminate(terminate::connect(listener.local_addr()?))
///     .spawn_with(move |stop| while listener.accept().is_ok() && !stop.is_stopped() {})?;
/// worker.terminate();
/// worker.join().unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn connect(address: SocketAddr) -> impl Terminate {
    move || report(wake(address))
}

fn wake(address: SocketAddr) -> io::Result<()> {
    // Less than a callback's limit: one that is full of connections is awake anyhow.
    const LIMIT: Duration = Duration::from_millis(500);
    TcpStream::connect_timeout(&reachable(address), LIMIT).map(drop)
}

/// Where a socket bound to `address` can be reached from this machine.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    address
}

/// A socket that is closed or shut down already needs no telling; anything else is worth a line.
fn report(result: io::Result<()>) {
    if let Err(error) = result {
        let kind = error.kind();
        if kind != io::ErrorKind::NotConnected && kind != io::ErrorKind::ConnectionRefused {
            crate::base::logging::log(
                log::Level::Warn,
                format_args!("a socket could not be told to stop: {error}"),
            );
        }
    }
}
