//! Completion with the TAB key of real shells, with a running carpd.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use carp_tests::{Carpd, Host, Lab, Terminal, program};

const COMPLETIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../completions");

/// Longest time that feels immediate, and several times what an idle machine needs to start a
/// process that asks carpd.
const TAB_TIMEOUT: Duration = Duration::from_millis(200);

/// A host with two carp interfaces, and a directory with the programs under test.
struct Site {
    carpd: Carpd,
    host: Host,
    programs: PathBuf,
    lab: Lab,
}

impl Site {
    fn new() -> Result<Self> {
        let lab = Lab::new()?;
        let host = lab.host("a", &[("lan", "192.168.1.2/24"), ("dmz", "192.168.2.2/24")])?;
        let carpd = Carpd::start(&host)?;
        carpd.carpctl("carp0 create vhid 1 pass mekmitasdigoat 192.168.1.1/24 192.168.1.7/24")?;
        carpd.carpctl("carp1 create vhid 2 pass mekmitasdigoat 192.168.2.1/24")?;
        carpd.carpctl("carp1 description dmz")?;
        let programs = program("carpctl")?
            .parent()
            .context("a directory")?
            .to_owned();
        Ok(Self {
            carpd,
            host,
            programs,
            lab,
        })
    }

    fn environment(&self) -> Result<Vec<(&'static str, String)>> {
        let path = format!("{}:{}", self.programs.display(), std::env::var("PATH")?);
        Ok(vec![
            ("PATH", path),
            ("CARPD_BUS_ADDRESS", self.carpd.address()),
            ("HOME", self.lab.directory().display().to_string()),
        ])
    }

    /// Starts an interactive shell in a terminal, with completion set up by `profile`.
    fn shell(&self, command: &str, profile: &str) -> Result<Terminal> {
        let script = self.lab.path("profile");
        fs::write(&script, format!("PS1='ready> '\n{profile}\nclear\n"))?;
        let environment = self
            .environment()?
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
            .join(" ");
        let line = format!("exec env {environment} {command}");
        let terminal = Terminal::run(&self.host, (160, 50), &line)?;
        terminal.type_in(&format!(". {}", script.display()))?;
        terminal.press(&["Enter"])?;
        terminal.wait_for(&["ready>"], Duration::ZERO)?;
        Ok(terminal)
    }

    /// Returns the completions that fish prints for a line.
    fn fish(&self, line: &str) -> Result<String> {
        let mut command = self.host.command("fish");
        command
            .envs(self.environment()?)
            .args(["--no-config", "-c"]);
        let sources = ["carpctl", "carpd", "carptop"]
            .map(|name| format!("source {COMPLETIONS}/{name}.fish"))
            .join("; ");
        command.arg(format!("{sources}; complete -C '{line}'"));
        let output = command.output().context("fish")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(errors.is_empty(), "{line}: {errors}");
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// A line, completions that a TAB must offer, and completions that it must not.
const LINES: &[(&str, &[&str], &[&str])] = &[
    (
        "carpctl ",
        &["carp0", "carp1", "sysctl", "monitor", "--json"],
        &["carpdev", "eth0"],
    ),
    (
        "carpctl carp1 ",
        &["vhid", "carpdev", "-alias", "description", "--show-pass"],
        &["sysctl", "monitor"],
    ),
    ("carpctl carp0 vhid 1 advbase 1 adv", &["advskew"], &[]),
    (
        "carpctl carp0 vhid 1 carpdev ",
        &["eth0", "eth1"],
        &["carp1", "lo ", "carpear", "carpany"],
    ),
    ("carpctl carp0 state ", &["master", "backup"], &["init"]),
    (
        "carpctl carp0 -alias 192.168.",
        &["192.168.1.1", "192.168.1.7"],
        &["192.168.2.1"],
    ),
    ("carpctl carp0 lladdr ", &["virtual", "parent"], &[]),
    (
        "carpctl sysctl net.inet.carp.re",
        &["net.inet.carp.replay", "net.inet.carp.replay_window"],
        &["preempt"],
    ),
    ("carpctl netstat -I ", &["carp0", "carp1"], &["eth0"]),
    ("carpctl completions ", &["bash", "zsh", "fish"], &["carp0"]),
    ("carpctl suppress --", &["--who", "--why"], &["--since"]),
    (
        "carptop --theme ",
        &["auto", "dark", "light", "mono"],
        &["--once"],
    ),
    (
        "carptop --",
        &["--once", "--filter", "--interval"],
        &["--bus"],
    ),
    (
        "carpd --log-level ",
        &["error", "warn", "info", "debug", "trace"],
        &["--bus"],
    ),
    (
        "carpd --",
        &["--bus", "--check", "--config-dir", "--run-dir"],
        &["--once"],
    ),
];

/// Types each line, presses the key that lists candidates, and checks the screen.
fn tab(shell: &Terminal) -> Result<()> {
    for (line, offered, not) in LINES {
        shell.press(&["C-u", "C-l"])?;
        shell.type_in(line)?;
        shell.wait_for(&[line.trim_end()], Duration::ZERO)?;
        shell.press(&["Tab"])?;
        let screen = shell
            .wait_for(offered, Duration::ZERO)
            .with_context(|| format!("behind '{line}'"))?;
        for word in *not {
            ensure!(!screen.contains(word), "{word} behind '{line}':\n{screen}");
        }
    }
    Ok(())
}

const BASH: &str = "bash --norc --noprofile -i";
const ZSH: &str = "zsh -f -i";

fn bash_profile(setup: &str) -> String {
    format!("{setup}\nbind 'set show-all-if-ambiguous on'; bind 'set completion-query-items 500'")
}

#[test]
fn bash_completes_without_bash_completion() -> Result<()> {
    let site = Site::new()?;
    let sources =
        ["carpctl", "carpd", "carptop"].map(|name| format!(". {COMPLETIONS}/{name}.bash"));
    tab(&site.shell(BASH, &bash_profile(&sources.join("\n")))?)
}

#[test]
fn bash_completion_loads_the_files_on_demand() -> Result<()> {
    let site = Site::new()?;
    let user = site.lab.path("bash-completion");
    let place = user.join("completions");
    fs::create_dir_all(&place)?;
    for name in ["carpctl.bash", "carpd.bash", "carptop.bash"] {
        fs::copy(Path::new(COMPLETIONS).join(name), place.join(name))?;
    }
    let setup = format!(
        "BASH_COMPLETION_USER_DIR={}\n. /usr/share/bash-completion/bash_completion",
        user.display()
    );
    let shell = site.shell(BASH, &bash_profile(&setup))?;
    tab(&shell)?;
    // The system's programs keep their own completion.
    shell.press(&["C-u", "C-l"])?;
    shell.type_in("sysctl net.ipv4.ip_forwar")?;
    shell.press(&["Tab"])?;
    shell.wait_for(&["net.ipv4.ip_forward"], Duration::ZERO)?;
    Ok(())
}

#[test]
fn zsh_completes_and_describes() -> Result<()> {
    let site = Site::new()?;
    let setup = format!(
        "fpath=({COMPLETIONS} $fpath); autoload -Uz compinit; compinit -u -D; \
         unsetopt LIST_BEEP LIST_AMBIGUOUS; LISTMAX=500; bindkey -e"
    );
    let shell = site.shell(ZSH, &setup)?;
    tab(&shell)?;
    shell.press(&["C-u", "C-l"])?;
    shell.type_in("carpctl sysctl net.inet.carp.re")?;
    shell.press(&["Tab"])?;
    // The value precedes the description.
    shell.wait_for(&["net.inet.carp.replay ", "-- 1: "], Duration::ZERO)?;
    shell.press(&["C-u", "C-l"])?;
    shell.type_in("echo $_comps[ifconfig] $_comps[sysctl] $_comps[carpctl]")?;
    shell.press(&["Enter"])?;
    shell.wait_for(&["_ifconfig _sysctl _carpctl"], Duration::ZERO)?;
    Ok(())
}

#[test]
fn fish_completes_and_describes() -> Result<()> {
    let site = Site::new()?;
    for (line, offered, not) in LINES {
        let said = site.fish(line)?;
        for word in *offered {
            ensure!(said.contains(word), "no {word} behind '{line}':\n{said}");
        }
        let words: Vec<&str> = said
            .lines()
            .filter_map(|line| line.split('\t').next())
            .collect();
        for word in not.iter().map(|word| word.trim()) {
            ensure!(!words.contains(&word), "{word} behind '{line}':\n{said}");
        }
    }
    let said = site.fish("carpctl ")?;
    ensure!(
        said.contains("carp1\tMASTER vhid 2 dmz\n") || said.contains("carp1\tBACKUP vhid 2 dmz\n"),
        "{said}"
    );
    let said = site.fish("carpctl sysctl net.inet.carp.log")?;
    ensure!(said.starts_with("net.inet.carp.log\t1: "), "{said}");
    Ok(())
}

#[test]
fn fish_keeps_the_completion_of_the_systems_programs() -> Result<()> {
    let site = Site::new()?;
    for line in ["ifconfig ca", "sysctl net.inet.carp"] {
        let said = site.fish(line)?;
        ensure!(!said.contains("vhid"), "{line}: {said}");
        ensure!(!said.contains("net.inet.carp.preempt"), "{line}: {said}");
    }
    Ok(())
}

#[test]
fn passfile_and_check_complete_file_names() -> Result<()> {
    let site = Site::new()?;
    fs::write(site.lab.path("phrase.txt"), "")?;
    let typed = site.lab.path("phr").display().to_string();
    let shells = [
        (BASH, format!(". {COMPLETIONS}/carpctl.bash")),
        (
            ZSH,
            format!(
                "fpath=({COMPLETIONS} $fpath); autoload -Uz compinit; compinit -u -D; bindkey -e"
            ),
        ),
    ];
    for (command, setup) in shells {
        let shell = site.shell(command, &setup)?;
        for line in ["carpctl carp0 passfile", "carpctl check"] {
            shell.press(&["C-u", "C-l"])?;
            shell.type_in(&format!("{line} {typed}"))?;
            shell.press(&["Tab"])?;
            shell.wait_for(&["phrase.txt"], Duration::ZERO)?;
        }
    }
    for line in ["carpctl carp0 passfile", "carpctl check"] {
        let said = site.fish(&format!("{line} {typed}"))?;
        ensure!(said.contains("phrase.txt"), "{line}: {said}");
    }
    Ok(())
}

#[test]
fn completion_without_carpd_is_silent_and_offers_fixed_words() -> Result<()> {
    let lab = Lab::new()?;
    let host = lab.host("a", &[("lan", "192.168.1.2/24")])?;
    for words in [
        &["--complete", ""][..],
        &["--complete", "sysctl", ""],
        &["--complete", "carp0", "carpdev", ""],
    ] {
        let mut command: Command = host.command(program("carpctl")?);
        command.env(
            "CARPD_BUS_ADDRESS",
            format!("unix:path={}", lab.path("nothing").display()),
        );
        let output = command.args(words).output()?;
        ensure!(
            output.status.success() && output.stderr.is_empty(),
            "{output:?}"
        );
    }
    Ok(())
}

#[test]
fn tab_is_answered_within_the_limit() -> Result<()> {
    let site = Site::new()?;
    // The fastest of ten runs: a busy machine slows down some of them.
    for words in [
        &["--complete", ""][..],
        &["--complete", "sysctl", ""],
        &["--complete", "carp0", "-alias", ""],
    ] {
        let mut best = Duration::MAX;
        for _ in 0..10 {
            let mut command = site.carpd.carpctl_command()?;
            let start = Instant::now();
            let output = command.args(words).output()?;
            best = best.min(start.elapsed());
            ensure!(
                output.status.success() && !output.stdout.is_empty(),
                "{output:?}"
            );
        }
        ensure!(best <= TAB_TIMEOUT, "{words:?}: {best:?}");
    }
    Ok(())
}
