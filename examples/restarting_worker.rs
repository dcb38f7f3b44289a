//! A TCP client that loses its server, again and again, and comes back each time: run it, watch, and press Ctrl-C.

use std::error::Error;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use sundown::events::EventKind;
use sundown::restart::Restart;
use sundown::{thread, StopToken, Supervisor};

fn main() -> Result<(), Box<dyn Error>> {
    let _guard = sundown::init()?;

    // What happens to the workers, as it happens. A slow reader would miss some of it, and hold up nobody. It is no worker itself:
    // it reads until the shutdown has ended, so the shutdown must not wait for it.
    let events = Supervisor::global().subscribe(64);
    let narrator = std::thread::spawn(move || {
        for event in events {
            match &event.kind {
                EventKind::ShutdownEnded(_) => {} // main prints the report
                _ => println!("        [{event}]"),
            }
        }
    });

    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let unblock = listener.try_clone()?;
    thread::Builder::new()
        .name("server".into())
        .on_terminate(unblock) // wakes it where it accepts
        .spawn_with(move |stop| serve(&listener, &stop))?;

    thread::Builder::new()
        .name("client".into())
        // Ten failures within a minute are too many: then the whole program shuts down, and says why.
        .restart(
            Restart::on_failure()
                .backoff(Duration::from_millis(100), Duration::from_secs(2))
                .limit(10, Duration::from_secs(60)),
        )
        .spawn_loop(move |stop| read_all(address, stop))?;

    let cause = sundown::wait_for_shutdown();
    println!("main: leaves because of {cause}");
    let report = sundown::shutdown();
    narrator.join().expect("it only prints");
    println!("{report}");
    Ok(())
}

/// One run of the client: connects, and reads until the connection is lost, which is its failure.
fn read_all(server: SocketAddr, stop: &StopToken) -> io::Result<()> {
    let connection = TcpStream::connect(server)?;
    println!("client: connected");
    // A run that blocks is told by its own token. This ends with the run.
    let unblock = connection.try_clone()?;
    let _callback = stop.on_stop(move || drop(unblock.shutdown(Shutdown::Both)));
    for line in BufReader::new(connection).lines() {
        println!("client: got {:?}", line?);
    }
    Err(io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the server is gone",
    ))
}

/// Accepts one client after another, and drops each after three lines.
fn serve(listener: &TcpListener, stop: &StopToken) -> io::Result<()> {
    while !stop.is_stopped() {
        let (mut client, _) = listener.accept()?;
        for n in 1..=3 {
            if stop.sleep(Duration::from_millis(200)).is_err() {
                return Ok(());
            }
            writeln!(client, "line {n}")?;
        }
    }
    Ok(())
}
