//! Six threads that hang in six ways, and the report that says where. `cargo run --example hung --features stacks` adds their frames.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::sync::{mpsc, Arc, Mutex};
use std::time::Duration;

use sundown::{activity, thread, Supervisor};

fn named(name: &str) -> thread::Builder {
    thread::Builder::new().name(name.into())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let guard = Supervisor::builder()
        .name("hung")
        .deadline(Duration::from_secs(3))
        .install()?;

    // 1. Waits for a connection, and nobody gave it a way to hear.
    let listener = TcpListener::bind("127.0.0.1:0")?;
    named("acceptor").spawn(move || while let Ok((_peer, _)) = listener.accept() {})?;

    // 2. Waits for a lock whose owner never lets go.
    let lock = Arc::new(Mutex::new(()));
    let held = lock.lock();
    let theirs = Arc::clone(&lock);
    named("writer").spawn(move || {
        activity("appending to the journal");
        drop(theirs.lock());
    })?;

    // 3. Sleeps.
    named("poller").spawn(|| loop {
        std::thread::sleep(Duration::from_secs(3600));
    })?;

    // 4. Runs, and never looks up.
    named("miner").spawn(|| loop {
        std::hint::spin_loop();
    })?;

    // 5. Reads from a peer that neither writes nor closes.
    let peer = TcpListener::bind("127.0.0.1:0")?;
    let mut source = TcpStream::connect(peer.local_addr()?)?;
    named("reader").spawn(move || source.read(&mut [0; 64]))?;

    // 6. Two that join each other.
    let (hand, handed) = mpsc::channel::<thread::JoinHandle<()>>();
    let ping = named("ping").spawn(move || handed.recv().unwrap().join().unwrap())?;
    let pong = named("pong").spawn(move || ping.join().unwrap())?;
    hand.send(pong)?;

    std::thread::sleep(Duration::from_millis(100)); // for as long as it takes to come to where they hang
    println!("seven threads hang in six ways; here is what they do:\n");
    println!("{}", Supervisor::global().dump());
    println!("now they are told to stop, which none of them hears; the report comes after 3 s");
    drop(guard);
    drop(held);
    Ok(())
}
