//! Why a request was refused.

/// Why a request was refused. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The kind, one for each error name on the bus.
    pub kind: RefusalKind,
    /// One line that names the interface, the value and what would be right.
    pub message: String,
}

impl Refusal {
    pub(crate) const fn new(kind: RefusalKind, message: String) -> Self {
        Self { kind, message }
    }

    pub(crate) const fn invalid(message: String) -> Self {
        Self::new(RefusalKind::InvalidArgument, message)
    }
}

/// Kinds of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// It exists already, or is taken.
    Exists,
    /// There is no such thing.
    NotFound,
    /// The value cannot be.
    InvalidArgument,
    /// The address is not there.
    AddressNotAvailable,
    /// The physical interface cannot carry CARP.
    NoDevice,
    /// A read-only sysctl.
    ReadOnly,
    /// Not in this state.
    Busy,
    /// The kernel did not do its part of what was done.
    Kernel,
}
