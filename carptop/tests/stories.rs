//! What happens on the screen when something happens, told as messages.
#![expect(clippy::expect_used, reason = "a test may fail")]

mod common;

use std::collections::HashMap;

use carp_dbus::{Change, InterfaceInfo};
use carptop::{Effect, Msg, Order, Theme};
use common::{NOW, SECOND, Stage, crowd, event, firewall, healthy, interface, master, transition};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};

const SIZE: (u16, u16) = (120, 40);

fn change(stage: &mut Stage, change: Change) -> Vec<Effect> {
    stage.send(Msg::Change(Box::new(change)))
}

fn changed_state(name: &str, state: &str) -> Change {
    Change::Properties {
        name: name.to_owned(),
        changed: HashMap::from([(
            "State".to_owned(),
            zbus::Variant::from(state.to_owned())
                .try_into_owned()
                .expect("a string"),
        )]),
    }
}

/// The line of the screen that has `word`, or nothing.
fn line(stage: &mut Stage, word: &str) -> String {
    let screen = stage.screen();
    screen
        .lines()
        .find(|line| line.contains(word))
        .unwrap_or_default()
        .to_owned()
}

fn click(stage: &mut Stage, column: u16, row: u16) {
    stage.send(Msg::Mouse(MouseEvent {
        kind: MouseEventKind::Down(MouseButton::Left),
        column,
        row,
        modifiers: KeyModifiers::NONE,
    }));
}

/// Where `word` is on the screen.
fn place(stage: &mut Stage, word: &str) -> (u16, u16) {
    let screen = stage.screen();
    let found = screen.lines().enumerate().find_map(|(y, line)| {
        let byte = line.find(word)?;
        Some((line[..byte].chars().count(), y))
    });
    let (x, y) = found.expect("it is on the screen");
    (
        u16::try_from(x).expect("small"),
        u16::try_from(y).expect("small"),
    )
}

#[test]
fn a_backup_takes_over_and_the_first_lines_say_so() {
    let mut stage = Stage::with(healthy(), SIZE);
    assert!(line(&mut stage, "carp1").contains("B BACKUP"));
    stage.pass(SECOND);
    change(&mut stage, changed_state("carp1", "MASTER"));
    let told = transition(
        9,
        stage.now,
        "carp1",
        "BACKUP",
        "MASTER",
        "master timed out",
    );
    change(&mut stage, Change::Event(told));
    let screen = stage.screen();
    assert!(screen.contains("2 MASTER  0 BACKUP"), "{screen}");
    assert!(
        screen.contains("last change 12:04:08, 0s ago: carp1 BACKUP → MASTER"),
        "{screen}"
    );
}

#[test]
fn a_row_that_changed_is_marked_for_three_seconds() {
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
fn the_bar_shrinks_until_an_advertisement_is_heard() {
    let mut stage = Stage::with(healthy(), SIZE);
    let full = |stage: &mut Stage| line(stage, "B BACKUP").matches('━').count();
    let before = full(&mut stage);
    assert!(line(&mut stage, "B BACKUP").contains("1.2s"));
    stage.pass(SECOND);
    assert!(full(&mut stage) < before);
    assert!(line(&mut stage, "B BACKUP").contains("2.2s"));
    let mut heard = healthy().interfaces[1].clone();
    heard.master = Some(master("192.0.2.3", 0, stage.now));
    stage.send(Msg::Looked {
        interfaces: vec![heard],
        took: 1,
    });
    assert!(full(&mut stage) > before);
    assert!(line(&mut stage, "B BACKUP").contains("0.0s"));
}

#[test]
fn a_master_that_falls_silent_empties_the_bar_and_then_that_is_wrong() {
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
        stage.screen().contains("no master is heard"),
        "{}",
        stage.screen()
    );
}

#[test]
fn a_second_master_and_a_bad_digest_are_wrong_for_a_while() {
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
fn a_master_that_yields_is_no_second_one_and_one_that_stays_is() {
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
            .contains("! carp0: another host advertises, too"),
        "{}",
        stage.screen()
    );
}

#[test]
fn counters_that_grow_are_bad_packets_even_where_no_event_tells() {
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
    let [Effect::Order(Order::Configure(name, changes))] = effects.as_slice() else {
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
    stage.send(Msg::Found(Box::new(healthy())));
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
    stage.send(Msg::Found(Box::new(allowed)));
    assert!(!stage.screen().contains("read-only"));
    stage.keys("d");
    assert!(stage.screen().contains("carp0 down?"), "{}", stage.screen());
}

#[test]
fn preemption_is_turned_off_and_on() {
    let mut stage = Stage::with(healthy(), SIZE);
    stage.keys("p");
    assert!(stage.screen().contains("set net.inet.carp.preempt to 0?"));
    let order = Order::Sysctl("net.inet.carp.preempt".to_owned(), 0);
    assert_eq!(stage.keys("y"), [Effect::Order(order)]);
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
        matches!(effects.as_slice(), [Effect::Order(Order::Configure(name, _))] if name == "carp1"),
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
fn a_filter_narrows_while_it_is_typed_and_escape_brings_all_back() {
    let mut stage = Stage::with(firewall(), SIZE);
    stage.keys("/backup");
    assert!(stage.screen().contains("1 of 4 with backup"));
    stage.press(KeyCode::Enter);
    assert!(line(&mut stage, "carp10").is_empty());
    stage.press(KeyCode::Esc);
    assert!(!line(&mut stage, "carp10").is_empty());
    stage.keys("/nothing at all");
    stage.press(KeyCode::Esc);
    assert!(!line(&mut stage, "carp10").is_empty());
}

#[test]
fn the_daemon_is_lost_and_found() {
    let mut stage = Stage::with(healthy(), SIZE);
    stage.pass(SECOND);
    stage.send(Msg::Away("carpd is not running".to_owned()));
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
    stage.send(Msg::Found(Box::new(healthy())));
    assert!(stage.screen().contains("● live"));
}

#[test]
fn a_stuck_daemon_does_not_freeze_the_screen_and_is_said_to_be_stuck() {
    let mut stage = Stage::with(healthy(), SIZE);
    assert_eq!(stage.pass(SECOND), [Effect::Order(Order::List)]);
    assert_eq!(stage.pass(SECOND), []);
    stage.pass(2 * SECOND);
    assert!(
        stage.screen().contains("carpd does not answer"),
        "{}",
        stage.screen()
    );
    stage.keys("j");
    assert!(line(&mut stage, "carp1").contains('▶'), "keys work");
    stage.send(Msg::Unread("carpd does not answer".to_owned()));
    assert!(stage.screen().contains("not live"));
    stage.pass(SECOND);
    stage.send(Msg::Listed {
        interfaces: healthy().interfaces,
        took: 1,
    });
    assert!(stage.screen().contains("● live"));
}

#[test]
fn what_is_signalled_is_not_asked_for() {
    let mut stage = Stage::with(healthy(), SIZE);
    let mut asked = 0;
    for _ in 0..40 {
        for effect in stage.pass(SECOND / 4) {
            assert_eq!(effect, Effect::Order(Order::List));
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
        [Effect::Order(Order::Suppressions)]
    );
    assert_eq!(
        change(&mut stage, Change::Lost),
        [Effect::Order(Order::Reread)]
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
    let [Effect::Order(Order::Look(names))] = effects.as_slice() else {
        panic!("{effects:?}");
    };
    assert!(
        names.len() < 40 && names.contains(&"carp0".to_owned()),
        "{names:?}"
    );
}

#[test]
fn interfaces_come_and_go_and_the_selection_stays_near() {
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

#[test]
fn the_next_trouble_is_one_key_away() {
    let mut stage = Stage::with(firewall(), SIZE);
    stage.keys("!");
    assert!(line(&mut stage, "! carp1  ").contains('▶'));
    stage.keys("!");
    assert!(line(&mut stage, "! carp2  ").contains('▶'));
    stage.keys("!");
    assert!(line(&mut stage, "! carp0  ").contains('▶'));
}

#[test]
fn the_mouse_selects_opens_and_sorts() {
    let mut stage = Stage::with(firewall(), SIZE);
    let (x, y) = place(&mut stage, "carp1  ");
    click(&mut stage, x, y);
    assert!(line(&mut stage, "carp1  ").contains('▶'));
    click(&mut stage, x, y);
    assert!(stage.screen().contains("counters"));
    let (x, y) = place(&mut stage, "VHID");
    click(&mut stage, x, y);
    assert!(stage.screen().contains("by vhid"));
    click(&mut stage, x, y);
    assert!(stage.screen().contains("by vhid, reversed"));
}

#[test]
fn the_selected_row_is_always_on_the_screen() {
    let mut stage = Stage::with(crowd(255), (80, 24));
    for code in [
        KeyCode::End,
        KeyCode::PageUp,
        KeyCode::Home,
        KeyCode::PageDown,
    ] {
        stage.press(code);
        assert!(stage.screen().contains('▶'), "{code:?}\n{}", stage.screen());
    }
    for (width, height) in [(300, 100), (80, 24), (60, 14), (200, 60)] {
        stage.send(Msg::Resize(width, height));
        assert!(stage.screen().contains('▶'), "{width}x{height}");
    }
}

#[test]
fn a_screen_that_shrinks_before_its_message_comes_is_drawn_in_its_size() {
    for open in ["", "d", "e", "?", "/carp", ":carp", "b"] {
        let mut stage = Stage::with(crowd(255), (300, 100));
        stage.press(KeyCode::End);
        stage.keys(open);
        for size in [(200, 60), (80, 24), (60, 14), (41, 8), (1, 1), (120, 40)] {
            stage.size = size;
            let screen = stage.screen();
            assert_eq!(
                screen.lines().count(),
                usize::from(size.1),
                "{open} {size:?}"
            );
        }
        let screen = stage.screen();
        let selected = matches!(open, "e" | "?") || screen.contains('▶');
        assert!(selected, "{open}\n{screen}");
    }
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

#[test]
fn the_master_is_named_on_a_small_screen() {
    let mut stage = Stage::with(healthy(), (80, 24));
    assert!(line(&mut stage, "M MASTER").contains("this host"));
    assert!(line(&mut stage, "B BACKUP").contains("192.0.2.3"));
}

#[test]
fn without_carpd_the_screen_says_how_to_start_it_and_shows_no_picture() {
    for size in [(80, 24), SIZE] {
        let mut stage = Stage::new(size);
        stage.send(Msg::Away("carpd is not running".to_owned()));
        stage.pass(3 * SECOND);
        let screen = stage.screen();
        assert!(screen.contains("systemctl start carpd"), "{screen}");
        for claim in ["picture of", "no state has changed", "nothing has happened"] {
            assert!(!screen.contains(claim), "{screen}");
        }
    }
}

#[test]
fn text_that_is_cut_ends_with_a_mark() {
    let mut snapshot = firewall();
    let long = "master timed out, and then much more was said about this than a line has room for";
    let told = transition(9, NOW, "carp0", "BACKUP", "MASTER", long);
    snapshot.events.push(told);
    for size in [(60, 14), (80, 24), (144, 32)] {
        let screen = Stage::with(snapshot.clone(), size).screen();
        let cut = screen
            .lines()
            .filter(|line| line.contains("BACKUP → MASTER"));
        for line in cut {
            let is_whole = line.contains(long) || !line.contains("and then");
            assert!(is_whole || line.contains('…'), "{line}");
        }
    }
}

#[test]
fn help_that_is_cut_says_how_much_more_there_is() {
    let mut stage = Stage::with(healthy(), (80, 24));
    stage.keys("?");
    assert!(
        line(&mut stage, " more ").contains("J: "),
        "{}",
        stage.screen()
    );
    for _ in 0..40 {
        stage.keys("J");
    }
    assert!(!stage.screen().contains(" more ─"), "{}", stage.screen());
}

#[test]
fn every_order_is_a_column_on_the_screen_and_has_its_name() {
    for (size, grouped) in [((80, 24), true), ((80, 24), false), ((200, 60), false)] {
        let mut stage = Stage::with(healthy(), size);
        if !grouped {
            stage.keys("g");
        }
        let mut orders = Vec::new();
        loop {
            let title = line(&mut stage, " interfaces ");
            let (_, order) = title.split_once(" by ").expect("an order");
            let order = order
                .split(" ─")
                .next()
                .expect("its name")
                .trim()
                .to_uppercase();
            if orders.contains(&order) {
                break;
            }
            let heads = line(&mut stage, "NAME ");
            assert!(heads.contains(&order), "{order}: {heads}");
            orders.push(order);
            stage.keys("s");
        }
        assert!(orders.len() > 4, "{orders:?}");
    }
}

#[test]
fn a_column_that_is_hidden_is_no_order_any_more() {
    let mut stage = Stage::with(healthy(), (200, 60));
    let (x, y) = place(&mut stage, "BASE/SKEW");
    click(&mut stage, x, y);
    assert!(stage.screen().contains("by base/skew"));
    stage.send(Msg::Resize(80, 24));
    assert!(stage.screen().contains("by name"), "{}", stage.screen());
}
