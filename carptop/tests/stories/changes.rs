//! Changes by keys and by lines at the prompt, and the permission for them.

use carp_dbus::Change;
use carptop::{Effect, Msg, Request, Theme};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::common::{SECOND, Stage, firewall, healthy, transition};
use crate::{SIZE, change};

#[test]
fn change_is_sent_only_after_yes_to_its_consequence() {
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
    assert_eq!(
        format!("{:?}", changes.settings),
        r#"[Set(State("BACKUP"))]"#
    );
    stage.send(Msg::Done(Ok("carp0 changed".to_owned())));
    assert!(stage.screen().contains("carp0 changed"));
}

#[test]
fn question_names_a_faster_host_that_takes_over_again() {
    let mut stage = Stage::with(healthy(), SIZE);
    stage.keys("jm");
    assert!(
        stage.screen().contains("1/0 against 1/100"),
        "{}",
        stage.screen()
    );
}

#[test]
fn impossible_change_is_refused_without_a_question() {
    let mut stage = Stage::with(firewall(), SIZE);
    stage.keys("m");
    assert!(stage.screen().contains("carp0 is already MASTER"));
    stage.keys("u");
    assert!(stage.screen().contains("carp0 is already up"));
    stage.keys("jjb");
    assert!(stage.screen().contains("carp2 is in INIT"));
}

#[test]
fn refusal_of_carpd_is_shown() {
    let mut stage = Stage::with(healthy(), SIZE);
    stage.keys("dy");
    stage.send(Msg::Done(Err(
        "only root may change carp interfaces".to_owned()
    )));
    assert!(stage.screen().contains("only root may change"));
}

#[test]
fn user_without_authorisation_reads_only_and_sees_why() {
    let mut stage = Stage::of(Theme::for_tests(false, true), 1000, SIZE);
    stage.send(Msg::Snapshot(Box::new(healthy())));
    assert!(stage.screen().contains("read-only"));
    for key in ["u", "d", "m", "b", "p", ":"] {
        assert_eq!(stage.keys(key), []);
        assert!(
            stage
                .screen()
                .contains("changes require root or a polkit authorisation, and you are user 1000")
        );
        stage.pass(11 * SECOND);
    }
    stage.keys("?");
    assert!(stage.screen().contains("(root)"));
}

#[test]
fn user_with_authorisation_can_change_things() {
    let mut stage = Stage::of(Theme::for_tests(false, true), 1000, SIZE);
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
fn preemption_is_toggled() {
    let mut stage = Stage::with(healthy(), SIZE);
    stage.keys("p");
    assert!(stage.screen().contains("set net.inet.carp.preempt to 0?"));
    let request = Request::Sysctl("net.inet.carp.preempt".to_owned(), 0);
    assert_eq!(stage.keys("y"), [Effect::Request(request)]);
    change(
        &mut stage,
        Change::Sysctls([("Preempt".to_owned(), 0)].into()),
    );
    assert!(stage.screen().contains("preempt 0"));
}

#[test]
fn line_at_the_prompt_is_one_change() {
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
fn password_at_the_prompt_is_neither_shown_nor_kept() {
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
fn ctrl_c_leaves_a_line_or_question_first_then_carptop() {
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
fn message_disappears_after_four_seconds() {
    let mut stage = Stage::with(healthy(), SIZE);
    stage.send(Msg::Done(Ok("carp0 changed".to_owned())));
    stage.pass(3 * SECOND);
    assert!(stage.screen().contains("carp0 changed"));
    stage.pass(SECOND);
    assert!(!stage.screen().contains("carp0 changed"));
}

#[test]
fn forced_state_that_is_lost_at_once_is_reported() {
    let mut stage = Stage::with(healthy(), SIZE);
    stage.keys("jmy");
    for (number, from, to, why) in [
        (9, "BACKUP", "MASTER", "forced by administrator"),
        (10, "MASTER", "BACKUP", "better master heard"),
    ] {
        let event = transition(number, stage.now, "carp1", from, to, why);
        change(&mut stage, Change::Event(event));
    }
    stage.send(Msg::Done(Ok("carp1 changed".to_owned())));
    let message = "carp1: forced to MASTER, but BACKUP again: better master heard";
    assert!(stage.screen().contains(message), "{}", stage.screen());
}
