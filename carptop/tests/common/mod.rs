//! Snapshots of an invented carpd, and a stage that shows them.

use carp_dbus::{
    AddressInfo, EventInfo, InterfaceInfo, MasterInfo, SuppressionInfo, SysctlInfo, TransitionInfo,
};
use carptop::{App, Effect, Msg, Setup, Snapshot, Theme, render};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use jiff::tz::TimeZone;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

/// One second in microseconds.
pub(crate) const SECOND: u64 = 1_000_000;

/// Time at the start of a story: 2026-11-23 12:04:07 UTC.
pub(crate) const NOW: u64 = 1_795_435_447 * SECOND;

/// Returns an interface with common properties.
pub(crate) fn interface(name: &str, state: &str, vhid: u8, device: &str) -> InterfaceInfo {
    let statistics = [
        "badauth", "badvhid", "ipackets", "opackets", "ostates", "preempt",
    ];
    InterfaceInfo {
        name: name.to_owned(),
        state: state.to_owned(),
        up: true,
        running: state != "INIT",
        vhid,
        advbase: 1,
        carpdev: device.to_owned(),
        lladdr: format!("00:00:5e:00:01:{vhid:02x}"),
        link_layer: "virtual".to_owned(),
        mtu: 1500,
        has_password: true,
        master_down_time: 3 * SECOND,
        advertised: if state == "MASTER" {
            NOW - SECOND * 3 / 10
        } else {
            0
        },
        statistics: statistics.map(|name| (name.to_owned(), 0)).into(),
        ..InterfaceInfo::default()
    }
}

/// Returns an address with its backing address.
pub(crate) fn address(address: &str, prefixlen: u8, backing: &str, flags: &str) -> AddressInfo {
    AddressInfo {
        address: address.to_owned(),
        prefixlen,
        backing: backing.to_owned(),
        flags: flags.to_owned(),
    }
}

/// Returns a master.
pub(crate) fn master(source: &str, advskew: u8, heard: u64) -> MasterInfo {
    MasterInfo {
        source: source.to_owned(),
        advbase: 1,
        advskew,
        heard,
    }
}

/// Returns the event of a change of state.
pub(crate) fn transition(
    number: u64,
    time: u64,
    name: &str,
    from: &str,
    to: &str,
    why: &str,
) -> EventInfo {
    let details = [("from", from), ("to", to)];
    EventInfo {
        number,
        time,
        interface: name.to_owned(),
        kind: "transition".to_owned(),
        text: format!("{name}: {from} -> {to} ({why})"),
        details: details
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
    }
}

/// Returns an event of another kind.
pub(crate) fn event(number: u64, time: u64, name: &str, kind: &str, text: &str) -> EventInfo {
    EventInfo {
        number,
        time,
        interface: name.to_owned(),
        kind: kind.to_owned(),
        text: text.to_owned(),
        ..EventInfo::default()
    }
}

fn last(event: &EventInfo, reason: &str) -> TransitionInfo {
    let detail = |name: &str| event.details.get(name).cloned().unwrap_or_default();
    TransitionInfo {
        time: event.time,
        from: detail("from"),
        to: detail("to"),
        reason: reason.to_owned(),
    }
}

/// Returns the sysctls of carpd.
pub(crate) fn sysctls() -> Vec<SysctlInfo> {
    [
        ("allow", 1),
        ("arpbalance", 0),
        ("log", 1),
        ("preempt", 1),
        ("suppress_preempt", 1),
    ]
    .map(|(name, value)| SysctlInfo {
        name: format!("net.inet.carp.{name}"),
        value,
        description: format!("Description of {name}."),
        writable: name != "suppress_preempt",
    })
    .to_vec()
}

/// Returns a host with four interfaces, one without carrier and one that hears bad packets.
pub(crate) fn firewall() -> Snapshot {
    let events = events();
    let interfaces = interfaces(&events);
    Snapshot {
        version: "0.3.1".to_owned(),
        interfaces,
        sysctls: sysctls(),
        suppressions: vec![SuppressionInfo {
            who: "eth2".to_owned(),
            why: "has no carrier".to_owned(),
            since: NOW - 16 * SECOND,
        }],
        events,
        allowed: false,
    }
}

fn events() -> Vec<EventInfo> {
    vec![
        transition(
            1,
            NOW - 3 * 3600 * SECOND,
            "carp0",
            "INIT",
            "BACKUP",
            "initialization complete",
        ),
        transition(
            2,
            NOW - 3 * 3600 * SECOND + 3 * SECOND,
            "carp0",
            "BACKUP",
            "MASTER",
            "master timed out",
        ),
        event(
            3,
            NOW - 37 * SECOND,
            "carp1",
            "bad-packet",
            "carp1: bad packet from 10.1.0.9: digest wrong (16 more held back)",
        ),
        transition(
            4,
            NOW - 16 * SECOND,
            "carp2",
            "MASTER",
            "INIT",
            "carrier lost",
        ),
        EventInfo {
            details: [
                ("from", "0"),
                ("to", "1"),
                ("cause", "eth2: has no carrier"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
            ..event(
                5,
                NOW - 16 * SECOND,
                "",
                "suppression",
                "net.inet.carp.suppress_preempt: 0 -> 1 (eth2: has no carrier)",
            )
        },
    ]
}

fn interfaces(events: &[EventInfo]) -> Vec<InterfaceInfo> {
    let carp0 = InterfaceInfo {
        effective_advskew: 240,
        demotion: 1,
        description: "the gateway".to_owned(),
        addresses: vec![
            address("192.0.2.1", 24, "192.0.2.2", "A"),
            address("192.0.2.100", 32, "192.0.2.2", "AO"),
            address("2001:db8::1", 64, "2001:db8::2", "A"),
        ],
        last_transition: events.get(1).map(|event| last(event, "master-timed-out")),
        statistics: [
            ("opackets", 10_803),
            ("ipackets", 12),
            ("badauth", 0),
            ("badvhid", 0),
        ]
        .map(|(name, count)| (name.to_owned(), count))
        .into(),
        ..interface("carp0", "MASTER", 1, "eth0")
    };
    let carp1 = InterfaceInfo {
        advskew: 100,
        effective_advskew: 240,
        addresses: vec![address("192.0.2.5", 24, "192.0.2.2", "")],
        master: Some(master("192.0.2.3", 0, NOW - SECOND * 6 / 5)),
        master_down_time: 3_390_625,
        statistics: [
            ("opackets", 0),
            ("ipackets", 10_800),
            ("badauth", 17),
            ("badvhid", 0),
        ]
        .map(|(name, count)| (name.to_owned(), count))
        .into(),
        ..interface("carp1", "BACKUP", 2, "eth0")
    };
    let carp2 = InterfaceInfo {
        addresses: vec![address("198.51.100.1", 24, "198.51.100.2", "")],
        last_transition: events.get(3).map(|event| last(event, "carrier-lost")),
        ..interface("carp2", "INIT", 3, "eth2")
    };
    let tenth = InterfaceInfo {
        up: false,
        addresses: vec![address("203.0.113.77", 24, "", "")],
        ..interface("carp10", "INIT", 10, "")
    };
    vec![carp0, carp1, carp2, tenth]
}

/// Returns a host with two interfaces and no trouble.
pub(crate) fn healthy() -> Snapshot {
    let mut snapshot = firewall();
    snapshot.interfaces.truncate(2);
    for info in &mut snapshot.interfaces {
        info.effective_advskew = info.advskew;
        info.demotion = 0;
    }
    snapshot.suppressions.clear();
    snapshot.events.retain(|event| event.interface == "carp0");
    snapshot
}

/// Returns a host with `count` interfaces on a few physical interfaces.
pub(crate) fn crowd(count: u16) -> Snapshot {
    let interfaces = (0..count).map(|unit| {
        let state = if unit % 3 == 0 { "MASTER" } else { "BACKUP" };
        let vhid = u8::try_from(unit % 255 + 1).unwrap_or(1);
        let [high, low] = unit.to_be_bytes();
        let mut info = interface(
            &format!("carp{unit}"),
            state,
            vhid,
            &format!("eth{}", unit / 255),
        );
        info.addresses = vec![address(&format!("10.{high}.{low}.1"), 24, "", "A")];
        if state == "BACKUP" {
            info.master = Some(master(
                "10.0.0.3",
                0,
                NOW - u64::from(unit % 30) * SECOND / 10,
            ));
        }
        info
    });
    Snapshot {
        interfaces: interfaces.collect(),
        events: Vec::new(),
        allowed: false,
        suppressions: Vec::new(),
        ..firewall()
    }
}

/// Program with a screen that keeps the last frame.
pub(crate) struct Stage {
    pub(crate) app: App,
    pub(crate) now: u64,
    pub(crate) size: (u16, u16),
}

impl Stage {
    /// Starts the program as root, at [`NOW`].
    pub(crate) fn new(size: (u16, u16)) -> Self {
        Self::of(Theme::for_tests(false, true), 0, size)
    }

    /// Starts the program as user `uid`, at [`NOW`].
    pub(crate) fn of(theme: Theme, uid: u32, size: (u16, u16)) -> Self {
        let mut stage = Self {
            app: App::new(Setup {
                theme,
                hostname: "fw1".to_owned(),
                zone: TimeZone::UTC,
                uid,
                interval: SECOND,
                filter: String::new(),
                size,
            }),
            now: NOW,
            size,
        };
        stage.pass(0);
        stage
    }

    /// Starts the program as root, connected to a carpd that publishes `snapshot`.
    pub(crate) fn with(snapshot: Snapshot, size: (u16, u16)) -> Self {
        let mut stage = Self::new(size);
        stage.send(Msg::Snapshot(Box::new(snapshot)));
        stage
    }

    /// Sends a message.
    pub(crate) fn send(&mut self, msg: Msg) -> Vec<Effect> {
        if let Msg::Resize(width, height) = msg {
            self.size = (width, height);
        }
        self.app.update(msg)
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, micros: u64) -> Vec<Effect> {
        self.now += micros;
        self.send(Msg::Tick(self.now))
    }

    /// Presses a key.
    pub(crate) fn press(&mut self, code: KeyCode) -> Vec<Effect> {
        self.send(Msg::Key(KeyEvent::new(code, KeyModifiers::NONE)))
    }

    /// Types text. Returns the effects of the last key.
    pub(crate) fn keys(&mut self, text: &str) -> Vec<Effect> {
        let effects = text.chars().map(|c| self.press(KeyCode::Char(c)));
        effects.last().unwrap_or_default()
    }

    /// Draws the screen. Returns its terminal.
    pub(crate) fn terminal(&mut self) -> Terminal<TestBackend> {
        let (width, height) = self.size;
        let Ok(mut terminal) = Terminal::new(TestBackend::new(width, height));
        let Ok(_) = terminal.draw(|frame| render(&mut self.app, frame));
        terminal
    }

    /// Draws the screen. Returns its lines.
    pub(crate) fn screen(&mut self) -> String {
        let terminal = self.terminal();
        let buffer = terminal.backend().buffer();
        let rows = buffer.content().chunks(usize::from(self.size.0));
        let lines = rows.map(|row| {
            let line: String = row.iter().map(ratatui::buffer::Cell::symbol).collect();
            line.trim_end().to_owned()
        });
        lines.collect::<Vec<_>>().join("\n") + "\n"
    }
}
