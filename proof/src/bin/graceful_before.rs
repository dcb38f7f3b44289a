use std::io::{ErrorKind, Read};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;
use tokio_graceful_shutdown::{SubsystemBuilder, SubsystemHandle, Toplevel};

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let feed = TcpStream::connect(listener.local_addr()?)?;
    let (_peer, _) = listener.accept()?;
    Toplevel::new(|system: SubsystemHandle| async move {
        system.start(SubsystemBuilder::new(
            "feed",
            |subsystem: SubsystemHandle| read(feed, subsystem),
        ));
    })
    .catch_signals()
    .handle_shutdown_requests(Duration::from_secs(5))
    .await?;
    println!("main: leaves");
    Ok(())
}

async fn read(mut feed: TcpStream, subsystem: SubsystemHandle) -> Result<(), Error> {
    println!("running");
    // A read that blocks cannot be cancelled, so it must come up for air.
    feed.set_read_timeout(Some(Duration::from_millis(100)))?;
    tokio::task::spawn_blocking(move || loop {
        match feed.read(&mut [0; 1024]) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error)
                if error.kind() == ErrorKind::WouldBlock && !subsystem.is_shutdown_requested() => {}
            Err(_) => break,
        }
    })
    .await?;
    println!("feed: ends");
    Ok(())
}
