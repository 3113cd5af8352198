//! Changes of an interface on the screen.

use carp_dbus::{Change, InterfaceInfo};
use carptop::Msg;

use crate::common::{SECOND, Stage, healthy, interface, master, transition};
use crate::{SIZE, change, changed_state, line, place};

#[test]
fn takeover_is_shown_in_the_header() {
    let mut stage = Stage::with(healthy(), SIZE);
    assert!(line(&mut stage, "carp1").contains("B BACKUP"));
    stage.pass(SECOND);
    change(&mut stage, changed_state("carp1", "MASTER"));
    let event = transition(
        9,
        stage.now,
        "carp1",
        "BACKUP",
        "MASTER",
        "master timed out",
    );
    change(&mut stage, Change::Event(event));
    let screen = stage.screen();
    assert!(screen.contains("2 MASTER  0 BACKUP"), "{screen}");
    assert!(
        screen.contains("last change 12:04:08, 0s ago: carp1 BACKUP → MASTER"),
        "{screen}"
    );
}

#[test]
fn row_with_a_change_is_marked_for_three_seconds() {
    let mut stage = Stage::with(healthy(), SIZE);
    change(&mut stage, changed_state("carp1", "MASTER"));
    let background = |stage: &mut Stage| {
        let (x, y) = place(stage, "carp1 ");
        let terminal = stage.terminal();
        terminal.backend().buffer().cell((x, y)).map(|cell| cell.bg)
    };
    let marked = background(&mut stage);
    stage.pass(2 * SECOND);
    assert_eq!(background(&mut stage), marked);
    stage.pass(2 * SECOND);
    assert_ne!(background(&mut stage), marked);
}

#[test]
fn bar_shrinks_until_an_advertisement_is_heard() {
    let mut stage = Stage::with(healthy(), SIZE);
    let full = |stage: &mut Stage| line(stage, "B BACKUP").matches('━').count();
    let before = full(&mut stage);
    assert!(line(&mut stage, "B BACKUP").contains("1.2s"));
    stage.pass(SECOND);
    assert!(full(&mut stage) < before);
    assert!(line(&mut stage, "B BACKUP").contains("2.2s"));
    let mut heard = healthy().interfaces[1].clone();
    heard.master = Some(master("192.0.2.3", 0, stage.now));
    stage.send(Msg::Refreshed {
        interfaces: vec![heard],
        took: 1,
    });
    assert!(full(&mut stage) > before);
    assert!(line(&mut stage, "B BACKUP").contains("0.0s"));
}

#[test]
fn selection_stays_near_when_interfaces_come_and_go() {
    let mut stage = Stage::with(healthy(), SIZE);
    stage.keys("j");
    let added = InterfaceInfo {
        ..interface("carp2", "BACKUP", 9, "eth0")
    };
    change(&mut stage, Change::Added(Box::new(added)));
    assert!(line(&mut stage, "carp1").contains('▶'));
    change(&mut stage, Change::Removed("carp1".to_owned()));
    assert!(line(&mut stage, "carp2").contains('▶'));
    change(&mut stage, Change::Removed("carp2".to_owned()));
    assert!(line(&mut stage, "carp0  ").contains('▶'));
    change(&mut stage, Change::Removed("carp0".to_owned()));
    assert!(stage.screen().contains("no carp interface yet"));
}
