//! Checks that carpctl(8) describes every parameter, command and option, and no others.

use std::collections::BTreeSet;

use carp_dbus::ifconfig::KEYWORDS;

use crate::cli;

const PAGE: &str = include_str!("../../man/carpctl.8");

/// Returns the lines of the section or subsection under `heading`.
fn section(heading: &str) -> impl Iterator<Item = &'static str> {
    let level = heading.split(' ').next().unwrap_or_default();
    let lines = PAGE
        .lines()
        .skip_while(move |line| *line != heading)
        .skip(1);
    lines.take_while(move |line| !line.starts_with(level) && !line.starts_with(".Sh"))
}

/// Returns the first words after `.It MACRO` in a section.
fn items(heading: &str, mac: &str) -> BTreeSet<String> {
    let start = format!(".It {mac} ");
    let items = section(heading).filter_map(|line| line.strip_prefix(&start));
    items
        .filter_map(|rest| rest.split(' ').next())
        .map(str::to_owned)
        .collect()
}

/// Returns the options of a command in the form of mdoc's `Fl`.
fn options(command: &clap::Command) -> BTreeSet<String> {
    let names = command.get_opts().flat_map(|option| {
        let short = option.get_short().map(String::from);
        short
            .into_iter()
            .chain(option.get_long().map(|long| format!("-{long}")))
    });
    names.collect()
}

#[test]
fn manual_describes_exactly_the_parameters() {
    let words: BTreeSet<String> = KEYWORDS.iter().map(|row| row.word.to_owned()).collect();
    assert_eq!(items(".Sh PARAMETERS", "Cm"), words);
}

#[test]
fn manual_describes_exactly_the_options() {
    let mut own = options(&cli::command());
    own.extend(["-show-pass", "-help", "-version"].map(str::to_owned));
    assert_eq!(items(".Sh DESCRIPTION", "Fl"), own);
}

#[test]
fn manual_describes_exactly_the_commands_and_their_options() {
    let command = cli::command();
    let described: BTreeSet<&str> = section(".Sh COMMANDS")
        .filter_map(|line| line.strip_prefix(".Ss "))
        .collect();
    let commands: BTreeSet<&str> = command
        .get_subcommands()
        .map(clap::Command::get_name)
        .collect();
    assert_eq!(described, commands);
    for command in command.get_subcommands() {
        let heading = format!(".Ss {}", command.get_name());
        assert_eq!(items(&heading, "Fl"), options(command), "{heading}");
        let synopsis = format!(".Cm {}", command.get_name());
        assert!(
            section(".Sh SYNOPSIS").any(|line| line == synopsis),
            "{synopsis}"
        );
    }
}
