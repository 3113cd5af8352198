//! Checks that carptop(8) describes every key and option, and no others.

use std::collections::BTreeSet;

use carptop::{KEYS, command};

const PAGE: &str = include_str!("../../man/carptop.8");

/// Returns the words after `.It MACRO` in a section.
fn items(heading: &str, mac: &str) -> Vec<&'static str> {
    let section = PAGE.lines().skip_while(|line| *line != heading).skip(1);
    let section = section.take_while(|line| !line.starts_with(".Sh "));
    let start = format!(".It {mac} ");
    let items: Vec<&str> = section
        .filter_map(|line| line.strip_prefix(start.as_str()))
        .collect();
    items
}

#[test]
fn manual_describes_exactly_the_keys_in_the_order_of_the_help() {
    let described: Vec<String> = items(".Sh KEYS", "Ic")
        .into_iter()
        // mdoc treats these as punctuation unless they are escaped.
        .map(|keys| keys.replace(r"\&", ""))
        .collect();
    let keys: Vec<&str> = KEYS.iter().map(|binding| binding.shown).collect();
    assert_eq!(described, keys);
}

#[test]
fn manual_describes_exactly_the_options() {
    let described: BTreeSet<&str> = items(".Sh DESCRIPTION", "Fl")
        .into_iter()
        .filter_map(|item| item.split(' ').next())
        .collect();
    let command = command();
    let options = command.get_opts().filter_map(clap::Arg::get_long);
    let mut known: BTreeSet<String> = options.map(|long| format!("-{long}")).collect();
    known.extend(["-help", "-version"].map(str::to_owned));
    let known: BTreeSet<&str> = known.iter().map(String::as_str).collect();
    assert_eq!(described, known);
}

/// Returns the options in a script: the words after each mark.
fn completed(script: &'static str, mark: &str) -> BTreeSet<&'static str> {
    let found = script
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    let found = found.flat_map(|line| line.split(mark).skip(1));
    found
        .filter_map(|rest| rest.split(|c: char| !c.is_ascii_lowercase()).next())
        .filter(|word| !word.is_empty())
        .collect()
}

#[test]
fn every_shell_completes_all_options_and_themes() {
    let command = command();
    let mut options: BTreeSet<&str> = command.get_opts().filter_map(clap::Arg::get_long).collect();
    options.extend(["help", "version"]);
    let theme = command
        .get_opts()
        .find(|option| option.get_long() == Some("theme"));
    let themes: Vec<String> = theme
        .map(clap::Arg::get_possible_values)
        .unwrap_or_default()
        .iter()
        .map(|value| value.get_name().to_owned())
        .collect();
    for (script, mark) in [
        (include_str!("../../completions/carptop.bash"), "--"),
        (include_str!("../../completions/_carptop"), "--"),
        (include_str!("../../completions/carptop.fish"), " -l "),
    ] {
        assert_eq!(completed(script, mark), options, "{script}");
        assert!(script.contains(&themes.join(" ")), "{themes:?} in {script}");
    }
}
