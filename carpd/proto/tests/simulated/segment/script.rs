//! Events that a test causes on a segment.

use std::time::Duration;

use carp_proto::{
    Answer, Engine, IfIndex, Input, Link, Refusal, Request, RequestId, SavedState, Sysctl,
};

use super::{ETH0, Segment, host, ifconfig, observer};

impl Segment {
    /// Lets time pass.
    pub(crate) fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(next) = self.next().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.step();
            self.hosts.iter_mut().for_each(|host| host.observer.judge());
        }
        self.now = end;
    }

    /// Runs a command line such as `carp0 vhid 1 pass secret 192.0.2.100/24`. It creates the interface if it
    /// does not exist. `carp0 destroy` destroys it.
    pub(crate) fn ifconfig(&mut self, name: &str, line: &str) -> Result<Answer, Refusal> {
        let host = self.index(name);
        let request = ifconfig::request(&self.hosts[host].units(), line);
        self.request(host, &request)
    }

    /// Runs a command line on all hosts, where it must succeed.
    pub(crate) fn ifconfig_all(&mut self, line: &str) {
        for name in self.names() {
            self.ifconfig(name, line).unwrap();
        }
    }

    pub(crate) fn sysctl(&mut self, name: &str, sysctl: Sysctl, value: u64) {
        let host = self.index(name);
        self.request(host, &Request::Set(sysctl, value)).unwrap();
    }

    pub(crate) fn request(&mut self, host: usize, request: &Request) -> Result<Answer, Refusal> {
        self.hosts[host].observer.judge();
        self.entries += 1;
        let id = RequestId(self.entries);
        self.handle(host, Input::Request(id, request.clone()));
        let answer = self.answers.remove(&id).unwrap();
        self.hosts[host].observer.answered(request, &answer);
        answer
    }

    /// Makes the kernel refuse an address.
    pub(crate) fn refuse(&mut self, name: &str, unit: &str, address: &str) {
        let input = Input::Refused {
            unit: unit.parse().unwrap(),
            address: Some(address.parse().unwrap()),
            error: "no room".to_owned(),
        };
        self.handle(self.index(name), input);
    }

    /// Makes the kernel accept an address that it refused.
    pub(crate) fn grant(&mut self, name: &str, unit: &str, address: &str) {
        let input = Input::Granted {
            unit: unit.parse().unwrap(),
            address: Some(address.parse().unwrap()),
        };
        self.handle(self.index(name), input);
    }

    /// Plugs or pulls a cable.
    pub(crate) fn carrier(&mut self, name: &str, wire: IfIndex, carrier: bool) {
        let host = self.index(name);
        let link = self.hosts[host].links.get_mut(&wire).unwrap();
        link.carrier = carrier;
        let link = link.clone();
        if !self.hosts[host].pulled_out {
            self.handle(host, Input::Link(link));
        }
    }

    /// Changes an interface in any way.
    pub(crate) fn relink(&mut self, name: &str, change: impl FnOnce(&mut Link)) {
        let host = self.index(name);
        let link = self.hosts[host].links.get_mut(&ETH0).unwrap();
        change(link);
        let link = link.clone();
        if !self.hosts[host].pulled_out {
            self.handle(host, Input::Link(link));
        }
    }

    /// Pulls an interface out of a host, or puts it back.
    pub(crate) fn pull_out(&mut self, name: &str, out: bool) {
        let host = self.index(name);
        self.hosts[host].pulled_out = out;
        if out {
            self.handle(host, Input::LinkGone(ETH0));
        } else {
            self.relink(name, |_| {});
        }
    }

    /// Stops frames of `from` to `to`, or lets them pass again.
    pub(crate) fn cut(&mut self, from: &str, to: &str, cut: bool) {
        let pair = (self.index(from), self.index(to));
        if cut {
            self.cuts.insert(pair);
        } else {
            self.cuts.remove(&pair);
        }
    }

    /// Stops frames of one type of `from` to `to`.
    pub(crate) fn cut_ethertype(&mut self, from: &str, to: &str, ethertype: u16) {
        let cut = (self.index(from), self.index(to), ethertype);
        self.cut_ethertypes.insert(cut);
    }

    /// Stops all frames between two hosts, or lets them pass again.
    pub(crate) fn cut_both(&mut self, one: &str, other: &str, cut: bool) {
        self.cut(one, other, cut);
        self.cut(other, one, cut);
    }

    /// The power fails: the host sends nothing, and its kernel loses everything.
    pub(crate) fn crash(&mut self, name: &str) {
        let host = self.index(name);
        self.hosts[host].kernel = host::Kernel::default();
        self.kill(name);
    }

    /// carpd dies: the kernel keeps the addresses as long as their leases last.
    pub(crate) fn kill(&mut self, name: &str) {
        let host = self.index(name);
        self.hosts[host].engine = None;
        self.hosts[host].attached.clear();
        self.hosts[host].arp.clear();
        self.agenda.retain(|_, (whose, _)| *whose != host);
    }

    /// Saved state of carpd, on a disk that is fast enough.
    pub(crate) fn saved(&mut self, name: &str) -> SavedState {
        let host = self.index(name);
        let now = self.now(host);
        let host = &mut self.hosts[host];
        if let Some(engine) = &mut host.engine {
            let unsaved = engine.take_unsaved(now);
            host.saved.update(unsaved);
        }
        host.saved.clone()
    }

    /// Starts carpd again after it was killed, with its saved state and the addresses that the kernel still
    /// has.
    pub(crate) fn restart(&mut self, name: &str, saved: SavedState) {
        let host = self.index(name);
        let leases = self.hosts[host].kernel.found(&saved, self.now);
        // The observer does not notice the restart, so no counter may come again.
        let observer = std::mem::take(&mut self.hosts[host].observer);
        self.boot(host);
        self.hosts[host].observer = observer;
        self.handle(
            host,
            Input::Resume {
                saved,
                leases: &leases,
            },
        );
    }

    /// Starts a crashed host without configuration.
    pub(crate) fn boot(&mut self, host: usize) {
        self.hosts[host].engine = Some(Engine::new());
        self.hosts[host].observer = observer::Observer::default();
        let links: Vec<_> = if self.hosts[host].pulled_out {
            Vec::new()
        } else {
            self.hosts[host].links.values().cloned().collect()
        };
        for link in links {
            self.handle(host, Input::Link(link));
        }
    }

    /// Freezes carpd, or lets it continue. Timers that expire meanwhile are late, and frames are lost. A
    /// request is its first input when it continues.
    pub(crate) fn freeze(&mut self, name: &str, frozen: bool) {
        let host = self.index(name);
        self.hosts[host].frozen = frozen;
    }

    /// Sets the wall clock of a host to an offset in microseconds.
    pub(crate) fn step_clock(&mut self, name: &str, offset: i64) {
        let host = self.index(name);
        self.hosts[host].clock_offset = offset;
        let clock = self.hosts[host].clock(self.now);
        self.hosts[host].observer.clock_was_set(clock);
    }

    /// Makes the kernel of a host refuse frames, or accept them again.
    pub(crate) fn mute(&mut self, name: &str, mute: bool) {
        let host = self.index(name);
        self.hosts[host].mute = mute;
    }

    /// Delivers a frame of a sender outside of the segment.
    pub(crate) fn inject(&mut self, name: &str, frame: &[u8]) {
        let host = self.index(name);
        self.handle(
            host,
            Input::Packet {
                device: ETH0,
                frame,
            },
        );
    }
}
