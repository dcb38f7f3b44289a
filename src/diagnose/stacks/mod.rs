//! The frames of threads that hang: copy each thread's stack, unwind the copies with `framehop`, name the frames with `backtrace`.
//!
//! Nothing of this runs on the thread in question, but for the copying of one that runs (`sys/sample.rs`). A blocked thread is read from
//! outside: the kernel says where its stack and its code are, and `/proc/self/mem` has the stack. So no allocator's lock and no
//! loader's lock that a stuck thread may hold is asked for on it. Should this thread come to wait for one, whoever asked goes on
//! without it.

mod modules;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use framehop::x86_64::{CacheX86_64, UnwindRegsX86_64, UnwinderX86_64};
use framehop::{FrameAddress, Unwinder};
use parking_lot::Mutex;

use super::kernel;
use crate::supervisor::Straggler;
use crate::sys::{sample, Sample};
use modules::Modules;

/// How much of a blocked thread's stack is read.
const STACK_LIMIT: usize = 256 * 1024;
/// How long a running thread has to copy itself: one that lets no signal through must not cost the others their time.
const ANSWER_LIMIT: Duration = Duration::from_millis(100);
/// How many frames are kept of a thread: a recursion without end has too many.
const MOST_FRAMES: usize = 64;
/// A frame pointer that points nowhere: unwinding ends at the first function that needs it. (0 would pass for the thread's beginning.)
const NO_BP: u64 = 8;
/// How many words of a stack are looked through for the frame pointer, which the kernel does not tell of a blocked thread.
const SEARCHED: u64 = 1024;

/// Adds the frames of each thread that was looked at: addresses first, then names, then lines, as long as there is time.
pub(super) fn fill_in(records: &Mutex<Vec<Straggler>>, ends: Instant) {
    let threads: Vec<[Option<u32>; 2]> = {
        let records = records.lock();
        let threads = records.iter().map(|record| {
            let own = record.thread.as_ref().map(|thread| thread.os_id);
            let callback = record.callback_thread.as_ref().map(|thread| thread.os_id);
            [own, callback]
        });
        threads.collect()
    };
    let Some(mut stacks) = Stacks::load() else {
        return;
    };
    let put = |at: usize, which: usize, stack: Vec<String>| {
        let mut records = records.lock();
        let Straggler {
            thread,
            callback_thread,
            ..
        } = &mut records[at];
        let place = if which == 0 { thread } else { callback_thread };
        if let Some(thread) = place {
            thread.stack = stack;
        }
    };
    let (mut places, mut found) = (Vec::new(), Vec::new());
    for (at, threads) in threads.iter().enumerate() {
        for (which, thread) in threads.iter().enumerate() {
            if ends <= Instant::now() {
                return;
            }
            if let Some(frames) = thread.and_then(|thread| stacks.of(thread, true, ends)) {
                put(at, which, stacks.unnamed(&frames));
                places.push((at, which));
                found.push(frames);
            }
        }
    }
    if ends <= Instant::now() {
        return;
    }
    for (&(at, which), lines) in places.iter().zip(stacks.roughly_named(&found)) {
        put(at, which, lines);
    }
    for (&(at, which), frames) in places.iter().zip(&found) {
        if ends <= Instant::now() {
            break;
        }
        put(at, which, stacks.named(frames));
    }
    // The debug information that it has read can be many times the program's size.
    backtrace::clear_symbol_cache();
}

/// The frames of those of these threads that are blocked, as far as there is time; nothing for one that runs.
pub(super) fn of_blocked(threads: &[Option<u32>], ends: Instant) -> Vec<Vec<String>> {
    let Some(mut stacks) = Stacks::load() else {
        return vec![Vec::new(); threads.len()];
    };
    let frames = threads.iter().map(|thread| {
        let thread = thread.filter(|_| Instant::now() < ends)?;
        stacks.of(thread, false, ends)
    });
    let frames: Vec<_> = frames.map(Option::unwrap_or_default).collect();
    stacks.roughly_named(&frames)
}

/// What it takes to unwind and to name.
struct Stacks {
    memory: File,
    modules: Modules,
    unwinder: UnwinderX86_64<Vec<u8>>,
    cache: CacheX86_64,
}

impl Stacks {
    fn load() -> Option<Stacks> {
        let memory = File::open("/proc/self/mem").ok()?;
        let mut unwinder = UnwinderX86_64::new();
        let modules = Modules::load(&mut unwinder)?;
        Some(Stacks {
            memory,
            modules,
            unwinder,
            cache: CacheX86_64::new(),
        })
    }

    /// The frames of a thread, innermost first. One that runs is asked for them, if it may be.
    fn of(&mut self, thread: u32, running: bool, ends: Instant) -> Option<Vec<FrameAddress>> {
        if let Some(place) = kernel::place(thread) {
            let stack = self.read_stack(place.sp);
            if kernel::place(thread) == Some(place) {
                let copy = Sample {
                    ip: place.pc,
                    sp: place.sp,
                    bp: NO_BP,
                    stack,
                };
                return Some(self.unwind_without_bp(copy));
            }
        }
        if !running {
            return None;
        }
        let copy = sample(
            thread,
            &self.memory,
            ends.min(Instant::now() + ANSWER_LIMIT),
        )?;
        Some(self.unwind(&copy).0)
    }

    fn read_stack(&self, from: u64) -> Vec<u8> {
        let mut stack = vec![0; STACK_LIMIT];
        // It ends at the stack's own end, if that comes first.
        let length = self.memory.read_at(&mut stack, from).unwrap_or(0);
        stack.truncate(length);
        stack
    }

    /// The frames, and whether they lead to the thread's beginning.
    fn unwind(&mut self, copy: &Sample) -> (Vec<FrameAddress>, bool) {
        let mut read = |address: u64| word(copy, address).ok_or(());
        let registers = UnwindRegsX86_64::new(copy.ip, copy.sp, copy.bp);
        let mut frames = Vec::new();
        let mut iter = self
            .unwinder
            .iter_frames(copy.ip, registers, &mut self.cache, &mut read);
        loop {
            match iter.next() {
                Ok(Some(_)) if frames.len() == MOST_FRAMES => return (frames, true),
                // What is no code is no frame: without what it takes to unwind some code, the unwinder guesses.
                Ok(Some(frame)) if !self.modules.has(frame.address_for_lookup()) => {
                    return (frames, false)
                }
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => return (frames, true),
                Err(_) => return (frames, false),
            }
        }
    }

    /// The same without the frame pointer. The first function that keeps one has it point at the bottom of its frame, just below the
    /// address that it returns to: so the nearest such place is looked for whose address comes after a call of that function, or of
    /// what a register says. If none leads to the thread's beginning, any other call will do: calls that jump on look like that.
    fn unwind_without_bp(&mut self, mut copy: Sample) -> Vec<FrameAddress> {
        let (mut best, whole) = self.unwind(&copy);
        let Some(stuck_at) = best.last().copied().filter(|_| !whole) else {
            return best;
        };
        let function = self.modules.function(stuck_at.address_for_lookup());
        let words = |from: u64| (0..SEARCHED).map(move |at| from + at * 8);
        // Its frame begins above the address that its own callee returns to.
        let frame = match stuck_at {
            FrameAddress::InstructionPointer(_) => Some(copy.sp),
            FrameAddress::ReturnAddress(back) => words(copy.sp)
                .find(|&place| word(&copy, place) == Some(back.get()))
                .map(|place| place + 8),
        };
        let (mut likely, mut possible) = (Vec::new(), Vec::new());
        for place in words(frame.unwrap_or(copy.sp)) {
            let Some(back) = word(&copy, place + 8) else {
                break;
            };
            if !self.modules.has(back) {
                continue;
            }
            match called_before(&self.memory, back) {
                Some(Call::Of(called)) if function != Some(called) => possible.push(place),
                Some(_) => likely.push(place),
                None => {}
            }
        }
        for place in likely.into_iter().chain(possible) {
            copy.bp = place;
            let (frames, whole) = self.unwind(&copy);
            if whole {
                return frames;
            }
            if frames.len() > best.len() {
                best = frames;
            }
        }
        best
    }

    /// As addresses, for `addr2line`.
    fn unnamed(&self, frames: &[FrameAddress]) -> Vec<String> {
        let place = |frame: &FrameAddress| self.modules.place(frame.address_for_lookup());
        frames.iter().map(place).collect()
    }

    /// With the names from the symbol tables, which are there soon: one list for each of `stacks`.
    fn roughly_named(&self, stacks: &[Vec<FrameAddress>]) -> Vec<Vec<String>> {
        let frames = stacks.iter().flatten();
        let names = self
            .modules
            .names(&frames.map(|frame| frame.address_for_lookup()).collect());
        let lines_of = |frames: &Vec<FrameAddress>| {
            let mut lines = Vec::new();
            for frame in frames {
                let address = frame.address_for_lookup();
                match names.get(&address) {
                    Some(name) if is_our_start(name) => break,
                    Some(name) => lines.push(name.clone()),
                    None => lines.push(self.modules.place(address)),
                }
            }
            without_our_end(lines)
        };
        stacks.iter().map(lines_of).collect()
    }

    /// With files and lines, and with the functions that were inlined. Reads the debug information, which may take long.
    fn named(&self, frames: &[FrameAddress]) -> Vec<String> {
        let mut lines = Vec::new();
        for frame in frames {
            let before = lines.len();
            // It looks at what is in front of a return address, and takes this for one.
            let address = frame.address_for_lookup() + 1;
            let mut ours = false;
            backtrace::resolve(address as *mut std::ffi::c_void, |symbol| {
                let Some(name) = symbol.name() else { return };
                let name = format!("{name:#}");
                ours |= is_our_start(&name);
                lines.push(match (symbol.filename(), symbol.lineno()) {
                    (Some(file), Some(line)) => {
                        format!("{name} ({}:{line})", short(&file.to_string_lossy()))
                    }
                    _ => name,
                });
            });
            if ours {
                lines.truncate(before);
                break;
            }
            if lines.len() == before {
                lines.push(self.modules.place(frame.address_for_lookup()));
            }
        }
        without_our_end(lines)
    }
}

/// Where a worker's own code begins: everything further out is the same for all.
fn is_our_start(name: &str) -> bool {
    const STARTS: [&str; 4] = [
        "sundown::thread::builder::",
        "sundown::thread::start::",
        "sundown::supervisor::walk::",
        "std::sys::backtrace::__rust_begin_short_backtrace",
    ];
    STARTS.iter().any(|start| name.contains(start))
}

/// Takes away what lies between that and the worker's code.
fn without_our_end(mut lines: Vec<String>) -> Vec<String> {
    const BETWEEN: [&str; 6] = [
        "std::panic",
        "<std::panic",
        "core::panic",
        "<core::panic",
        "core::ops::function",
        "__rust_try",
    ];
    while lines
        .last()
        .is_some_and(|line| BETWEEN.iter().any(|start| line.starts_with(start)))
    {
        lines.pop();
    }
    lines
}

/// std's files have the path of the machine that it was built on.
fn short(file: &str) -> &str {
    match file
        .strip_prefix("/rustc/")
        .and_then(|rest| rest.split_once('/'))
    {
        Some((_commit, rest)) => rest,
        None => file,
    }
}

/// What a call instruction calls.
enum Call {
    Of(u64),
    /// What a register says.
    Unknown,
}

/// The call that ends in front of this address. `None` if there is none.
fn called_before(memory: &File, back: u64) -> Option<Call> {
    let mut code = [0; 6];
    memory.read_exact_at(&mut code, back - 6).ok()?;
    let relative = i32::from_le_bytes([code[2], code[3], code[4], code[5]]);
    let target = back.wrapping_add_signed(i64::from(relative));
    if code[1] == 0xe8 {
        return Some(Call::Of(target));
    }
    if code[..2] == [0xff, 0x15] {
        // Through a table of the linker's.
        let mut function = [0; 8];
        memory.read_exact_at(&mut function, target).ok()?;
        return Some(Call::Of(u64::from_le_bytes(function)));
    }
    // Through a register, or through what one points at, up to 8 bits or 32 further on.
    let indirect = |at: usize| code[at] == 0xff && code[at + 1] & 0x38 == 0x10;
    (indirect(4) || indirect(3) || indirect(0)).then_some(Call::Unknown)
}

/// The word at this address of the copied stack.
fn word(copy: &Sample, address: u64) -> Option<u64> {
    let at = usize::try_from(address.checked_sub(copy.sp)?).ok()?;
    let bytes = copy.stack.get(at..at.checked_add(8)?)?;
    Some(u64::from_ne_bytes(bytes.try_into().ok()?))
}
