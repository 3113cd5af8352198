//! Every screen at three sizes, held against `tests/golden`. `BLESS=1` writes them anew.
#![expect(
    clippy::expect_used,
    reason = "what cannot be read or written fails the test"
)]

mod common;

use std::env;
use std::fs;
use std::path::Path;

use carptop::{Msg, Theme};
use common::{SECOND, Stage, crowd, firewall, healthy};
use crossterm::event::KeyCode;
use ratatui::style::{Color, Modifier};

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (200, 60)];

/// Compares what is on the screen after `play` with the golden files of `name`.
fn holds(name: &str, stage: impl Fn((u16, u16)) -> Stage) {
    for size in SIZES {
        let shown = stage(size).screen();
        let file = format!("tests/golden/{name}-{}x{}.txt", size.0, size.1);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        if env::var_os("BLESS").is_some() {
            fs::write(&path, &shown).expect("the golden file can be written");
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            shown == expected,
            "{} is not what is shown (BLESS=1 takes it over):\n{shown}",
            path.display()
        );
    }
}

fn with(play: impl Fn(&mut Stage)) -> impl Fn((u16, u16)) -> Stage {
    move |size| {
        let mut stage = Stage::with(firewall(), size);
        play(&mut stage);
        stage
    }
}

#[test]
fn the_first_screen() {
    holds("overview", with(|_| ()));
}

#[test]
fn nothing_is_wrong() {
    holds("healthy", |size| Stage::with(healthy(), size));
}

#[test]
fn the_details() {
    holds(
        "details",
        with(|stage| {
            stage.press(KeyCode::Enter);
        }),
    );
}

#[test]
fn the_details_of_what_is_wrong() {
    holds(
        "trouble",
        with(|stage| {
            stage.keys("!!");
            stage.press(KeyCode::Enter);
        }),
    );
}

#[test]
fn the_events() {
    holds(
        "events",
        with(|stage| {
            stage.keys("e");
        }),
    );
}

#[test]
fn the_help() {
    holds(
        "help",
        with(|stage| {
            stage.keys("?");
        }),
    );
}

#[test]
fn a_question() {
    holds(
        "question",
        with(|stage| {
            stage.keys("b");
        }),
    );
}

#[test]
fn a_filter_that_is_typed() {
    holds(
        "filter",
        with(|stage| {
            stage.keys("/eth0 back");
        }),
    );
}

#[test]
fn a_line_that_is_completed() {
    holds(
        "prompt",
        with(|stage| {
            stage.keys(":carp0 pass geheim adv");
            stage.press(KeyCode::Tab);
        }),
    );
}

#[test]
fn no_groups_and_another_order() {
    holds(
        "sorted",
        with(|stage| {
            stage.keys("gsS");
        }),
    );
}

#[test]
fn carpd_is_gone() {
    holds(
        "away",
        with(|stage| {
            stage.pass(2 * SECOND);
            stage.send(Msg::Disconnected("carpd is not running".to_owned()));
            stage.pass(10 * SECOND);
        }),
    );
}

#[test]
fn carpd_has_not_been_found() {
    holds("connecting", Stage::new);
}

#[test]
fn carpd_has_no_interfaces() {
    holds("empty", |size| {
        let mut snapshot = healthy();
        snapshot.interfaces.clear();
        snapshot.events.clear();
        Stage::with(snapshot, size)
    });
}

#[test]
fn no_characters_but_ascii() {
    holds("ascii", |size| {
        let mut stage = Stage::of(Theme::of_tests(true, false), 1000, size);
        stage.send(Msg::Snapshot(Box::new(firewall())));
        let shown = stage.screen();
        assert!(shown.is_ascii(), "{shown}");
        stage
    });
}

#[test]
fn more_interfaces_than_rows() {
    holds("crowd", |size| {
        let mut stage = Stage::with(crowd(255), size);
        stage.press(KeyCode::PageDown);
        stage
    });
}

#[test]
fn a_screen_too_small_says_so_and_none_is_too_large() {
    for size in [(1, 1), (39, 24), (80, 7)] {
        let shown = Stage::with(firewall(), size).screen();
        assert!(size.0 < 30 || shown.contains("too small"), "{shown}");
    }
    for size in [(40, 8), (61, 13), (100, 30), (300, 100)] {
        let shown = Stage::with(crowd(255), size).screen();
        assert!(shown.contains("MASTER"), "{shown}");
    }
}

#[test]
fn states_have_colours_and_without_colours_their_words_are_the_same() {
    let place = |stage: &mut Stage, word: &str| {
        let terminal = stage.terminal();
        let buffer = terminal.backend().buffer();
        let at = stage
            .screen()
            .lines()
            .enumerate()
            .skip(4)
            .find_map(|(y, line)| {
                let byte = line.find(word)?;
                let x = line.get(..byte)?.chars().count();
                Some((u16::try_from(x).ok()?, u16::try_from(y).ok()?))
            });
        buffer.cell(at.expect("the word is shown")).cloned()
    };
    let colour = |stage: &mut Stage, word: &str| place(stage, word).map(|cell| cell.fg);
    let mut coloured = Stage::with(firewall(), (120, 40));
    assert_ne!(
        colour(&mut coloured, "M MASTER"),
        colour(&mut coloured, "B BACKUP")
    );
    let mut mono = Stage::of(Theme::of_tests(true, true), 0, (120, 40));
    mono.send(Msg::Snapshot(Box::new(firewall())));
    assert_eq!(colour(&mut mono, "M MASTER"), Some(Color::Reset));
    let modifier = place(&mut mono, "M MASTER").map(|cell| cell.modifier);
    assert!(modifier.is_some_and(|modifier| modifier.contains(Modifier::REVERSED)));
    assert_eq!(mono.screen(), coloured.screen());
}
