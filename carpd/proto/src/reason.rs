//! Reasons for changes of state.

/// Reason for which a virtual host changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// INIT → BACKUP: all conditions of running are met.
    BecameRunnable,
    /// `down`, or not yet `up`.
    AdministrativelyDown,
    /// No vhid.
    NoVhid,
    /// No address.
    NoAddress,
    /// No physical interface.
    NoDevice,
    /// The physical interface is down.
    DeviceDown,
    /// The physical interface has no carrier.
    CarrierLost,
    /// The kernel refused the carp device.
    DeviceRefused,
    /// Another carp interface has this vhid on the same physical interface.
    VhidTaken,
    /// Its identity (vhid, carpdev, lladdr) changed.
    Reconfigured,
    /// Destroyed, or carpd stops.
    Destroyed,
    /// BACKUP → MASTER: nothing heard for the master-down time.
    MasterTimedOut,
    /// BACKUP → MASTER: the master bowed out, or is so slow that it would time out.
    MasterWillTimeOut,
    /// BACKUP → MASTER: `preempt`.
    PreemptingSlowerMaster,
    /// BACKUP → MASTER: the master is demoted more than this host.
    PreemptingDemotedMaster,
    /// MASTER → BACKUP: the peer advertises more often.
    MoreFrequentAdvertisement,
    /// MASTER → BACKUP: the peer is demoted less than this host.
    LessDemotedAdvertisement,
    /// MASTER → BACKUP: an equal peer has a higher address.
    EqualHigherAddress,
    /// MASTER → BACKUP: this host stood still for longer than a backup waits.
    Overslept,
    /// `state master|backup`.
    Forced,
    /// INIT → MASTER: the previous instance was MASTER, and the kernel still has the addresses.
    Resumed,
}

/// A MASTER that leaves for this reason sends a bow-out, so that a backup takes over at once.
const BOWS_OUT: bool = true;

/// No MASTER leaves for this reason, or it cannot send then, or the peer is master already.
const SILENT: bool = false;

impl Reason {
    /// Word on the bus, as in `master-timed-out`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        self.row().0
    }

    /// Text for people: that of BSD's kernels where they have one.
    #[must_use]
    pub const fn text(self) -> &'static str {
        self.row().1
    }

    /// Returns true if a MASTER that leaves for this reason sends a bow-out.
    pub(crate) const fn bows_out(self) -> bool {
        self.row().2
    }

    /// Word, text, and [`BOWS_OUT`] or [`SILENT`].
    const fn row(self) -> (&'static str, &'static str, bool) {
        match self {
            Self::BecameRunnable => ("became-runnable", "initialization complete", SILENT),
            Self::AdministrativelyDown => {
                ("administratively-down", "administratively down", BOWS_OUT)
            }
            Self::NoVhid => ("no-vhid", "no vhid set", BOWS_OUT),
            Self::NoAddress => ("no-address", "no address set", BOWS_OUT),
            Self::NoDevice => ("no-device", "no physical interface", SILENT),
            Self::DeviceDown => ("device-down", "hardware interface down", SILENT),
            Self::CarrierLost => ("carrier-lost", "carrier lost", SILENT),
            Self::DeviceRefused => ("device-refused", "the kernel refused the device", BOWS_OUT),
            Self::VhidTaken => (
                "vhid-taken",
                "vhid already used on the physical interface",
                BOWS_OUT,
            ),
            Self::Reconfigured => ("reconfigured", "reconfigured", BOWS_OUT),
            Self::Destroyed => ("destroyed", "destroyed", BOWS_OUT),
            Self::MasterTimedOut => ("master-timed-out", "master timed out", SILENT),
            Self::MasterWillTimeOut => ("master-will-time-out", "master will time out", SILENT),
            Self::PreemptingSlowerMaster => (
                "preempting-slower-master",
                "preempting a slower master",
                SILENT,
            ),
            Self::PreemptingDemotedMaster => (
                "preempting-demoted-master",
                "preempting a demoted master",
                SILENT,
            ),
            Self::MoreFrequentAdvertisement => (
                "more-frequent-advertisement",
                "more frequent advertisement received",
                SILENT,
            ),
            Self::LessDemotedAdvertisement => (
                "less-demoted-advertisement",
                "less demoted advertisement received",
                SILENT,
            ),
            Self::EqualHigherAddress => (
                "equal-higher-address",
                "equal advertisement from a higher address received",
                SILENT,
            ),
            Self::Overslept => (
                "overslept",
                "was stopped for longer than a backup waits",
                SILENT,
            ),
            Self::Forced => ("forced", "user requested via ifconfig", BOWS_OUT),
            Self::Resumed => ("resumed", "resumed after a restart", SILENT),
        }
    }
}
