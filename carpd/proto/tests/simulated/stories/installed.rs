//! Settings of a configuration file: only differences change anything.

use carp_proto::{
    Answer, Change, DeviceName, ForcedState, Refusal, RefusalKind, Request, Settings, StateName,
    VirtualAddress,
};

use super::{headers, pair, seconds};
use crate::segment::Segment;

/// Installs `settings` as carp0 on host a.
fn install(segment: &mut Segment, settings: Settings) -> Result<Answer, Refusal> {
    let request = Request::Install {
        unit: "carp0".parse().unwrap(),
        settings: Box::new(settings),
    };
    segment.request(0, &request)
}

/// Settings of carp0 on host a.
fn settings(segment: &Segment) -> Settings {
    let unit = "carp0".parse().unwrap();
    segment.engine("a").settings(unit).unwrap().clone()
}

#[test]
fn install_of_the_present_settings_changes_nothing() {
    let mut segment = pair();
    let (same, before) = (settings(&segment), segment.status("a", "carp0"));
    segment.sent.clear();
    install(&mut segment, same).unwrap();
    assert_eq!(segment.status("a", "carp0"), before);
    assert_eq!(headers(&segment, 0).count(), 0);
    segment.run(seconds(10));
    assert_eq!(segment.log(), [""; 0]);
}

#[test]
fn install_of_other_settings_keeps_a_master() {
    let mut segment = pair();
    let mut other = settings(&segment);
    other.advskew = 7_u64.try_into().unwrap();
    other.description = "outside".to_owned();
    install(&mut segment, other.clone()).unwrap();
    assert_eq!(settings(&segment), other);
    segment.run(seconds(10));
    assert_eq!(segment.log(), [""; 0]);
}

#[test]
fn install_waits_for_a_missing_physical_interface() {
    let mut segment = Segment::new(["a"]);
    segment.pull_out("a", true);
    let unit = "carp0".parse().unwrap();
    let changes = vec![
        Change::Vhid(1_u64.try_into().unwrap()),
        Change::AddAddress(VirtualAddress {
            address: [198, 51, 100, 1].into(),
            prefix: 24,
        }),
        Change::Carpdev(DeviceName::new("eth0")),
    ];
    let settings = Settings::configured(unit, &changes).unwrap();
    install(&mut segment, settings).unwrap();
    segment.run(seconds(10));
    assert_eq!(segment.status("a", "carp0").state, StateName::Init);
    // An administrator is told at once.
    let unit = Some("carp1".parse().unwrap());
    let refusal = segment.request(0, &Request::Create { unit, changes });
    assert_eq!(refusal.unwrap_err().kind, RefusalKind::NoDevice);

    segment.pull_out("a", false);
    segment.run(seconds(10));
    assert_eq!(segment.status("a", "carp0").state, StateName::Master);
}

#[test]
fn install_refuses_a_state() {
    let state = [Change::State(ForcedState::Master)];
    let refusal = Settings::configured("carp0".parse().unwrap(), &state).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::InvalidArgument);
}
