//! Every screen at three sizes, compared with `tests/golden`. `BLESS=1` rewrites the files.
#![expect(
    clippy::expect_used,
    reason = "a test fails if a file cannot be read or written"
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

/// Compares the screen of `stage` with the golden files of `name`.
fn check(name: &str, stage: impl Fn((u16, u16)) -> Stage) {
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
            "{} differs from the screen: BLESS=1 rewrites it:\n{shown}",
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
fn overview() {
    check("overview", with(|_| ()));
}

#[test]
fn overview_without_trouble() {
    check("healthy", |size| Stage::with(healthy(), size));
}

#[test]
fn details() {
    check(
        "details",
        with(|stage| {
            stage.press(KeyCode::Enter);
        }),
    );
}

#[test]
fn details_of_an_interface_in_trouble() {
    check(
        "trouble",
        with(|stage| {
            stage.keys("!!");
            stage.press(KeyCode::Enter);
        }),
    );
}

#[test]
fn events() {
    check(
        "events",
        with(|stage| {
            stage.keys("e");
        }),
    );
}

#[test]
fn help() {
    check(
        "help",
        with(|stage| {
            stage.keys("?");
        }),
    );
}

#[test]
fn question() {
    check(
        "question",
        with(|stage| {
            stage.keys("b");
        }),
    );
}

#[test]
fn filter_while_it_is_entered() {
    check(
        "filter",
        with(|stage| {
            stage.keys("/eth0 back");
        }),
    );
}

#[test]
fn line_at_the_prompt_with_completions() {
    check(
        "prompt",
        with(|stage| {
            stage.keys(":carp0 pass geheim adv");
            stage.press(KeyCode::Tab);
        }),
    );
}

#[test]
fn table_without_groups_in_another_order() {
    check(
        "sorted",
        with(|stage| {
            stage.keys("gsS");
        }),
    );
}

#[test]
fn disconnected_from_carpd() {
    check(
        "away",
        with(|stage| {
            stage.pass(2 * SECOND);
            stage.send(Msg::Disconnected("carpd is not running".to_owned()));
            stage.pass(10 * SECOND);
        }),
    );
}

#[test]
fn connecting_to_carpd() {
    check("connecting", Stage::new);
}

#[test]
fn carpd_without_interfaces() {
    check("empty", |size| {
        let mut snapshot = healthy();
        snapshot.interfaces.clear();
        snapshot.events.clear();
        Stage::with(snapshot, size)
    });
}

#[test]
fn ascii_characters_only() {
    check("ascii", |size| {
        let mut stage = Stage::of(Theme::for_tests(true, false), 1000, size);
        stage.send(Msg::Snapshot(Box::new(firewall())));
        let shown = stage.screen();
        assert!(shown.is_ascii(), "{shown}");
        stage
    });
}

#[test]
fn more_interfaces_than_rows() {
    check("crowd", |size| {
        let mut stage = Stage::with(crowd(255), size);
        stage.press(KeyCode::PageDown);
        stage
    });
}

#[test]
fn screen_that_is_too_small_shows_an_error() {
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
fn states_have_colours_and_the_same_words_without_them() {
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
    let mut mono = Stage::of(Theme::for_tests(true, true), 0, (120, 40));
    mono.send(Msg::Snapshot(Box::new(firewall())));
    assert_eq!(colour(&mut mono, "M MASTER"), Some(Color::Reset));
    let modifier = place(&mut mono, "M MASTER").map(|cell| cell.modifier);
    assert!(modifier.is_some_and(|modifier| modifier.contains(Modifier::REVERSED)));
    assert_eq!(mono.screen(), coloured.screen());
}
