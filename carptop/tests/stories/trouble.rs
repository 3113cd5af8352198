//! Troubles on the screen: when they appear and disappear.

use carp_dbus::Change;
use carptop::Msg;

use crate::common::{NOW, SECOND, Stage, event, firewall, healthy};
use crate::{SIZE, change, line};

#[test]
fn silent_master_empties_the_bar_and_becomes_a_trouble() {
    let mut stage = Stage::with(healthy(), SIZE);
    let wait = |stage: &mut Stage, seconds| {
        for _ in 0..seconds {
            if !stage.pass(SECOND).is_empty() {
                let interfaces = healthy().interfaces;
                stage.send(Msg::Listed {
                    interfaces,
                    took: 1,
                });
            }
        }
    };
    wait(&mut stage, 4);
    assert_eq!(line(&mut stage, "B BACKUP").matches('━').count(), 0);
    assert!(stage.screen().contains("nothing wrong"));
    wait(&mut stage, 10);
    assert!(
        stage.screen().contains("no master heard"),
        "{}",
        stage.screen()
    );
}

#[test]
fn second_master_and_bad_digest_are_troubles_for_a_while() {
    let mut stage = Stage::with(healthy(), SIZE);
    let two = "carp0: 192.0.2.9 is MASTER too; this host stays";
    change(
        &mut stage,
        Change::Event(event(7, NOW, "carp0", "two-masters", two)),
    );
    let bad = "carp1: bad packet from 192.0.2.8: digest wrong";
    change(
        &mut stage,
        Change::Event(event(8, NOW, "carp1", "bad-packet", bad)),
    );
    let screen = stage.screen();
    assert!(
        screen.contains("! carp0: 192.0.2.9 is MASTER too"),
        "{screen}"
    );
    assert!(
        screen.contains("! carp1: bad packet from 192.0.2.8"),
        "{screen}"
    );
    stage.pass(61 * SECOND);
    assert!(!stage.screen().contains("! carp1: bad packet"));
}

#[test]
fn second_master_is_a_trouble_unless_it_yields() {
    let mut stage = Stage::with(healthy(), SIZE);
    let heard = |stage: &mut Stage, count| {
        stage.pass(SECOND);
        let mut interfaces = healthy().interfaces;
        for info in &mut interfaces {
            info.statistics.insert("ipackets".to_owned(), count);
            info.last_transition = info
                .last_transition
                .take()
                .map(|last| carp_dbus::TransitionInfo { time: NOW, ..last });
        }
        stage.send(Msg::Listed {
            interfaces,
            took: 1,
        });
    };
    heard(&mut stage, 10);
    heard(&mut stage, 11);
    assert!(
        stage.screen().contains("nothing wrong"),
        "{}",
        stage.screen()
    );
    heard(&mut stage, 12);
    assert!(
        stage
            .screen()
            .contains("! carp0: another master advertises"),
        "{}",
        stage.screen()
    );
}

#[test]
fn growing_counter_shows_bad_packets_without_an_event() {
    let mut stage = Stage::with(healthy(), SIZE);
    let mut interfaces = healthy().interfaces;
    interfaces[0].statistics.insert("badauth".to_owned(), 3);
    stage.pass(SECOND);
    stage.send(Msg::Listed {
        interfaces,
        took: 1,
    });
    assert!(
        line(&mut stage, "carp0  ").contains("3 !"),
        "{}",
        stage.screen()
    );
}

#[test]
fn key_selects_the_next_trouble() {
    let mut stage = Stage::with(firewall(), SIZE);
    stage.keys("!");
    assert!(line(&mut stage, "! carp1  ").contains('▶'));
    stage.keys("!");
    assert!(line(&mut stage, "! carp2  ").contains('▶'));
    stage.keys("!");
    assert!(line(&mut stage, "! carp0  ").contains('▶'));
}
