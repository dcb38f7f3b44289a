//! Several event loops behind a synchronous `main`: what each is for, what a timeout leaves, and in which order they end.
//!
//!     cargo run --example background_loop --features tokio

use std::error::Error;
use std::time::Duration;

use sundown::background::BackgroundThread;
use tokio::time::{sleep, timeout};

fn main() -> Result<(), Box<dyn Error>> {
    let _guard = sundown::init()?; // Ctrl-C and SIGTERM end the loops in order, too

    // A loop that only serves others: work is handed to it from here. It is the oldest, so it is told to stop last.
    let service = BackgroundThread::builder().name("service").start()?;

    // A loop with a main task: told to stop, it has the drain for its clean-up, which may be async.
    BackgroundThread::builder()
        .name("heartbeat")
        .drain(Duration::from_millis(500))
        .task(|ctx| async move {
            let mut beats = 0;
            while ctx
                .until_stopped(sleep(Duration::from_millis(10)))
                .await
                .is_ok()
            {
                beats += 1;
            }
            sleep(Duration::from_millis(5)).await; // says goodbye to a peer, say
            println!(
                "heartbeat: stops after {} beats",
                if beats > 0 { "some" } else { "no" }
            );
        })
        .start()?;

    // From synchronous code: a value from a future, and from a plain call on the loop's thread.
    let answer = service.block_on(async {
        sleep(Duration::from_millis(20)).await;
        6 * 7
    })?;
    println!("main: the answer is {answer}");
    let name = service.call(|| std::thread::current().name().map(str::to_owned));
    println!(
        "main: it came from the thread {:?}",
        name.wait()?.unwrap_or_default()
    );

    // A timeout here only ends the wait: the task goes on, and can be waited for again.
    let slow = service.spawn(async {
        sleep(Duration::from_millis(50)).await;
        "late, but there"
    });
    if slow.wait_timeout(Duration::from_millis(5)).is_none() {
        println!("main: not yet; waits on: {}", slow.wait()?);
    }

    // A timeout there ends the work. It is made inside the block: a tokio timer needs its runtime around it.
    let never = service.block_on(async {
        let never = std::future::pending::<()>();
        timeout(Duration::from_millis(5), never).await
    })?;
    println!("main: {}", never.unwrap_err());

    // And a task can be cancelled: it is dropped where it waits.
    let endless = service.spawn(std::future::pending::<()>());
    endless.cancel();
    println!("main: {}", endless.wait().unwrap_err());

    // Nobody waits for this one. It ends within the drain, by itself, after `main` has returned.
    let events = service.clone();
    drop(service.spawn(async move {
        events.stop_token().stopped().await;
        println!("service: its last task ends");
    }));
    println!("main: returns");
    Ok(())
}
