//! Three services that start one after another, each when the one before is ready. At first the third cannot start, and those
//! before it are ended again, newest first; then all three run.

use std::error::Error;
use std::io;
use std::net::TcpListener;

use sundown::ready::{Services, StartError};
use sundown::Supervisor;

fn main() -> Result<(), Box<dyn Error>> {
    let _guard = sundown::init()?;
    let supervisor = Supervisor::global();

    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    match start(&supervisor, &address) {
        Err(error) => println!("main: {error}"),
        Ok(_) => println!("main: nobody expected that"),
    }

    drop(taken);
    let services = start(&supervisor, &address)?;
    println!("main: all three are ready");
    services.keep(); // from here on they end with the program

    Ok(()) // newest first
}

/// Starts all three, or none.
fn start(supervisor: &Supervisor, address: &str) -> Result<Services, Box<dyn Error>> {
    let mut services = Services::new();
    let named = |name: &str| supervisor.worker().name(name.into());

    let rows: usize = services.start(named("storage"), |ready, stop| {
        println!("storage: ready");
        ready.ok(3);
        stop.wait();
        println!("storage: ends");
    })?;

    services.start(named("index"), move |ready, stop| {
        println!("index: ready, with {rows} rows");
        ready.ok(());
        stop.wait();
        println!("index: ends");
    })?; // an error here or below drops `services`, which ends those before

    let address = address.to_owned();
    services
        .start(named("server"), move |ready, stop| {
            let _listener = TcpListener::bind(address)?;
            println!("server: ready");
            ready.ok(());
            stop.wait();
            println!("server: ends");
            Ok::<(), io::Error>(())
        })
        .map_err(why)?;
    Ok(services)
}

/// The service's own error, where there is one.
fn why(error: StartError<Result<(), io::Error>>) -> Box<dyn Error> {
    match error.into_own_error() {
        Ok(own) => format!("the server cannot start: {own}").into(),
        Err(other) => other.into(),
    }
}
