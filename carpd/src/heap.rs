//! Memory that bursts leave behind: a start with thousands of interfaces, a takeover of all of them,
//! or a long list for a client, each takes megabytes for a moment, which malloc(3) then keeps.
#![expect(
    unsafe_code,
    reason = "no safe crate has malloc_trim(3) and mallopt(3)"
)]

use std::fs;
use std::time::Duration;

/// How often it is looked whether there is anything to give back.
const PERIOD: Duration = Duration::from_secs(10);

/// So much growth is worth it, in pages.
const GROWTH: u64 = 64;

/// What is at least so many bytes long is mapped by itself and goes back to the kernel when it is
/// freed.
const MAPPED: i32 = 128 * 1024;

/// Keeps malloc(3) from learning, by the first long list that is freed, that lists of megabytes
/// better come from the heap: there, small things that stay would take their place, and the next
/// list would make the heap grow again. To be called before there are threads.
pub(crate) fn set_up() {
    for option in [libc::M_MMAP_THRESHOLD, libc::M_TRIM_THRESHOLD] {
        // SAFETY: this sets a number that malloc(3) reads: whatever it is, memory is handed out.
        let done = unsafe { libc::mallopt(option, MAPPED) };
        debug_assert_eq!(done, 1);
    }
}

/// So many times after it has grown: what was in use at the first may be free at the last.
const TIMES: u8 = 6;

/// Gives back to the kernel, now and then, what malloc(3) holds but nobody uses. Never ends.
pub(crate) async fn keep_low() {
    let (mut last, mut times) = (0, 0_u8);
    loop {
        tokio::time::sleep(PERIOD).await;
        if resident().is_some_and(|now| now > last + GROWTH) {
            times = TIMES;
        }
        if times > 0 {
            times -= 1;
            give_back();
            last = resident().unwrap_or(last);
        }
    }
}

fn give_back() {
    // SAFETY: malloc_trim(3) may be called at any time by any thread, and takes only pages that
    // hold nothing.
    unsafe { libc::malloc_trim(0) };
}

/// The second number of `/proc/self/statm`, in pages: see proc(5).
fn resident() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    text.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::process::Command;

    use super::*;

    /// Set in a process that is there for one test alone.
    const ALONE: &str = "CARPD_TEST_ALONE";

    #[test]
    fn a_long_list_is_mapped_by_itself_however_many_were_freed_before() {
        if env::var_os(ALONE).is_none() {
            // Other tests may have left so much room in the heap that a long list finds place there.
            let own = "heap::tests::a_long_list_is_mapped_by_itself_however_many_were_freed_before";
            let mut alone = Command::new(env::current_exe().unwrap());
            alone.args(["--exact", own, "--nocapture"]).env(ALONE, "");
            let output = alone.output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{output:?}");
            assert!(said.contains("1 passed"), "{said}");
            return;
        }
        set_up();
        for _ in 0..3 {
            let list = vec![1_u8; 10_000_000];
            // Behind the 16 bytes that malloc(3) has at the beginning of the first page.
            assert_eq!(list.as_ptr().addr() % 4096, 16);
        }
    }

    #[test]
    fn what_a_burst_has_left_is_given_back() {
        let chunks: Vec<Vec<u8>> = (0..100_000).map(|_| vec![1; 1000]).collect();
        let last = chunks.last().cloned();
        // All but the last: the heap can only shrink in the middle.
        drop(chunks);
        let before = resident().unwrap();
        give_back();
        let after = resident().unwrap();
        assert!(
            after + 10_000 < before,
            "{before} pages before, {after} after"
        );
        drop(last);
    }
}
