//! The heap of carpd: whatever is given back is wiped first.
//!
//! Passwords pass through buffers of D-Bus messages, files and text that other crates own and drop
//! as they like. Where every block is wiped, none of them leaves a copy behind.
#![expect(unsafe_code, reason = "an allocator is unsafe by definition")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::mem::MaybeUninit;
use std::slice;

use zeroize::Zeroize as _;

#[global_allocator]
static HEAP: Wiped = Wiped;

/// The system's heap, wiped.
struct Wiped;

// SAFETY: blocks are those of `System`, under the same contracts; `realloc`, which is not here,
// takes another block, copies, and gives the old one back by `dealloc`.
unsafe impl GlobalAlloc for Wiped {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps to the contract of `GlobalAlloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the same.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block is `layout.size()` bytes long, and nobody else uses it any more.
        let bytes =
            unsafe { slice::from_raw_parts_mut(block.cast::<MaybeUninit<u8>>(), layout.size()) };
        bytes.zeroize();
        // SAFETY: the caller keeps to the contract of `GlobalAlloc`.
        unsafe { System.dealloc(block, layout) }
    }
}
