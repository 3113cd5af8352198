//! Memory that bursts leave behind: a start with thousands of interfaces, a takeover of all of them,
//! or a long list for a client, each takes megabytes for a moment, which malloc(3) then keeps.
#![expect(unsafe_code, reason = "no safe crate has malloc_trim(3)")]

use std::fs;
use std::time::Duration;

/// How often it is looked whether there is anything to give back.
const PERIOD: Duration = Duration::from_secs(10);

/// So much growth is worth it, in pages.
const GROWTH: u64 = 64;

/// Gives back to the kernel, now and then, what malloc(3) holds but nobody uses. Never ends.
pub(crate) async fn keep_low() {
    let mut last = 0;
    loop {
        tokio::time::sleep(PERIOD).await;
        if resident().is_some_and(|now| now > last + GROWTH) {
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
    use super::*;

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
