//! Files from BSD hosts, and files with mistakes.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use tempfile::TempDir;

use super::*;

/// Makes a directory with these two files, which only root can read.
fn directory(rc_conf: &str, sysctl_conf: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in [("rc.conf", rc_conf), ("sysctl.conf", sysctl_conf)] {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    directory
}

fn files(directory: &TempDir) -> Files {
    Files::new(directory.path().to_owned())
}

fn read_text(text: &str) -> Configuration {
    files(&directory(text, "")).read()
}

/// Returns the interfaces of an rc.conf without a fault, each in the words that would be saved.
fn interfaces(text: &str) -> Vec<String> {
    let configuration = read_text(text);
    assert_eq!(configuration.faults, [], "{text}");
    let running = running(&configuration);
    let empty = tempfile::tempdir().unwrap();
    files(&empty).save(&running).unwrap();
    let saved = fs::read_to_string(empty.path().join("rc.conf")).unwrap_or_default();
    saved
        .lines()
        .filter(|line| !line.starts_with("cloned_interfaces"))
        .map(|line| line.replacen("ifconfig_", "", 1))
        .collect()
}

/// Returns the running configuration after the start with this one.
fn running(configuration: &Configuration) -> Running {
    Running {
        interfaces: configuration
            .interfaces
            .iter()
            .map(|wanted| (wanted.unit, wanted.settings.clone()))
            .collect(),
        sysctls: configuration.sysctls.clone(),
    }
}

/// Returns every fault, with the file's name without its directory.
fn told(faults: &[Fault]) -> Vec<String> {
    let last = |fault: &Fault| {
        let text = fault.to_string();
        let at = text.find("rc.conf").or_else(|| text.find("sysctl.conf"));
        text[at.unwrap()..].to_owned()
    };
    faults.iter().map(last).collect()
}

#[test]
fn lines_from_bsd_hosts_have_the_same_meaning() {
    for (text, expected) in [
        ("", &[][..]),
        (
            "hostname=\"gw.example.org\"\nifconfig_em0=\"DHCP\"\nsshd_enable=YES\n",
            &[],
        ),
        ("cloned_interfaces=\"carp0\"", &["carp0=\"\""]),
        (
            "cloned_interfaces=\"carp0\"\n\
             ifconfig_carp0=\"vhid 1 pass mekmitasdigoat 192.168.1.1/24\"\n",
            &["carp0=\"vhid 1 pass mekmitasdigoat inet 192.168.1.1/24\""],
        ),
        (
            "cloned_interfaces=\"bridge0 carp0 carp1\"\n\
             ifconfig_carp1=\"vhid 2 advbase 2 advskew 100 pass a 10.0.0.1 netmask 255.0.0.0\"\n\
             ifconfig_carp0=\"up 192.168.1.1 netmask 0xffffff00 vhid 1 advskew 0\"\n",
            &[
                "carp0=\"vhid 1 inet 192.168.1.1/24\"",
                "carp1=\"vhid 2 advbase 2 advskew 100 pass a inet 10.0.0.1/8\"",
            ],
        ),
        (
            "cloned_interfaces=\"lo1\"\ncloned_interfaces=\"${cloned_interfaces} carp0\"\n\
             create_args_carp0=\"vhid 1\"\n\
             ifconfig_carp0=\"pass x \\\n  192.168.1.1/24\" # the gateway\n\
             ifconfig_carp0_alias0='inet 192.168.1.2/32'\n\
             ifconfig_carp0_alias1=\"192.168.1.3 netmask 255.255.255.255\"\n\
             ifconfig_carp0_aliases=\"inet 192.168.1.4/32 inet6 2001:db8::4/64\"\n\
             ifconfig_carp0_ipv6=\"inet6 2001:db8::1 prefixlen 64\"\n\
             ifconfig_carp0_descr=\"the gateway's\"\n\
             ipv4_addrs_carp0=\"192.168.1.5/32 192.168.1.6/32\"\n",
            &[
                r#"carp0="vhid 1 pass x description 'the gateway'\\''s' inet 192.168.1.1/24""#,
                "carp0_alias0=\"inet6 2001:db8::1 prefixlen 64\"",
                "carp0_alias1=\"inet 192.168.1.2/32\"",
                "carp0_alias2=\"inet 192.168.1.3/32\"",
                "carp0_alias3=\"inet 192.168.1.4/32\"",
                "carp0_alias4=\"inet6 2001:db8::4 prefixlen 64\"",
                "carp0_alias5=\"inet 192.168.1.5/32\"",
                "carp0_alias6=\"inet 192.168.1.6/32\"",
            ],
        ),
        // DragonFly, and NetBSD, where the interface creates itself.
        (
            "cloned_interfaces=carp3\nifconfig_carp3=\"vhid 3\"\n\
             ipv6_ifconfig_carp3=\"2001:db8::1 prefixlen 64\"\n\
             ipv6_ifconfig_carp3_alias0=\"2001:db8::2 prefixlen 128\"\n",
            &[
                "carp3=\"vhid 3 inet6 2001:db8::1 prefixlen 64\"",
                "carp3_alias0=\"inet6 2001:db8::2 prefixlen 128\"",
            ],
        ),
        (
            "ifconfig_carp0=\"create vhid 1 carpdev eth7 192.168.1.1/24 down\"",
            &["carp0=\"vhid 1 carpdev eth7 down inet 192.168.1.1/24\""],
        ),
        // Later settings come first.
        (
            "cloned_interfaces=carp0\ncreate_args_carp0=\"vhid 1 advskew 10\"\n\
             ifconfig_carp0=\"advskew 20\"",
            &["carp0=\"vhid 1 advskew 20\""],
        ),
        // Written on another system.
        (
            "\u{feff}cloned_interfaces=\"carp0\"\r\n\
             ifconfig_carp0=\"vhid 1 \\\r\n  pass x\"\r\n\
             ifconfig_carp0_aliases=\"inet 192.168.1.4-6/24 \\\r\n  inet6 2001:db8::4-5/64\"\r\n\
             ipv4_addrs_carp0=\"192.168.1.9-10/28\"\r\n",
            &[
                "carp0=\"vhid 1 pass x inet 192.168.1.4/24\"",
                "carp0_alias0=\"inet 192.168.1.5/32\"",
                "carp0_alias1=\"inet 192.168.1.6/32\"",
                "carp0_alias2=\"inet6 2001:db8::4 prefixlen 64\"",
                "carp0_alias3=\"inet6 2001:db8::5 prefixlen 128\"",
                "carp0_alias4=\"inet 192.168.1.9/28\"",
                "carp0_alias5=\"inet 192.168.1.10/32\"",
            ],
        ),
        (
            "cloned_interfaces=\"carp0\"\n\
             ifconfig_carp0=\"inet vhid 1 advskew 100 pass x alias 192.168.1.1/24\"",
            &["carp0=\"vhid 1 advskew 100 pass x inet 192.168.1.1/24\""],
        ),
    ] {
        assert_eq!(interfaces(text), expected, "{text}");
    }
}

/// Text of the second line, and the fault.
const FAULTS: &[(&str, &str)] = &[
    (
        "ifconfig_carp0=\"vhid 0\"",
        "rc.conf:2: ifconfig_carp0: vhid 0: must be a number from 1 to 255",
    ),
    (
        "ifconfig_carp0=\"vhid 1\"\n\nifconfig_carp0_alias0=\"inet 192.168.1.300/24\"",
        "rc.conf:4: ifconfig_carp0_alias0: 192.168.1.300/24: bad address",
    ),
    (
        "ifconfig_carp0=\"vhdi 1\"",
        "rc.conf:2: ifconfig_carp0: vhdi: unknown parameter, did you mean vhid?",
    ),
    (
        "ifconfig_carp0=\"vhid $VHID\"",
        "rc.conf:2: ifconfig_carp0: a variable is not replaced by its value here: write the value \
         itself, or \\$ for the character",
    ),
    (
        "ifconfig_carp0=\"vhid 1 pass $(cat /root/pass)\"",
        "rc.conf:2: nothing is executed here: write what the command would print",
    ),
    (
        "ifconfig_carp0=vhid 1 192.168.1.1/24",
        "rc.conf:2: the value of ifconfig_carp0 ends at a blank: write \
         ifconfig_carp0=\"...\" around all of it",
    ),
    (
        "ifconfig_carp0=\"vhid 1 pass it's\"",
        "rc.conf:2: ifconfig_carp0: the quote ' in its value is not closed: \\' means \
         the character",
    ),
    (
        "ifconfig_carp0=\"vhid 1 pass -\"",
        "rc.conf:2: ifconfig_carp0: - is standard input, which does not exist at boot: use \
         passfile",
    ),
    (
        "ifconfig_carp0=\"vhid 1 passfile secret\"",
        "rc.conf:2: ifconfig_carp0: passfile secret: must be an absolute path",
    ),
    (
        "ifconfig_carp0=\"vhid 1 passfile /nowhere/at/all\"",
        "rc.conf:2: carp0: /nowhere/at/all: No such file or directory",
    ),
    (
        "ifconfig_carp0=\"vhid 1 state master\"",
        "rc.conf:2: ifconfig_carp0: state is not a setting: the host with the smallest advbase \
         and advskew becomes master",
    ),
    (
        "ifconfig_carp0=\"destroy\"",
        "rc.conf:2: ifconfig_carp0: destroy is only for command lines",
    ),
    (
        "ifconfig_carp0=\"--json\"",
        "rc.conf:2: ifconfig_carp0: --json is only for command lines",
    ),
    (
        "ifconfig_carp0=\"192.168.1.1/24\"\nifconfig_carp0_alias0=\"192.168.1.1/24\"",
        "rc.conf:3: ifconfig_carp0_alias0: 192.168.1.1 is given twice",
    ),
    (
        "ifconfig_carp0=\"192.168.1.1/24\"\nifconfig_carp0_alias0=\"-alias 192.168.1.1\"",
        "rc.conf:3: ifconfig_carp0_alias0: -alias 192.168.1.1 removes what another variable \
         adds: leave out both",
    ),
    (
        "ifconfig_carp0_alias1=\"192.168.1.1/24\"",
        "rc.conf:2: ifconfig_carp0_alias1: a BSD host stops at the first gap: write \
         ifconfig_carp0_alias0",
    ),
    (
        "ifconfig_carp0_name=\"vip0\"",
        "rc.conf:2: ifconfig_carp0_name: there is no such variable: of carp0 there are \
         ifconfig_carp0, _alias0 and on, _aliases, _ipv6 and _descr, create_args_carp0 and \
         ipv4_addrs_carp0",
    ),
    (
        "ifconfig_carp7=\"vhid 7\"",
        "rc.conf:2: ifconfig_carp7: nothing creates carp7: write cloned_interfaces=\"carp7\"",
    ),
    (
        "cloned_interfaces=\"${cloned_interfaces} carp07\"",
        "rc.conf:2: cloned_interfaces: carp07: the number of a carp interface is 0 to 32767",
    ),
    (
        "ifconfig_em0_alias0=\"inet vhid 1 pass x alias 192.168.1.50/32\"",
        "rc.conf:2: ifconfig_em0_alias0: a vhid is set on a carp interface here: write \
         cloned_interfaces=\"carp0\" and ifconfig_carp0=\"vhid ... carpdev em0\"",
    ),
    (
        "ifconfig_carp0_aliases=\"inet 192.168.1.9-5/24\"",
        "rc.conf:2: ifconfig_carp0_aliases: 192.168.1.9-5/24: the range ends before it begins",
    ),
    (
        ". /etc/rc.conf.local",
        "rc.conf:2: a command, and nothing is executed here: write name=\"value\"",
    ),
];

#[test]
fn fault_is_reported_with_its_line_and_the_remedy() {
    for (text, expected) in FAULTS {
        // The other interface of the file is configured.
        let text = format!(
            "cloned_interfaces=\"carp0 carp1\"; ifconfig_carp1=\"vhid 2 192.168.2.1/24\"\n{text}\n"
        );
        let configuration = read_text(&text);
        assert_eq!(told(&configuration.faults), [*expected], "{text}");
        let there = |wanted: &Wanted| wanted.unit.number() == 1;
        assert!(configuration.interfaces.iter().any(there), "{text}");
    }
}

#[test]
fn value_that_doubles_itself_is_refused_at_the_limit() {
    let doubled = "ifconfig_carp0=\"${ifconfig_carp0} ${ifconfig_carp0}\"\n".repeat(25);
    let text = format!("cloned_interfaces=\"carp0\"\nifconfig_carp0=\"vhid 1\"\n{doubled}");
    let long = format!(
        "cloned_interfaces=carp0\nifconfig_carp0=\"{}\"\n",
        " ".repeat(70_000)
    );
    for (text, line) in [(text, 16), (long, 2)] {
        let configuration = read_text(&text);
        let expected = "ifconfig_carp0: its value is longer than 65536 bytes";
        assert_eq!(
            told(&configuration.faults)[0],
            format!("rc.conf:{line}: {expected}")
        );
        assert!(configuration.interfaces.is_empty());
    }
}

#[test]
fn unreadable_list_causes_no_faults_of_interfaces() {
    for line in ["cloned_interfaces=\"carp0", "cloned_interfaces=$CLONES"] {
        let text = format!("{line}\nifconfig_carp0=\"vhid 1 192.168.1.1/24\"\n");
        let configuration = read_text(&text);
        assert_eq!(configuration.faults.len(), 1, "{:?}", configuration.faults);
        assert!(configuration.interfaces.is_empty());
    }
}

#[test]
fn second_use_of_a_vhid_on_one_interface_is_refused() {
    let configuration = read_text(
        "cloned_interfaces=\"carp0 carp1 carp2\"\n\
         ifconfig_carp0=\"vhid 1 carpdev eth0 192.168.1.1/24\"\n\
         ifconfig_carp1=\"vhid 1 carpdev eth1 192.168.2.1/24\"\n\
         ifconfig_carp2=\"vhid 1 carpdev eth0 192.168.3.1/24\"\n",
    );
    assert_eq!(
        told(&configuration.faults),
        ["rc.conf:4: carp2: vhid 1 is already used by carp0 on eth0"]
    );
    let units = configuration
        .interfaces
        .iter()
        .map(|wanted| wanted.unit.number());
    assert_eq!(units.collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn fault_contains_no_password() {
    for line in [
        "ifconfig_carp0=\"vhid 1 pass mekmitas digoat\"",
        "ifconfig_carp0=\"vhid 1 accept_pass mekmitas digoat\"",
        "ifconfig_carp0=\"vhid 1 pass mekmitasdigoatmekmitasdigoat\"",
        "ifconfig_carp0=\"vhid 1 pass \\\nmekmitas up\nifconfig_carp1=\"\"",
        "ifconfig_carp0=\"vhid 1 pass x$mekmitas\"",
        "ifconfig_carp0=\"vhid 1 pass x${mekmitas:-1}\"",
        "ifconfig_carp0=vhid\\ 1\\ pass\\  mekmitas",
        "mekmitas",
    ] {
        let configuration = read_text(&format!("cloned_interfaces=carp0\n{line}\n"));
        assert!(!configuration.faults.is_empty(), "{line}");
        let told = told(&configuration.faults).join("\n");
        assert!(!told.contains("mekmi") && !told.contains("goat"), "{told}");
    }
}

#[test]
fn probable_mistake_is_a_warning() {
    let configuration = read_text(
        "cloned_interfaces=carp0\nifconfig_carp0=\"vhid 1\"\nifconfig_carp0=\"vhid 2 10.0.0.1\"\n",
    );
    assert_eq!(configuration.faults, []);
    assert_eq!(
        told(&configuration.warnings),
        [
            "rc.conf:3: ifconfig_carp0: overrides line 2",
            "rc.conf:3: ifconfig_carp0: 10.0.0.1 has no netmask, /8 is taken from its class",
        ]
    );
}

#[test]
fn file_with_passwords_open_to_others_is_a_warning() {
    let directory = directory(
        "cloned_interfaces=carp0\nifconfig_carp0=\"vhid 1 pass x\"\n",
        "",
    );
    let path = directory.path().join("rc.conf");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let configuration = files(&directory).read();
    let warning = configuration.warnings[0].to_string();
    assert!(
        warning.ends_with(&format!("chmod 600 {}", path.display())),
        "{warning}"
    );
    // Saving removes the permissions of others.
    files(&directory).save(&running(&configuration)).unwrap();
    assert_eq!(files(&directory).read().warnings, []);
}

#[test]
fn missing_files_configure_nothing() {
    let nowhere = Files::new("/nowhere/at/all".into());
    let configuration = nowhere.read();
    assert!(configuration.interfaces.is_empty() && configuration.faults.is_empty());
    assert!(configuration.sysctls.contains(&(Sysctl::Allow, 1)));
}

#[test]
fn saving_the_configured_state_changes_no_byte() {
    let text = "# ours\nhostname=\"gw\"\ncloned_interfaces=\"lo1 carp0\" # both\n\
                ifconfig_carp0=\"vhid 1 \\\n  pass x 192.168.1.1/24\"\n\n# end\n";
    let sysctl = "# ours\nnet.inet.carp.preempt = 1\n";
    let directory = directory(text, sysctl);
    let configuration = files(&directory).read();
    files(&directory).save(&running(&configuration)).unwrap();
    let read = |name| fs::read_to_string(directory.path().join(name)).unwrap();
    assert_eq!(
        (read("rc.conf").as_str(), read("sysctl.conf").as_str()),
        (text, sysctl)
    );
}

#[test]
fn saving_changes_only_differences() {
    let directory = directory(
        "# ours\nhostname=\"gw\"\ncloned_interfaces=\"lo1 carp0 carp1 carp2\" # all\n\
         # the first\nifconfig_carp0=\"vhid 1 192.168.1.1/24\" # keep\n\
         ifconfig_carp1=\"vhid 2 192.168.2.1/24\"\n\
         ifconfig_carp1_alias0=\"inet 192.168.2.2/32\"\n\
         ifconfig_carp2=\"vhid 3\"\ndefaultrouter=10.0.0.1",
        "",
    );
    let configuration = files(&directory).read();
    let mut running = running(&configuration);
    let unit = |number: u16| Unit::try_from(number).unwrap();
    let carp1 = running.interfaces.get_mut(&unit(1)).unwrap();
    carp1.addresses.pop();
    carp1.advskew = 100_u64.try_into().unwrap();
    let carp2 = running.interfaces.remove(&unit(2)).unwrap();
    running.interfaces.insert(unit(9), carp2);
    running
        .sysctls
        .retain(|(sysctl, _)| *sysctl != Sysctl::Preempt);
    running.sysctls.push((Sysctl::Preempt, 1));
    files(&directory).save(&running).unwrap();

    let read = |name| fs::read_to_string(directory.path().join(name)).unwrap();
    assert_eq!(
        read("rc.conf"),
        "# ours\nhostname=\"gw\"\ncloned_interfaces=\"lo1 carp0 carp1 carp9\" # all\n\
         # the first\nifconfig_carp0=\"vhid 1 192.168.1.1/24\" # keep\n\
         ifconfig_carp1=\"vhid 2 advskew 100 inet 192.168.2.1/24\"\n\
         defaultrouter=10.0.0.1\nifconfig_carp9=\"vhid 3\"\n"
    );
    assert_eq!(read("sysctl.conf"), "net.inet.carp.preempt=1\n");
    for name in ["rc.conf", "sysctl.conf"] {
        let mode = fs::metadata(directory.path().join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o600, "{name}");
    }
}

#[test]
fn faulty_file_is_not_overwritten() {
    let text = "cloned_interfaces=carp0\nifconfig_carp0=\"vhid 0\"\n";
    let directory = directory(text, "");
    let error = files(&directory).save(&Running::default()).unwrap_err();
    assert!(
        error.starts_with("nothing was saved, correct this first: "),
        "{error}"
    );
    assert!(
        error.contains("rc.conf:2: ifconfig_carp0: vhid 0"),
        "{error}"
    );
    assert_eq!(
        fs::read_to_string(directory.path().join("rc.conf")).unwrap(),
        text
    );
}

#[test]
fn check_prints_a_line_for_each_fault_and_warning() {
    let directory = directory(
        "cloned_interfaces=carp0\nifconfig_carp0=\"vhid 0\"\nifconfig_carp1=\"up\"\n",
        "net.inet.carp.preempt=7\n",
    );
    let check = |path: Option<&str>| {
        let mut out = Vec::new();
        let path = path.map(|name| directory.path().join(name));
        let right = check(directory.path(), path.as_deref(), &mut out).unwrap();
        (right, String::from_utf8(out).unwrap().lines().count())
    };
    assert_eq!(check(None), (false, 3));
    assert_eq!(check(Some("")), (false, 3));
    assert_eq!(check(Some("rc.conf")), (false, 2));
    assert_eq!(check(Some("sysctl.conf")), (false, 1));
    assert_eq!(check(Some("missing")), (false, 1));
    fs::write(directory.path().join("rc.conf"), "").unwrap();
    assert_eq!(check(Some("rc.conf")), (true, 0));
}

/// Returns the literal examples of a manual page.
fn examples(page: &str) -> Vec<String> {
    let (_, page) = page.split_once(".Sh EXAMPLES").unwrap();
    let (page, _) = page.split_once(".Sh ").unwrap();
    page.split(".Bd -literal -offset indent\n")
        .skip(1)
        .map(|rest| rest.split(".Ed").next().unwrap().replace("\\e", "\\"))
        .collect()
}

#[test]
fn examples_of_the_manual_are_valid() {
    let examples = examples(include_str!("../../../man/carpd.rc.conf.5"));
    let (sysctl, rc): (Vec<String>, Vec<String>) = examples
        .into_iter()
        .partition(|example| example.starts_with("net.inet"));
    assert_eq!((sysctl.len(), rc.len()), (1, 3));
    for example in rc {
        let configuration = read_text(&example);
        assert_eq!(configuration.faults, [], "{example}");
        assert_eq!(configuration.warnings, [], "{example}");
        assert!(!configuration.interfaces.is_empty(), "{example}");
    }
    assert_eq!(sysctlconf::read(sysctl[0].as_bytes()).values.len(), 1);
    // The installed file configures nothing, and is valid without its comment signs.
    let installed = include_str!("../../rc.conf");
    assert!(interfaces(installed).is_empty());
    let taken = installed
        .replace("\n#cloned", "\ncloned")
        .replace("\n#ifconfig", "\nifconfig");
    assert_eq!(interfaces(&taken).len(), 1);
}

const FRAGMENTS: &[&str] = &[
    "cloned_interfaces=",
    "ifconfig_carp0=",
    "ifconfig_carp0_alias0=",
    "ipv4_addrs_carp1=",
    "carp0 ",
    "vhid 1 ",
    "pass ",
    "192.168.1.1/24 ",
    "\"",
    "'",
    "\\",
    "\n",
    "${cloned_interfaces}",
    "$(",
    "# ",
    ";",
];

proptest! {
    #[test]
    fn no_file_makes_carpd_stumble(
        fragments in vec(select(FRAGMENTS), 0..40),
        noise in vec(any::<u8>(), 0..20),
    ) {
        let mut text: Vec<u8> = fragments.concat().into_bytes();
        text.extend(noise);
        let found = rcconf::read(&text);
        for complaint in &found.complaints {
            prop_assert!(complaint.line > 0 && !complaint.message.is_empty());
        }
        // A valid file can be saved over itself, and reads as the same again.
        if found.complaints.is_empty() {
            let running = found
                .interfaces
                .iter()
                .map(|(unit, interface)| (*unit, interface.settings.clone()))
                .collect();
            prop_assert_eq!(rewrite::rewrite(&text, &found, &running), Ok(text));
            prop_assert!(rewrite::rewrite(b"", &rcconf::read(b""), &running).is_ok());
        }
        let _ = sysctlconf::read(&fragments.concat().into_bytes());
    }
}
