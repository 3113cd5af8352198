//! Refusals of requests.

/// Refusal of a request, which then changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// Kind, one for each error name on the bus.
    pub kind: RefusalKind,
    /// One line that names the interface, the value and the remedy.
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
    /// It exists already, or is already used.
    Exists,
    /// It does not exist.
    NotFound,
    /// Invalid value.
    InvalidArgument,
    /// The interface does not have the address.
    AddressNotAvailable,
    /// The physical interface cannot carry CARP.
    NoDevice,
    /// The sysctl is read-only.
    ReadOnly,
    /// Impossible in the present state.
    Busy,
    /// The kernel refused its part of the change.
    Kernel,
}
