//! What the fuzz targets share: each step of [`check`] measured in memory and time.

mod check;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use ebb_template::Language;

/// The most memory that one render may hold beyond what was there before it.
///
/// 1 MiB is what a render may produce. A growing text is held twice for a moment and then has up to twice its length
/// (3 MiB); the values of a list take more room than their bytes that were counted; a regular expression keeps its
/// automaton and its cache (2.25 MiB).
pub const RENDER_BYTES: usize = 8 * 1024 * 1024;
/// The most CPU time that one step may take.
pub const STEP_SECONDS: f64 = 1.0;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn grow(bytes: usize) {
    let held = HELD.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(held, Ordering::Relaxed);
}

fn shrink(bytes: usize) {
    HELD.fetch_sub(bytes, Ordering::Relaxed);
}

// SAFETY: every call goes to the system's allocator with the same arguments; only numbers are added.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        shrink(layout.size());
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both blocks may be held while the content moves.
        grow(size);
        let moved = unsafe { System.realloc(pointer, layout, size) };
        shrink(layout.size());
        moved
    }
}

fn cpu_seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a value that lives through the call.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(status, 0, "the thread has a clock");
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Runs one input through [`check::check`] with its bounds.
pub fn run(bytes: &[u8], language: Language) {
    check::check(bytes, language, &mut |step, run| {
        let (start, seconds) = (HELD.load(Ordering::Relaxed), cpu_seconds());
        PEAK.store(start, Ordering::Relaxed);
        run();
        let (peak, seconds) = (PEAK.load(Ordering::Relaxed) - start, cpu_seconds() - seconds);
        assert!(seconds < STEP_SECONDS, "{step} takes {seconds} s");
        assert!(step == check::Step::Parse || peak < RENDER_BYTES, "{step} holds {peak} bytes");
    });
}
