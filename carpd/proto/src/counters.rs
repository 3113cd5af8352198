//! The counters of `netstat -s -p carp`.

/// A counter, named as in `struct carpstats`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Counter {
    /// IPv4 packets of protocol 112 received.
    Ipackets,
    /// IPv6 packets of next header 112 received.
    Ipackets6,
    /// Packets received on a physical interface without carp interfaces.
    Badif,
    /// Packets with a TTL or hop limit other than 255.
    Badttl,
    /// Packets shorter than their IP header says.
    Hdrops,
    /// Packets with a wrong checksum.
    Badsum,
    /// Packets with a version other than 2.
    Badver,
    /// Packets shorter than a CARP header.
    Badlen,
    /// Packets with a wrong digest, our own advertisements that came back, and repetitions.
    Badauth,
    /// Packets for a vhid that no running virtual host has.
    Badvhid,
    /// Packets counted by `badauth` whose sender has our password and a different list of addresses.
    /// Only logged packets are examined.
    Badaddrs,
    /// IPv4 advertisements sent.
    Opackets,
    /// IPv6 advertisements sent.
    Opackets6,
    /// Advertisements that the kernel could not send for lack of memory.
    Onomem,
    /// Changes of state.
    Ostates,
    /// Times a virtual host preempted a slower or more demoted master.
    Preempt,
}

impl Counter {
    /// Every counter, in the order of `struct carpstats`.
    pub const ALL: [Self; 16] = [
        Self::Ipackets,
        Self::Ipackets6,
        Self::Badif,
        Self::Badttl,
        Self::Hdrops,
        Self::Badsum,
        Self::Badver,
        Self::Badlen,
        Self::Badauth,
        Self::Badvhid,
        Self::Badaddrs,
        Self::Opackets,
        Self::Opackets6,
        Self::Onomem,
        Self::Ostates,
        Self::Preempt,
    ];

    /// Name on the bus and in `carpctl netstat --json`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ipackets => "ipackets",
            Self::Ipackets6 => "ipackets6",
            Self::Badif => "badif",
            Self::Badttl => "badttl",
            Self::Hdrops => "hdrops",
            Self::Badsum => "badsum",
            Self::Badver => "badver",
            Self::Badlen => "badlen",
            Self::Badauth => "badauth",
            Self::Badvhid => "badvhid",
            Self::Badaddrs => "badaddrs",
            Self::Opackets => "opackets",
            Self::Opackets6 => "opackets6",
            Self::Onomem => "onomem",
            Self::Ostates => "ostates",
            Self::Preempt => "preempt",
        }
    }
}

/// A value for every [`Counter`], counted from zero since the start or the last reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters([u64; Counter::ALL.len()]);

impl Counters {
    /// Value of `counter`.
    #[must_use]
    pub fn of(&self, counter: Counter) -> u64 {
        self.0.get(counter as usize).copied().unwrap_or_default()
    }

    /// Every counter with its value, in the order of [`Counter::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Counter, u64)> + '_ {
        Counter::ALL.into_iter().zip(self.0)
    }

    /// Adds every counter of `other`.
    pub(crate) fn add(&mut self, other: &Self) {
        for (value, more) in self.0.iter_mut().zip(other.0) {
            *value = value.saturating_add(more);
        }
    }

    /// Undoes one [`raise`](Self::raise) for a packet that is counted elsewhere.
    pub(crate) fn take_back(&mut self, counter: Counter) {
        if let Some(value) = self.0.get_mut(counter as usize) {
            *value = value.saturating_sub(1);
        }
    }

    pub(crate) fn raise(&mut self, counter: Counter) {
        if let Some(value) = self.0.get_mut(counter as usize) {
            *value = value.saturating_add(1);
        }
    }
}
