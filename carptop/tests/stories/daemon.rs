//! Requests to carpd, and the screen while carpd does not answer.

use carp_dbus::Change;
use carptop::{Effect, Msg, Request};

use crate::common::{SECOND, Stage, crowd, healthy, master};
use crate::{SIZE, change, line};

#[test]
fn screen_shows_old_data_until_carpd_is_back() {
    let mut stage = Stage::with(healthy(), SIZE);
    stage.pass(SECOND);
    stage.send(Msg::Disconnected("carpd is not running".to_owned()));
    stage.pass(20 * SECOND);
    let screen = stage.screen();
    assert!(
        screen.contains("! carpd is not running; data from 12:04:08"),
        "{screen}"
    );
    assert!(
        screen.contains("carp0") && screen.contains("not live"),
        "{screen}"
    );
    assert!(
        stage.pass(SECOND).is_empty(),
        "a request without a connection"
    );
    stage.send(Msg::Snapshot(Box::new(healthy())));
    assert!(stage.screen().contains("● live"));
}

#[test]
fn stuck_daemon_is_reported_and_does_not_freeze_the_screen() {
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
fn screen_without_carpd_shows_how_to_start_it_and_no_data() {
    for size in [(80, 24), SIZE] {
        let mut stage = Stage::new(size);
        stage.send(Msg::Disconnected("carpd is not running".to_owned()));
        stage.pass(3 * SECOND);
        let screen = stage.screen();
        assert!(screen.contains("systemctl start carpd"), "{screen}");
        for claim in ["data from", "no state has changed", "no events"] {
            assert!(!screen.contains(claim), "{screen}");
        }
    }
}

#[test]
fn list_is_read_once_per_second_and_the_rest_by_signals() {
    let mut stage = Stage::with(healthy(), SIZE);
    let mut lists = 0;
    for _ in 0..40 {
        for effect in stage.pass(SECOND / 4) {
            assert_eq!(effect, Effect::Request(Request::List));
            lists += 1;
            let mut interfaces = healthy().interfaces;
            interfaces[1].master = Some(master("192.0.2.3", 0, stage.now));
            interfaces[0].advertised = stage.now;
            stage.send(Msg::Listed {
                interfaces,
                took: 1_000,
            });
        }
    }
    assert!(lists <= 11, "{lists} lists in ten seconds");
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
fn costly_list_is_replaced_by_the_interfaces_on_the_screen() {
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
