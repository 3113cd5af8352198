//! CARP.

pub(crate) mod digest;
pub(crate) mod mismatch;
pub(crate) mod replay;
pub(crate) mod seal;
pub(crate) mod spent;
