//! Instructions of classic BPF programs, which the kernel runs on everything that it hands to a socket.

use socket2::SockFilter;

// linux/bpf_common.h: class, size or operation, and mode or source.
pub(crate) const LOAD_WORD: u16 = 0x20;
pub(crate) const LOAD_HALF: u16 = 0x28;
pub(crate) const LOAD_BYTE: u16 = 0x30;
pub(crate) const LOAD_BYTE_AT_X: u16 = 0x50;
pub(crate) const LOAD_NUMBER: u16 = 0x00;
pub(crate) const NUMBER_TO_X: u16 = 0x01;
pub(crate) const A_TO_X: u16 = 0x07;
pub(crate) const AND: u16 = 0x54;
pub(crate) const IF_EQUAL: u16 = 0x15;
pub(crate) const IF_GREATER: u16 = 0x25;
pub(crate) const RETURN: u16 = 0x06;

/// Returns an instruction. A jump skips `then` or `otherwise` instructions.
pub(crate) const fn instruction(code: u16, then: u8, otherwise: u8, k: u32) -> SockFilter {
    SockFilter::new(code, then, otherwise, k)
}

/// Returns the address of a property that the kernel knows of a packet: `SKF_AD_*`.
pub(crate) const fn ancillary(offset: i32) -> u32 {
    (libc::SKF_AD_OFF + offset).cast_unsigned()
}
