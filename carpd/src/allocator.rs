//! Memory of carpd: an allocator that wipes freed blocks, and settings that return memory to the kernel.
//!
//! Passwords pass through D-Bus messages, files and strings that other crates allocate and free.
//! Wiping every freed block leaves no copy of a password behind.
//!
//! Thousands of interfaces need megabytes for a moment: at start, when they all change state, and for
//! each long list. malloc(3) would keep that memory; [`trim`] returns it.
#![expect(
    unsafe_code,
    reason = "an allocator is unsafe by definition, and no safe crate has malloc_trim(3) and mallopt(3)"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::mem::MaybeUninit;
use std::slice;
use std::time::Duration;

use zeroize::Zeroize as _;

#[global_allocator]
static ALLOCATOR: Wiping = Wiping;

/// The system's allocator, with every block wiped when it is freed.
struct Wiping;

// SAFETY: `System` allocates all blocks, under the same contracts. The default `realloc` allocates a
// new block, copies, and frees the old one with `dealloc`.
unsafe impl GlobalAlloc for Wiping {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps to the contract of `GlobalAlloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the same.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block is `layout.size()` bytes long and no longer in use.
        let bytes =
            unsafe { slice::from_raw_parts_mut(block.cast::<MaybeUninit<u8>>(), layout.size()) };
        bytes.zeroize();
        // SAFETY: the caller keeps to the contract of `GlobalAlloc`.
        unsafe { System.dealloc(block, layout) }
    }
}

/// Time between checks whether the process has grown.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// Growth that makes a trim worthwhile, in pages.
const GROWTH: u64 = 64;

/// Number of trims after growth: memory still in use at the first may be free at the last.
const TRIMS: u8 = 6;

/// Blocks of this size, in bytes, and above are mapped separately, and unmapped when they are freed.
const MAPPED: i32 = 128 * 1024;

/// Fixes the size above which malloc(3) maps blocks separately.
///
/// By default malloc(3) raises that size whenever a large block is freed. Long lists would then move
/// into the heap, small blocks would settle between them, and the heap could not shrink.
///
/// Call this before any thread starts.
pub(crate) fn set_up() {
    for option in [libc::M_MMAP_THRESHOLD, libc::M_TRIM_THRESHOLD] {
        // SAFETY: mallopt(3) sets a number; every value leaves the allocator correct.
        let done = unsafe { libc::mallopt(option, MAPPED) };
        debug_assert_eq!(done, 1);
    }
}

/// Returns free memory to the kernel after the process has grown. Never ends.
pub(crate) async fn trim_after_growth() {
    let (mut last, mut trims) = (0, 0_u8);
    loop {
        tokio::time::sleep(CHECK_INTERVAL).await;
        if resident().is_some_and(|now| now > last + GROWTH) {
            trims = TRIMS;
        }
        if trims > 0 {
            trims -= 1;
            trim();
            last = resident().unwrap_or(last);
        }
    }
}

fn trim() {
    // SAFETY: any thread may call malloc_trim(3) at any time; it returns only pages that are free.
    unsafe { libc::malloc_trim(0) };
}

/// Resident pages: the second number of `/proc/self/statm`, see proc(5).
fn resident() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    text.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::process::Command;

    use super::*;

    /// Set in the child process that runs one test alone.
    const ALONE: &str = "CARPD_TEST_ALONE";

    #[test]
    fn long_lists_stay_mapped_separately_after_others_were_freed() {
        if env::var_os(ALONE).is_none() {
            // Other tests may have left enough free room in the heap for a long list.
            let own = "allocator::tests::long_lists_stay_mapped_separately_after_others_were_freed";
            let mut alone = Command::new(env::current_exe().unwrap());
            alone.args(["--exact", own, "--nocapture"]).env(ALONE, "");
            let output = alone.output().unwrap();
            let printed = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{output:?}");
            assert!(printed.contains("1 passed"), "{printed}");
            return;
        }
        set_up();
        for _ in 0..3 {
            let list = vec![1_u8; 10_000_000];
            // malloc(3) has 16 bytes of its own at the start of the first page.
            assert_eq!(list.as_ptr().addr() % 4096, 16);
        }
    }

    #[test]
    fn trim_returns_the_memory_of_a_burst() {
        let chunks: Vec<Vec<u8>> = (0..100_000).map(|_| vec![1; 1000]).collect();
        let last = chunks.last().cloned();
        // All but the last: the free memory is in the middle of the heap.
        drop(chunks);
        let before = resident().unwrap();
        trim();
        let after = resident().unwrap();
        assert!(
            after + 10_000 < before,
            "{before} pages before, {after} after"
        );
        drop(last);
    }
}
