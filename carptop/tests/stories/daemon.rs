//! What carpd is asked, and what is shown while it does not answer.

use carp_dbus::Change;
use carptop::{Effect, Msg, Request};

use crate::common::{SECOND, Stage, crowd, healthy, master};
use crate::{SIZE, change, line};

#[test]
fn the_daemon_is_lost_and_found() {
    let mut stage = Stage::with(healthy(), SIZE);
    stage.pass(SECOND);
    stage.send(Msg::Disconnected("carpd is not running".to_owned()));
    stage.pass(20 * SECOND);
    let screen = stage.screen();
    assert!(
        screen.contains("! carpd is not running; this is the picture of 12:04:08"),
        "{screen}"
    );
    assert!(
        screen.contains("carp0") && screen.contains("not live"),
        "{screen}"
    );
    assert!(stage.pass(SECOND).is_empty(), "nothing is asked of nobody");
    stage.send(Msg::Snapshot(Box::new(healthy())));
    assert!(stage.screen().contains("● live"));
}

#[test]
fn a_stuck_daemon_does_not_freeze_the_screen_and_is_said_to_be_stuck() {
    let mut stage = Stage::with(healthy(), SIZE);
    assert_eq!(stage.pass(SECOND), [Effect::Request(Request::List)]);
    assert_eq!(stage.pass(SECOND), []);
    stage.pass(2 * SECOND);
    assert!(
        stage.screen().contains("carpd does not answer"),
        "{}",
        stage.screen()
    );
    stage.keys("j");
    assert!(line(&mut stage, "carp1").contains('▶'), "keys work");
    stage.send(Msg::ReadFailed("carpd does not answer".to_owned()));
    assert!(stage.screen().contains("not live"));
    stage.pass(SECOND);
    stage.send(Msg::Listed {
        interfaces: healthy().interfaces,
        took: 1,
    });
    assert!(stage.screen().contains("● live"));
}

#[test]
fn without_carpd_the_screen_says_how_to_start_it_and_shows_no_picture() {
    for size in [(80, 24), SIZE] {
        let mut stage = Stage::new(size);
        stage.send(Msg::Disconnected("carpd is not running".to_owned()));
        stage.pass(3 * SECOND);
        let screen = stage.screen();
        assert!(screen.contains("systemctl start carpd"), "{screen}");
        for claim in ["picture of", "no state has changed", "nothing has happened"] {
            assert!(!screen.contains(claim), "{screen}");
        }
    }
}

#[test]
fn what_is_signalled_is_not_asked_for() {
    let mut stage = Stage::with(healthy(), SIZE);
    let mut asked = 0;
    for _ in 0..40 {
        for effect in stage.pass(SECOND / 4) {
            assert_eq!(effect, Effect::Request(Request::List));
            asked += 1;
            let mut interfaces = healthy().interfaces;
            interfaces[1].master = Some(master("192.0.2.3", 0, stage.now));
            interfaces[0].advertised = stage.now;
            stage.send(Msg::Listed {
                interfaces,
                took: 1_000,
            });
        }
    }
    assert!(asked <= 11, "{asked} lists in ten seconds");
    let suppressed = Change::Sysctls([("SuppressPreempt".to_owned(), 1)].into());
    assert_eq!(
        change(&mut stage, suppressed),
        [Effect::Request(Request::Suppressions)]
    );
    assert_eq!(
        change(&mut stage, Change::Lost),
        [Effect::Request(Request::ReadAll)]
    );
}

#[test]
fn of_a_crowd_only_the_screen_is_looked_at_often() {
    let mut stage = Stage::with(crowd(4000), SIZE);
    stage.pass(SECOND);
    stage.send(Msg::Listed {
        interfaces: crowd(4000).interfaces,
        took: 200_000,
    });
    let effects = stage.pass(SECOND);
    let [Effect::Request(Request::Refresh(names))] = effects.as_slice() else {
        panic!("{effects:?}");
    };
    assert!(
        names.len() < 40 && names.contains(&"carp0".to_owned()),
        "{names:?}"
    );
}
