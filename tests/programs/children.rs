//! A program with a child process that ignores SIGTERM, for tests of the ways out: it prints the child's number and leaves as it was
//! asked to.

#[cfg(unix)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    use std::io::Read;
    use std::process::{Command, Stdio};
    use std::time::Duration;
    use sundown::{process, thread};

    let way = std::env::args().nth(1).unwrap_or_default();
    let guard = match way.as_str() {
        "signal" => Some(sundown::init()?),
        _ => None,
    };
    if way == "reaped by others" {
        // SAFETY: signal(2) with SIG_IGN needs no handler.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
        let child = sundown::Supervisor::global().spawn_process("lost", Command::new("true"))?;
        println!(
            "{}",
            if child.wait().is_err() {
                "error"
            } else {
                "status"
            }
        );
        child.terminate();
        child.kill()?;
        return Ok(());
    }
    let start = || {
        let mut command = Command::new("sh");
        let script = "trap '' TERM; echo ready; while :; do sleep 0.02; done";
        command
            .args(["-c", script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let child = process::Builder::new("child", command).grace(Duration::from_millis(100));
        #[cfg(target_os = "linux")]
        let child = match std::env::args().nth(1).as_deref() {
            Some("killed" | "thread") => child.die_with_parent(),
            _ => child,
        };
        let child = child.spawn().expect("sh is there");
        let mut output = child.take_stdout().expect("it is piped");
        output.read_exact(&mut [0; 6]).expect("it says ready");
        println!("{}", child.id());
        child
    };
    // On a thread that ends: which must not be what the kernel ties the child's life to.
    let child = std::thread::spawn(start).join().expect("it does not panic");
    match way.as_str() {
        "return" => {}
        "exit" => std::process::exit(3),
        "exit on a worker" => drop(thread::spawn(|| std::process::exit(4)).join()),
        "sundown exit" => sundown::exit(5),
        "panic" => panic!("as asked"),
        "signal" => {
            sundown::wait_for_shutdown();
        }
        "thread" => {
            let early = child.wait_timeout(Duration::from_millis(300))?;
            println!(
                "{}",
                if early.is_none() {
                    "lives"
                } else {
                    "died early"
                }
            );
        }
        _ => drop(child.wait()), // "killed": somebody kills this program
    }
    drop(guard);
    Ok(())
}

#[cfg(not(unix))]
fn main() {}
