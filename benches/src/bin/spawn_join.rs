//! Spawns and joins threads that do nothing: what callgrind counts. With std, with sundown, and with the least by hand that could make
//! good on what sundown promises.

use sundown_benches::least;

fn main() {
    let mut words = std::env::args().skip(1);
    let what = words.next().expect("sundown, std or least");
    let threads: usize = words.next().expect("how many").parse().expect("a number");
    for _ in 0..threads {
        match what.as_str() {
            "std" => std::thread::spawn(|| ()).join().expect("it does not panic"),
            "least" => least::spawn(|| ()).join().expect("it does not panic"),
            _ => sundown::thread::spawn(|| ())
                .join()
                .expect("it does not panic"),
        }
    }
}
