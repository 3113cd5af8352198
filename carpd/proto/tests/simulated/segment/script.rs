//! What a test makes happen on a segment.

use std::time::Duration;

use carp_proto::{
    Answer, Engine, IfIndex, Input, Link, Memory, Refusal, Request, RequestId, Sysctl,
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

    /// A command line such as `carp0 vhid 1 pass secret 192.0.2.100/24`; the interface is created
    /// if it is not there, and destroyed with `carp0 destroy`.
    pub(crate) fn ifconfig(&mut self, name: &str, line: &str) -> Result<Answer, Refusal> {
        let host = self.index(name);
        let request = ifconfig::request(&self.hosts[host].units(), line);
        self.request(host, &request)
    }

    /// The same on all hosts, where it must succeed.
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

    /// The kernel refuses an address of what it is about to do.
    pub(crate) fn refuse(&mut self, name: &str, unit: &str, address: &str) {
        let input = Input::Refused {
            unit: unit.parse().unwrap(),
            address: Some(address.parse().unwrap()),
            error: "no room".to_owned(),
        };
        self.handle(self.index(name), input);
    }

    /// The kernel has an address that it refused.
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

    /// Pulls a whole interface out of a host, or puts it back.
    pub(crate) fn pull_out(&mut self, name: &str, out: bool) {
        let host = self.index(name);
        self.hosts[host].pulled_out = out;
        if out {
            self.handle(host, Input::LinkGone(ETH0));
        } else {
            self.relink(name, |_| {});
        }
    }

    /// No frame of `from` reaches `to`, or all do again.
    pub(crate) fn cut(&mut self, from: &str, to: &str, cut: bool) {
        let pair = (self.index(from), self.index(to));
        if cut {
            self.cuts.insert(pair);
        } else {
            self.cuts.remove(&pair);
        }
    }

    /// No frame of `from` of this kind reaches `to`.
    pub(crate) fn cut_ethertype(&mut self, from: &str, to: &str, ethertype: u16) {
        let cut = (self.index(from), self.index(to), ethertype);
        self.cut_ethertypes.insert(cut);
    }

    /// Neither hears the other, or both do again.
    pub(crate) fn cut_both(&mut self, one: &str, other: &str, cut: bool) {
        self.cut(one, other, cut);
        self.cut(other, one, cut);
    }

    /// The power fails: nothing is said any more, and nothing is left in the kernel.
    pub(crate) fn crash(&mut self, name: &str) {
        let host = self.index(name);
        self.hosts[host].kernel = host::Kernel::default();
        self.kill(name);
    }

    /// The daemon alone dies: the kernel keeps what it has, for as long as the leases last.
    pub(crate) fn kill(&mut self, name: &str) {
        let host = self.index(name);
        self.hosts[host].engine = None;
        self.hosts[host].attached.clear();
        self.hosts[host].arp.clear();
        self.agenda.retain(|_, (whose, _)| *whose != host);
    }

    /// What the daemon has saved until now, if the disk is always fast enough.
    pub(crate) fn saved(&mut self, name: &str) -> Memory {
        let host = self.index(name);
        let now = self.now(host);
        let host = &mut self.hosts[host];
        if let Some(engine) = &mut host.engine {
            let unsaved = engine.take_unsaved(now);
            host.saved.update(unsaved);
        }
        host.saved.clone()
    }

    /// A daemon that was killed starts again with what was saved, and what the kernel still has.
    pub(crate) fn restart(&mut self, name: &str, memory: Memory) {
        let host = self.index(name);
        let leases = self.hosts[host].kernel.found(&memory, self.now);
        // Whoever watches the wire does not know of the restart: no counter may come again.
        let observer = std::mem::take(&mut self.hosts[host].observer);
        self.boot(host);
        self.hosts[host].observer = observer;
        self.handle(
            host,
            Input::Resume {
                memory,
                leases: &leases,
            },
        );
    }

    /// A crashed host comes back, without any configuration.
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

    /// The whole daemon stands still, or goes on. Timers that ran out meanwhile are late, frames
    /// are lost, and a request is the first thing that it wakes up to.
    pub(crate) fn freeze(&mut self, name: &str, frozen: bool) {
        let host = self.index(name);
        self.hosts[host].frozen = frozen;
    }

    /// Somebody sets a host's wall clock: microseconds from what it should be.
    pub(crate) fn step_clock(&mut self, name: &str, offset: i64) {
        let host = self.index(name);
        self.hosts[host].clock_offset = offset;
        let clock = self.hosts[host].clock(self.now);
        self.hosts[host].observer.clock_was_set(clock);
    }

    /// The host's kernel takes no frame any more, or does again.
    pub(crate) fn mute(&mut self, name: &str, mute: bool) {
        let host = self.index(name);
        self.hosts[host].mute = mute;
    }

    /// A frame of somebody who is no host here.
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
