//! carpctl run as `ifconfig` or `sysctl` through a link: carpctl serves carp interfaces and
//! `net.inet.carp`, the system's own program serves everything else.

mod daemon;
pub(crate) mod ifconfig;
pub(crate) mod sysctl;
mod system;
