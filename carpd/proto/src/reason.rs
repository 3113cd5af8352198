//! Why a virtual host changes its state.

/// Why a virtual host changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Everything that is needed is there: INIT → BACKUP.
    BecameRunnable,
    /// `down`, or not yet `up`.
    AdministrativelyDown,
    /// No vhid.
    NoVhid,
    /// No address.
    NoAddress,
    /// No physical interface, or it is gone.
    NoDevice,
    /// The physical interface is down.
    DeviceDown,
    /// The physical interface has no carrier.
    CarrierLost,
    /// The kernel refused the carp device.
    DeviceRefused,
    /// Another carp interface has this vhid on the same physical interface.
    VhidTaken,
    /// Something that identifies the group (vhid, carpdev, lladdr) changed.
    Reconfigured,
    /// Destroyed, or carpd stops.
    Destroyed,
    /// BACKUP → MASTER: nothing heard for the master-down time.
    MasterTimedOut,
    /// BACKUP → MASTER: a bow-out, or a master too slow to be waited for.
    MasterWillTimeOut,
    /// BACKUP → MASTER: `preempt`.
    PreemptingSlowerMaster,
    /// BACKUP → MASTER: the master is demoted more than we are.
    PreemptingDemotedMaster,
    /// MASTER → BACKUP: somebody advertises more often.
    MoreFrequentAdvertisement,
    /// MASTER → BACKUP: somebody is demoted less than we are.
    LessDemotedAdvertisement,
    /// MASTER → BACKUP: an equal one with a higher address.
    EqualHigherAddress,
    /// MASTER → BACKUP: we were stopped for longer than a backup waits.
    Overslept,
    /// `state master|backup`.
    Forced,
    /// INIT → MASTER: the carpd before was MASTER, and the kernel still has its addresses.
    Resumed,
}

impl Reason {
    /// The reason as BSD's kernels word it where they do.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::BecameRunnable => "initialization complete",
            Self::AdministrativelyDown => "administratively down",
            Self::NoVhid => "no vhid set",
            Self::NoAddress => "no address set",
            Self::NoDevice => "no physical interface",
            Self::DeviceDown => "hardware interface down",
            Self::CarrierLost => "carrier lost",
            Self::DeviceRefused => "the kernel refused the device",
            Self::VhidTaken => "vhid already used on the physical interface",
            Self::Reconfigured => "reconfigured",
            Self::Destroyed => "destroyed",
            Self::MasterTimedOut => "master timed out",
            Self::MasterWillTimeOut => "master will time out",
            Self::PreemptingSlowerMaster => "preempting a slower master",
            Self::PreemptingDemotedMaster => "preempting a demoted master",
            Self::MoreFrequentAdvertisement => "more frequent advertisement received",
            Self::LessDemotedAdvertisement => "less demoted advertisement received",
            Self::EqualHigherAddress => "equal advertisement from a higher address received",
            Self::Overslept => "was stopped for longer than a backup waits",
            Self::Forced => "user requested via ifconfig",
            Self::Resumed => "resumed after a restart",
        }
    }

    /// Whether a MASTER that leaves for this reason tells its backups to take over at once.
    pub(crate) const fn bows_out(self) -> bool {
        match self {
            Self::AdministrativelyDown
            | Self::NoVhid
            | Self::NoAddress
            | Self::DeviceRefused
            | Self::VhidTaken
            | Self::Reconfigured
            | Self::Destroyed
            | Self::Forced => true,
            Self::BecameRunnable
            | Self::NoDevice
            | Self::DeviceDown
            | Self::CarrierLost
            | Self::MasterTimedOut
            | Self::MasterWillTimeOut
            | Self::PreemptingSlowerMaster
            | Self::PreemptingDemotedMaster
            | Self::MoreFrequentAdvertisement
            | Self::LessDemotedAdvertisement
            | Self::EqualHigherAddress
            | Self::Overslept
            | Self::Resumed => false,
        }
    }

    /// The reason as one word, on the bus: `master-timed-out`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::BecameRunnable => "became-runnable",
            Self::AdministrativelyDown => "administratively-down",
            Self::NoVhid => "no-vhid",
            Self::NoAddress => "no-address",
            Self::NoDevice => "no-device",
            Self::DeviceDown => "device-down",
            Self::CarrierLost => "carrier-lost",
            Self::DeviceRefused => "device-refused",
            Self::VhidTaken => "vhid-taken",
            Self::Reconfigured => "reconfigured",
            Self::Destroyed => "destroyed",
            Self::MasterTimedOut => "master-timed-out",
            Self::MasterWillTimeOut => "master-will-time-out",
            Self::PreemptingSlowerMaster => "preempting-slower-master",
            Self::PreemptingDemotedMaster => "preempting-demoted-master",
            Self::MoreFrequentAdvertisement => "more-frequent-advertisement",
            Self::LessDemotedAdvertisement => "less-demoted-advertisement",
            Self::EqualHigherAddress => "equal-higher-address",
            Self::Overslept => "overslept",
            Self::Forced => "forced",
            Self::Resumed => "resumed",
        }
    }
}
