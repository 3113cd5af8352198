//! Golden files `golden/*.txt`: command lines with their output, exit status and calls to carpd.
//! `BLESS=1 cargo test -p carpctl` rewrites them.
//!
//! `sh` runs a line `$ …`. Its standard output follows, then standard error after `2> `, a status
//! other than 0 after `? `, and each call to the daemon after `=> `.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::fake::Fake;

macro_rules! golden {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                check(stringify!($name));
            }
        )*

        #[test]
        fn every_golden_file_has_its_test() {
            let mut files: Vec<String> = fs::read_dir(directory())
                .unwrap()
                .map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
                .collect();
            files.sort();
            assert_eq!(files, [$(stringify!($name)),*]);
        }
    };
}

golden! {
    addresses
    bad_input
    completion
    configuration
    configure
    create
    help
    json
    netstat
    no_daemon
    passwords
    refused
    show
    suppress
    sysctl
}

fn directory() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"))
}

fn check(name: &str) {
    let path = directory().join(name).with_extension("txt");
    let expected = fs::read_to_string(&path).unwrap();
    let fake = Fake::start();
    let mut found = String::new();
    for line in expected.lines() {
        if line.starts_with("# ") {
            writeln!(found, "{line}").unwrap();
        }
        if let Some(command) = line.strip_prefix("$ ") {
            run(&fake, command, &mut found);
        }
    }
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &found).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap();
    assert_eq!(expected, found, "{name}.txt differs: BLESS=1 rewrites it");
}

fn run(fake: &Fake, command: &str, found: &mut String) {
    let socket = fake.socket().display().to_string();
    let output = fake.shell(command).output().unwrap();
    writeln!(found, "$ {command}").unwrap();
    found.push_str(&String::from_utf8(output.stdout).unwrap());
    for line in String::from_utf8(output.stderr).unwrap().lines() {
        writeln!(found, "2> {}", line.replace(&socket, "SOCKET")).unwrap();
    }
    match output.status.code() {
        Some(0) => {}
        status => writeln!(found, "? {}", status.unwrap()).unwrap(),
    }
    for call in fake.take_calls() {
        writeln!(found, "=> {call}").unwrap();
    }
}
