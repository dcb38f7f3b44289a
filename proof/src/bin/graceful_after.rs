use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;
use sundown::{thread, Supervisor};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let _guard = Supervisor::builder()
        .deadline(Duration::from_secs(5))
        .install()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut feed = TcpStream::connect(listener.local_addr()?)?;
    let (_peer, _) = listener.accept()?;
    thread::Builder::new()
        .name("feed".into())
        .on_terminate(feed.try_clone()?) // wakes it where it reads
        .spawn(move || {
            while matches!(feed.read(&mut [0; 1024]), Ok(1..)) {}
            println!("feed: ends");
        })?;
    println!("running");
    sundown::wait_for_shutdown();
    println!("main: leaves");
    Ok(())
}
