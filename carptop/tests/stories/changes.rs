//! What a key or a line at the prompt changes, and who may do it.

use carp_dbus::Change;
use carptop::{Effect, Msg, Request, Theme};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::common::{SECOND, Stage, firewall, healthy, transition};
use crate::{SIZE, change};

#[test]
fn a_change_is_asked_for_with_its_consequence_and_sent_after_yes_alone() {
    let mut stage = Stage::with(healthy(), SIZE);
    assert_eq!(stage.keys("b"), []);
    assert!(stage.screen().contains("force carp0 to BACKUP?"));
    assert!(stage.screen().contains("gives up 192.0.2.1 and 2 more"));
    assert_eq!(stage.keys("n"), []);
    assert!(stage.screen().contains("nothing changed"));
    stage.keys("b");
    assert_eq!(stage.press(KeyCode::Enter), []);
    stage.keys("b");
    let effects = stage.keys("y");
    let [Effect::Request(Request::Configure(name, changes))] = effects.as_slice() else {
        panic!("{effects:?}");
    };
    assert_eq!(name, "carp0");
    assert_eq!(format!("{:?}", changes.settings), r#"[State("BACKUP")]"#);
    stage.send(Msg::Done(Ok("carp0 changed".to_owned())));
    assert!(stage.screen().contains("carp0 changed"));
}

#[test]
fn taking_what_a_faster_host_has_is_said_not_to_last() {
    let mut stage = Stage::with(healthy(), SIZE);
    stage.keys("jm");
    assert!(
        stage.screen().contains("1/0 against 1/100"),
        "{}",
        stage.screen()
    );
}

#[test]
fn what_cannot_be_is_not_asked() {
    let mut stage = Stage::with(firewall(), SIZE);
    stage.keys("m");
    assert!(stage.screen().contains("carp0 is MASTER already"));
    stage.keys("u");
    assert!(stage.screen().contains("carp0 is up already"));
    stage.keys("jjb");
    assert!(stage.screen().contains("carp2 does not run"));
}

#[test]
fn a_refusal_is_shown() {
    let mut stage = Stage::with(healthy(), SIZE);
    stage.keys("dy");
    stage.send(Msg::Done(Err(
        "only root may change carp interfaces".to_owned()
    )));
    assert!(stage.screen().contains("only root may change"));
}

#[test]
fn who_is_not_root_reads_and_is_told_why() {
    let mut stage = Stage::of(Theme::of_tests(false, true), 1000, SIZE);
    stage.send(Msg::Snapshot(Box::new(healthy())));
    assert!(stage.screen().contains("read-only"));
    for key in ["u", "d", "m", "b", "p", ":"] {
        assert_eq!(stage.keys(key), []);
        assert!(
            stage
                .screen()
                .contains("only root may change carp interfaces, and you are user 1000")
        );
        stage.pass(11 * SECOND);
    }
    stage.keys("?");
    assert!(stage.screen().contains("(root)"));
}

#[test]
fn whom_polkit_allows_it_changes_things() {
    let mut stage = Stage::of(Theme::of_tests(false, true), 1000, SIZE);
    let allowed = carptop::Snapshot {
        allowed: true,
        ..healthy()
    };
    stage.send(Msg::Snapshot(Box::new(allowed)));
    assert!(!stage.screen().contains("read-only"));
    stage.keys("d");
    assert!(stage.screen().contains("carp0 down?"), "{}", stage.screen());
}

#[test]
fn preemption_is_turned_off_and_on() {
    let mut stage = Stage::with(healthy(), SIZE);
    stage.keys("p");
    assert!(stage.screen().contains("set net.inet.carp.preempt to 0?"));
    let order = Request::Sysctl("net.inet.carp.preempt".to_owned(), 0);
    assert_eq!(stage.keys("y"), [Effect::Request(order)]);
    change(
        &mut stage,
        Change::Sysctls([("Preempt".to_owned(), 0)].into()),
    );
    assert!(stage.screen().contains("preempt 0"));
}

#[test]
fn a_line_at_the_prompt_is_one_change() {
    let mut stage = Stage::with(healthy(), SIZE);
    stage.keys(":carp1 adv");
    stage.press(KeyCode::Tab);
    stage.keys("sk");
    stage.press(KeyCode::Tab);
    stage.keys("50 up");
    stage.press(KeyCode::Enter);
    assert!(
        stage.screen().contains("carp1 advskew 50 up?"),
        "{}",
        stage.screen()
    );
    let effects = stage.keys("y");
    assert!(
        matches!(effects.as_slice(), [Effect::Request(Request::Configure(name, _))] if name == "carp1"),
        "{effects:?}"
    );
    stage.keys(":");
    stage.press(KeyCode::Up);
    assert!(stage.screen().contains(":carp1 advskew 50 up"));
}

#[test]
fn a_password_at_the_prompt_is_neither_shown_nor_kept() {
    let mut stage = Stage::with(healthy(), SIZE);
    stage.keys(":carp1 pass geheim");
    assert!(!stage.screen().contains("geheim"));
    stage.press(KeyCode::Enter);
    assert!(!stage.screen().contains("geheim"));
    stage.keys("n:");
    stage.press(KeyCode::Up);
    assert!(!stage.screen().contains("carp1 pass"));
}

#[test]
fn ctrl_c_leaves_what_is_typed_and_then_carptop() {
    let control = |c| Msg::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL));
    for open in ["", "?", "b", "/x", ":x"] {
        let mut stage = Stage::with(healthy(), SIZE);
        stage.keys(open);
        assert_eq!(stage.send(control('l')), [Effect::Redraw], "{open}");
        assert_eq!(stage.send(control('z')), [Effect::Suspend], "{open}");
        let is_typed = !matches!(open, "" | "?");
        if is_typed {
            assert_eq!(stage.send(control('c')), [], "{open}");
        }
        assert_eq!(stage.send(control('c')), [Effect::Quit], "{open}");
    }
    let mut stage = Stage::with(healthy(), SIZE);
    assert_eq!(stage.send(Msg::End), [Effect::Quit]);
    assert_eq!(stage.keys("q"), [Effect::Quit]);
    assert_eq!(stage.keys(":q"), []);
    assert_eq!(stage.press(KeyCode::Enter), [Effect::Quit]);
}

#[test]
fn messages_leave_after_four_seconds() {
    let mut stage = Stage::with(healthy(), SIZE);
    stage.send(Msg::Done(Ok("carp0 changed".to_owned())));
    stage.pass(3 * SECOND);
    assert!(stage.screen().contains("carp0 changed"));
    stage.pass(SECOND);
    assert!(!stage.screen().contains("carp0 changed"));
}

#[test]
fn a_forced_state_that_is_lost_at_once_is_said_to_be_lost() {
    let mut stage = Stage::with(healthy(), SIZE);
    stage.keys("jmy");
    for (number, from, to, why) in [
        (9, "BACKUP", "MASTER", "forced by administrator"),
        (10, "MASTER", "BACKUP", "better master heard"),
    ] {
        let told = transition(number, stage.now, "carp1", from, to, why);
        change(&mut stage, Change::Event(told));
    }
    stage.send(Msg::Done(Ok("carp1 changed".to_owned())));
    let said = "carp1 was forced to MASTER and is BACKUP again: better master heard";
    assert!(stage.screen().contains(said), "{}", stage.screen());
}
