//! Valid and invalid command lines.

use std::os::unix::ffi::OsStringExt;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::Setting;
use crate::ifconfig::Secret;

fn parse(line: &str) -> Result<Line, String> {
    let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
    Line::parse(&words)
}

fn changes(line: &str) -> Changes {
    match parse(line).unwrap().action {
        Action::Configure(changes) | Action::Create(changes) => changes,
        Action::Show | Action::Vhaddr | Action::Destroy => panic!("{line} changes nothing"),
    }
}

fn v4(last: u8, prefix: u8) -> (IpAddr, u8) {
    (IpAddr::from([192, 0, 2, last]), prefix)
}

#[test]
fn empty_line_shows_the_interface() {
    assert_eq!(parse("").unwrap().action, Action::Show);
}

#[test]
fn line_of_the_manual_is_one_change() {
    let line = parse("vhid 1 advskew 100 pass mekmitasdigoat 192.0.2.1/24").unwrap();
    assert_eq!(
        line.action,
        Action::Configure(Changes {
            settings: vec![
                Change::Set(Setting::Vhid(1)),
                Change::Set(Setting::AdvSkew(100)),
                Change::Password(Secret::Given(b"mekmitasdigoat".to_vec())),
            ],
            add: vec![v4(1, 24)],
            remove: vec![],
        })
    );
    assert!(line.warnings.is_empty());
}

#[test]
fn create_takes_settings_in_any_order() {
    let line = parse("192.0.2.1/24 vhid 1 create").unwrap();
    assert!(matches!(&line.action, Action::Create(changes) if changes.add == [v4(1, 24)]));
}

#[test]
fn all_notations_of_an_address_are_equal() {
    for line in [
        "192.0.2.1/24",
        "inet 192.0.2.1/24",
        "inet 192.0.2.1 netmask 255.255.255.0",
        "inet 192.0.2.1 netmask 0xffffff00 broadcast 192.0.2.255 alias",
        "192.0.2.1 netmask 0xffffff00 alias",
        "alias 192.0.2.1/24",
        "inet alias 192.0.2.1/24",
        "192.0.2.1 prefixlen 24",
    ] {
        assert_eq!(changes(line).add, [v4(1, 24)], "{line}");
    }
    for line in [
        "inet6 2001:db8::1 prefixlen 64",
        "2001:db8::1/64",
        "inet6 2001:db8::1 alias",
    ] {
        assert_eq!(
            changes(line).add,
            [("2001:db8::1".parse().unwrap(), 64)],
            "{line}"
        );
    }
}

#[test]
fn parameters_can_stand_between_a_family_and_its_address() {
    for line in [
        "inet vhid 1 advskew 100 pass x alias 192.0.2.1/24",
        "inet vhid 1 advskew 100 pass x 192.0.2.1/24",
    ] {
        let changes = changes(line);
        assert_eq!(changes.add, [v4(1, 24)], "{line}");
        assert_eq!(changes.settings.len(), 3, "{line}");
    }
    assert_eq!(
        parse("inet6 vhid 1 192.0.2.1/24"),
        Err("192.0.2.1/24: not an inet6 address".to_owned())
    );
}

#[test]
fn all_notations_of_a_removal_are_equal() {
    for line in [
        "-alias 192.0.2.1",
        "delete 192.0.2.1",
        "inet -alias 192.0.2.1",
        "-alias inet 192.0.2.1",
        "inet 192.0.2.1 -alias",
        "192.0.2.1 delete",
        "inet 192.0.2.1 netmask 255.255.255.0 -alias",
    ] {
        let changes = changes(line);
        assert_eq!(changes.remove, [v4(1, 0).0], "{line}");
        assert!(changes.add.is_empty(), "{line}");
    }
}

#[test]
fn several_addresses_are_added_and_removed_together() {
    let changes = changes("192.0.2.1/24 -alias 192.0.2.2 inet 192.0.2.3/32 delete 192.0.2.4");
    assert_eq!(changes.add, [v4(1, 24), v4(3, 32)]);
    assert_eq!(changes.remove, [v4(2, 0).0, v4(4, 0).0]);
}

#[test]
fn address_without_a_netmask_gets_its_class_and_a_warning() {
    let line = parse("192.0.2.1").unwrap();
    assert_eq!(
        line.warnings,
        ["warning: 192.0.2.1 has no netmask, /24 is taken from its class"]
    );
    assert!(parse("-alias 192.0.2.1").unwrap().warnings.is_empty());
    assert!(parse("2001:db8::1").unwrap().warnings.is_empty());
}

#[test]
fn options_are_accepted_anywhere_but_as_values() {
    assert_eq!(parse("vhid 1 --json up").unwrap().options, ["--json"]);
    let line = parse("description --json").unwrap();
    assert!(line.options.is_empty());
    assert_eq!(
        line.action,
        Action::Configure(Changes {
            settings: vec![Change::Set(Setting::Description("--json".into()))],
            ..Changes::default()
        })
    );
}

#[test]
fn invalid_line_names_the_word_and_the_accepted_values() {
    for (line, message) in [
        ("vhid 0", "vhid 0: must be a number from 1 to 255"),
        ("vhid 256", "vhid 256: must be a number from 1 to 255"),
        ("vhid x", "vhid x: must be a number from 1 to 255"),
        ("vhid", "vhid needs a value: a number from 1 to 255"),
        (
            "advskew 255",
            "advskew 255: must be a number from 0 to 254 (1/256 of a second)",
        ),
        (
            "advbase 255",
            "advbase 255: must be a number from 0 to 254 (seconds)",
        ),
        (
            "pass 12345678901234567890",
            "pass is 20 bytes long, 19 at most (a BSD host would keep only \
             \"1234567890123456789\")",
        ),
        ("192.0.2.300/24", "192.0.2.300/24: bad address"),
        ("inet nonsense", "nonsense: bad address"),
        ("inet 2001:db8::1", "2001:db8::1: not an inet address"),
        ("inet6 192.0.2.1", "192.0.2.1: not an inet6 address"),
        ("inet", "inet needs an address such as 192.0.2.1/24"),
        ("inet vhid 1", "inet needs an address such as 192.0.2.1/24"),
        (
            "inet netmask 255.0.0.0",
            "inet needs an address, not netmask",
        ),
        ("alias vhid 1", "alias needs an address, not vhid"),
        ("-alias", "-alias needs an address such as 192.0.2.1/24"),
        ("alias", "alias needs an address such as 192.0.2.1/24"),
        (
            "netmask 255.255.255.0",
            "netmask needs an address before it",
        ),
        (
            "192.0.2.1 netmask 255.0.255.0",
            "netmask 255.0.255.0: must be a netmask such as \
                                           255.255.255.0 or 0xffffff00",
        ),
        (
            "192.0.2.1/24 netmask 0xffff0000",
            "192.0.2.1/24: netmask says /16, one of them \
                                             must go",
        ),
        (
            "2001:db8::1 netmask 0xffffff00",
            "netmask is for IPv4, 2001:db8::1 has a prefixlen",
        ),
        (
            "192.0.2.1 prefixlen 33",
            "prefixlen 33: must be a number from 1 to 32",
        ),
        (
            "192.0.2.1 broadcast x",
            "broadcast x: must be an IPv4 address",
        ),
        ("192.0.2.1/24 192.0.2.1/24", "192.0.2.1 is given twice"),
        ("vhid 1 vhid 2", "vhid is given twice"),
        ("up down", "up and down cannot be given together"),
        (
            "pass a passfile b",
            "pass and passfile cannot be given together",
        ),
        ("state init", "state init: must be master or backup"),
        (
            "lladdr 00:00:5e:00:01:01",
            "lladdr 00:00:5e:00:01:01: must be virtual or parent",
        ),
        (
            "carpdev a/b",
            "carpdev a/b: must be the name of a physical interface",
        ),
        (
            "create destroy",
            "create and destroy cannot be given together",
        ),
        ("destroy vhid 1", "destroy stands alone on its line"),
        ("vhaddr up", "vhaddr stands alone on its line"),
        ("vihd 1", "vihd: unknown parameter, did you mean vhid?"),
        (
            "vhid 1 advskew 100 frob",
            "frob: unknown parameter (carpctl --help lists them)",
        ),
        ("accept_pass -", ""),
    ] {
        match parse(line) {
            Err(said) => assert_eq!(said, message, "{line}"),
            Ok(_) => assert!(message.is_empty(), "{line} was taken"),
        }
    }
}

const VALUES: &[&str] = &[
    "1",
    "255",
    "192.0.2.1",
    "192.0.2.1/24",
    "::1/64",
    "255.255.0.0",
    "master",
];

/// Words as users mistype them: those of the table, values that fit some of them, and noise.
fn any_word() -> impl Strategy<Value = OsString> {
    let words: Vec<&str> = keywords::KEYWORDS
        .iter()
        .map(|keyword| keyword.word)
        .collect();
    prop_oneof![
        3 => select(words).prop_map(OsString::from),
        2 => select(VALUES).prop_map(OsString::from),
        1 => vec(any::<u8>(), 0..8).prop_map(OsString::from_vec),
    ]
}

proptest! {
    #[test]
    fn a_line_is_taken_with_what_it_says_or_refused_with_a_reason(
        words in vec(any_word(), 0..12),
    ) {
        match Line::parse(&words) {
            Err(message) => prop_assert!(!message.is_empty()),
            Ok(Line { action: Action::Show, .. }) => prop_assert!(words.is_empty()),
            Ok(Line { action: Action::Vhaddr | Action::Destroy, .. }) => {
                prop_assert_eq!(words.len(), 1);
            }
            Ok(Line { action: Action::Create(changes) | Action::Configure(changes), .. }) => {
                let given = changes.settings.len() + changes.add.len() + changes.remove.len();
                prop_assert!(given <= words.len());
            }
        }
    }
}

#[test]
fn empty_value_is_quoted() {
    let words = [OsString::from("vhid"), OsString::new()];
    assert_eq!(
        Line::parse(&words),
        Err("vhid \"\": must be a number from 1 to 255".to_owned())
    );
}
