//! Layout at all sizes: filter, order, selection and text that is cut.

use carptop::Msg;
use crossterm::event::KeyCode;

use crate::common::{NOW, Stage, crowd, firewall, healthy, transition};
use crate::{SIZE, click, line, place};

#[test]
fn filter_applies_while_it_is_entered_and_escape_clears_it() {
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
fn mouse_selects_opens_and_sorts() {
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
fn selected_row_is_always_on_the_screen() {
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
fn frame_is_drawn_in_its_size_before_the_message_about_it() {
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
        let is_in_sight = matches!(open, "e" | "?") || screen.contains('▶');
        assert!(is_in_sight, "{open}\n{screen}");
    }
}

#[test]
fn master_is_named_on_a_small_screen() {
    let mut stage = Stage::with(healthy(), (80, 24));
    assert!(line(&mut stage, "M MASTER").contains("this host"));
    assert!(line(&mut stage, "B BACKUP").contains("192.0.2.3"));
}

#[test]
fn text_that_is_cut_ends_with_a_mark() {
    let mut snapshot = firewall();
    let long =
        "master timed out, and then more text than a line of any of these screens has room for";
    let event = transition(9, NOW, "carp0", "BACKUP", "MASTER", long);
    snapshot.events.push(event);
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
fn help_that_is_cut_shows_the_number_of_lines_below() {
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
fn every_sort_key_is_the_title_of_a_column_on_the_screen() {
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
fn column_that_becomes_hidden_stops_being_the_sort_key() {
    let mut stage = Stage::with(healthy(), (200, 60));
    let (x, y) = place(&mut stage, "BASE/SKEW");
    click(&mut stage, x, y);
    assert!(stage.screen().contains("by base/skew"));
    stage.send(Msg::Resize(80, 24));
    assert!(stage.screen().contains("by name"), "{}", stage.screen());
}
