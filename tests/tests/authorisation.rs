//! Authorisation: root can change everything, and on the bus users whom polkit authorises. Others
//! get an error that names the remedy, and nothing changes.

use std::fs;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use carp_tests::{Bus, Carpd, Host, Lab, MARGIN, Polkit, master_down, program, wait_until};

/// A user other than root.
const NOBODY: u32 = 65534;

/// Time that carpd waits for an answer of polkit.
const POLKIT_TIMEOUT: Duration = Duration::from_secs(4);

const MANAGER: &str = "/org/carpd1 org.carpd1.Manager";
const CARP0: &str = "/org/carpd1/interface/carp0 org.carpd1.Interface";
const CARP1: &str = "/org/carpd1/interface/carp1 org.carpd1.Interface";

/// A host with two groups, and its bus.
struct Site {
    host: Host,
    carpd: Carpd,
    bus: Bus,
    lab: Lab,
}

impl Site {
    fn new() -> Result<Self> {
        let lab = Lab::new()?;
        lab.open_to_others()?;
        let bus = Bus::start(&lab)?;
        let host = lab.host("a", &[("lan", "192.168.1.2/24")])?;
        let carpd = Carpd::start_on(&host, bus.address())?;
        for (name, vhid) in [("carp0", 1), ("carp1", 2)] {
            carpd.carpctl(&format!("{name} create"))?;
            carpd.carpctl(&format!(
                "{name} vhid {vhid} pass hidden-{vhid} 192.168.1.{vhid}0/24"
            ))?;
            carpd.wait_for_state(name, "MASTER", master_down(1, 0))?;
        }
        let site = Self {
            host,
            carpd,
            bus,
            lab,
        };
        wait_until("carpd is on the bus", MARGIN, || {
            site.busctl(0, &format!("{MANAGER} GetStatistics"))
                .map(Some)
        })?;
        Ok(site)
    }

    /// Returns a command of user `uid`, on the bus.
    fn command(&self, uid: u32) -> Command {
        let mut command = self.host.command("setpriv");
        command
            .env("DBUS_SYSTEM_BUS_ADDRESS", self.bus.address())
            .arg(format!("--reuid={uid}"))
            .arg(format!("--regid={uid}"))
            .arg("--clear-groups");
        command
    }

    /// Calls carpd as user `uid`. An error is carpd's message.
    fn busctl(&self, uid: u32, call: &str) -> Result<String> {
        let mut command = self.command(uid);
        command.args(["busctl", "--system", "call", "org.carpd1"]);
        told(&command.args(call.split(' ')).output()?)
    }

    /// The same, without interactive authentication.
    fn busctl_alone(&self, uid: u32, call: &str) -> Result<String> {
        let mut command = self.command(uid);
        command.args(["busctl", "--system", "--allow-interactive-authorization=no"]);
        command.args(["call", "org.carpd1"]);
        told(&command.args(call.split(' ')).output()?)
    }

    /// Runs carpctl as a user who can reach carpd only on the bus.
    fn carpctl(&self, line: &str) -> Result<String> {
        let theirs = self.lab.path("carpctl");
        if !theirs.exists() {
            fs::copy(program("carpctl")?, &theirs)?;
        }
        let mut command = self.host.command("sh");
        command.env("DBUS_SYSTEM_BUS_ADDRESS", self.bus.address());
        let line = format!(
            "mount -t tmpfs none /run && exec setpriv --reuid={NOBODY} --regid={NOBODY} \
             --clear-groups {} {line}",
            theirs.display()
        );
        told(&command.args(["-c", &line]).output()?)
    }

    /// Asserts that carpd refuses every call that changes something, with the message that `says`
    /// returns, and changes nothing.
    fn refuses_everything(&self, says: impl Fn(&str) -> String) -> Result<()> {
        let before = self.carpd.carpctl("-a --json")?;
        for (call, deed) in [
            (
                format!("{MANAGER} CreateInterface sa{{sv}} carp7 0"),
                "create carp7",
            ),
            (
                format!("{MANAGER} DestroyInterface s carp0"),
                "destroy carp0",
            ),
            (
                format!("{MANAGER} Suppress ss me because"),
                "suppress preemption",
            ),
            (format!("{MANAGER} ResetStatistics"), "reset the statistics"),
            (format!("{MANAGER} Save"), "save the configuration"),
            (format!("{MANAGER} Reload"), "reload the configuration"),
            (
                "/org/carpd1 org.carpd1.Sysctl Set sv net.inet.carp.preempt u 1".to_owned(),
                "set net.inet.carp.preempt",
            ),
            (format!("{CARP0} SetPassword ay 1 65"), "change carp0"),
            (format!("{CARP0} SetState s BACKUP"), "change carp0"),
            (format!("{CARP0} SetVH (iiiiay) 1 9 0 1 0"), "change carp0"),
        ] {
            let refused = self.busctl(NOBODY, &call).err().context(call.clone())?;
            assert_eq!(refused.to_string(), says(deed), "{call}");
        }
        let ignore = |text: &str| -> Result<Vec<String>> {
            let all: Vec<serde_json::Value> = serde_json::from_str(text)?;
            Ok(all
                .iter()
                .map(|one| {
                    format!(
                        "{} {} {}",
                        one["name"], one["state"], one["last_transition"]
                    )
                })
                .collect())
        };
        assert_eq!(ignore(&before)?, ignore(&self.carpd.carpctl("-a --json")?)?);
        ensure!(!self.carpd.config("rc.conf").exists(), "it was saved");
        Ok(())
    }
}

/// Returns the standard output or, as an error, the standard error.
fn told(output: &Output) -> Result<String> {
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{}",
        complaint.trim().trim_start_matches("Call failed: ")
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn without_polkit_any_user_reads_and_only_root_changes() -> Result<()> {
    let site = Site::new()?;
    site.refuses_everything(|deed| {
        format!(
            "only root may {deed}, and the caller is user {NOBODY}, \
             as there is no polkit that could allow it"
        )
    })?;
    let can = site.busctl(NOBODY, &format!("{MANAGER} CanChange ss state carp0"))?;
    assert_eq!(can, "s \"no\"\n");
    let can = site.busctl(0, &format!("{MANAGER} CanChange ss state carp0"))?;
    assert_eq!(can, "s \"yes\"\n");
    // Everything is shown but the password.
    let listed = site.busctl(NOBODY, &format!("{MANAGER} ListInterfaces"))?;
    ensure!(listed.contains("\"HasPassword\" b true"), "{listed}");
    ensure!(!listed.contains("hidden"), "{listed}");
    let key = |uid| site.busctl(uid, &format!("{CARP0} GetVH"));
    assert_eq!(key(NOBODY)?, "(iiiiay) 2 1 0 1 0\n");
    assert_eq!(
        key(0)?,
        "(iiiiay) 2 1 0 1 8 104 105 100 100 101 110 45 49\n"
    );
    ensure!(site.carpctl("carp0")?.contains("carp: MASTER"));
    let refused = site
        .carpctl("carp0 down")
        .err()
        .context("carpd refuses it")?;
    assert_eq!(
        refused.to_string(),
        format!(
            "carpctl: only root may change carp0, and the caller is user {NOBODY}, \
             as there is no polkit that could allow it"
        )
    );
    let refused = site.carpctl("carp0 --show-pass").err();
    let refused = refused.context("carpd refuses it")?.to_string();
    assert_eq!(refused, "carpctl: carp0: only root may see the password");
    Ok(())
}

#[test]
fn installed_polkit_actions_ask_for_an_administrator() -> Result<()> {
    let site = Site::new()?;
    let _polkit = Polkit::start(&site.lab, &site.bus, "")?;
    site.refuses_everything(|deed| {
        format!(
            "user {NOBODY} may {deed} after authentication, of which there was none: log in \
             where an agent asks for passwords, run pkttyagent(1) beside, or ask root"
        )
    })?;
    let refused = site.busctl_alone(NOBODY, &format!("{CARP0} Down")).err();
    assert_eq!(
        refused.context("carpd refuses it")?.to_string(),
        format!(
            "user {NOBODY} may change carp0 after authentication, which the call does not allow"
        )
    );
    for action in [
        "configure",
        "state",
        "sysctl",
        "suppress",
        "save",
        "reload",
        "reset-statistics",
    ] {
        let can = site.busctl(NOBODY, &format!("{MANAGER} CanChange ss {action} carp0"))?;
        assert_eq!(can, "s \"challenge\"\n", "{action}");
    }
    let unknown = site.busctl(NOBODY, &format!("{MANAGER} CanChange ss everything carp0"));
    let unknown = unknown
        .err()
        .context("there is no such action")?
        .to_string();
    ensure!(
        unknown.starts_with("there is no action 'everything'; there are configure,"),
        "{unknown}"
    );
    site.busctl(0, &format!("{CARP0} Down"))?;
    Ok(())
}

#[test]
fn polkit_rule_allows_a_user_one_interface_and_nothing_else() -> Result<()> {
    let site = Site::new()?;
    let rule = rule_of_the_manual()?.replace("isInGroup(\"operator\")", "user == \"nobody\"");
    let _polkit = Polkit::start(&site.lab, &site.bus, &rule)?;

    site.carpctl("carp0 state backup")?;
    site.carpd
        .wait_for_state("carp0", "BACKUP", Duration::ZERO)?;
    site.busctl(NOBODY, &format!("{CARP0} Down"))?;
    ensure!(!site.carpctl("carp0")?.contains("UP"));
    site.carpctl("carp0 up")?;

    let can = |action, object: &str| {
        site.busctl(NOBODY, &format!("{MANAGER} CanChange ss {action} {object}"))
    };
    assert_eq!(can("state", "carp0")?, "s \"yes\"\n");
    assert_eq!(can("state", "carp1")?, "s \"challenge\"\n");
    assert_eq!(can("configure", "carp0")?, "s \"challenge\"\n");
    for call in [
        format!("{CARP1} Down"),
        format!("{CARP0} SetVhid y 9"),
        // The change is more than one of state.
        format!("{CARP0} Configure a{{sv}} 2 Up b false AdvSkew y 9"),
        format!("{CARP0} SetVH (iiiiay) 1 0 0 0 0"),
    ] {
        let refused = site.busctl(NOBODY, &call).err().context(call.clone())?;
        ensure!(
            refused.to_string().contains("after authentication"),
            "{call}: {refused}"
        );
    }
    let refused = site.carpctl("carp0 state backup advskew 9").err();
    let refused = refused.context("carpd refuses it")?.to_string();
    ensure!(refused.contains("after authentication"), "{refused}");
    assert_eq!(
        site.busctl(NOBODY, &format!("{CARP0} GetVH"))?
            .split(' ')
            .next_back(),
        Some("0\n"),
        "no rule shows the password"
    );
    Ok(())
}

#[test]
fn polkit_that_hangs_or_dies_authorises_no_user_and_delays_none() -> Result<()> {
    let site = Site::new()?;
    let mut polkit = Polkit::start(&site.lab, &site.bus, &rule_of_the_manual()?)?;
    polkit.stop()?;
    let began = Instant::now();
    let mut asking = site.command(NOBODY);
    asking.args([
        "busctl",
        "--system",
        "--allow-interactive-authorization=no",
        "call",
    ]);
    asking
        .args(["org.carpd1"])
        .args(format!("{CARP0} Down").split(' '));
    let asking = std::thread::spawn(move || asking.output());
    // Meanwhile the same object answers any user, and root can change it.
    site.busctl(NOBODY, &format!("{CARP0} GetVH"))?;
    site.busctl(0, &format!("{CARP0} SetState s BACKUP"))?;
    site.busctl(0, &format!("{MANAGER} DestroyInterface s carp1"))?;
    ensure!(
        !asking.is_finished(),
        "the others waited for polkit, or carpd did not ask it"
    );
    let answer = asking.join().ok().context("the thread panicked")?;
    ensure!(began.elapsed() < POLKIT_TIMEOUT + MARGIN);
    assert_eq!(
        told(&answer?)
            .err()
            .context("carpd refuses it")?
            .to_string(),
        format!(
            "only root may change carp0, and the caller is user {NOBODY}, \
             as polkit did not answer within 4 seconds"
        )
    );
    polkit.kill()?;
    let refused = site.busctl(NOBODY, &format!("{CARP0} Down")).err();
    let refused = refused.context("carpd refuses it")?.to_string();
    ensure!(
        refused.ends_with("as there is no polkit that could allow it"),
        "{refused}"
    );
    Ok(())
}

#[test]
fn private_socket_lets_only_root_change_even_if_others_reach_it() -> Result<()> {
    let site = Site::new()?;
    // Only root can open these directories to others.
    let run = site.carpd.run_directory();
    site.host
        .run(&format!("chmod -R a+rwX {}", run.display()))?;
    let directory = run.parent().context("a run directory is in another")?;
    site.host
        .run(&format!("chmod a+x {}", directory.display()))?;
    let theirs = site.lab.path("carpctl");
    fs::copy(program("carpctl")?, &theirs)?;
    let carpctl = |words: &[&str]| {
        let mut command = site.command(NOBODY);
        command.env("CARPD_BUS_ADDRESS", site.carpd.address());
        told(&command.arg(&theirs).args(words).output()?)
    };
    ensure!(carpctl(&["carp0"])?.contains("carp: MASTER"));
    for (words, refusal) in [
        (
            &["carp0", "down"][..],
            "only root may change carp0, and the caller is user 65534",
        ),
        (
            &["carp0", "--show-pass"],
            "carp0: only root may see the password",
        ),
        (
            &["save"],
            "only root may save the configuration, and the caller is user 65534",
        ),
    ] {
        let refused = carpctl(words).err().context("carpd refuses it")?;
        assert_eq!(refused.to_string(), format!("carpctl: {refusal}"));
    }
    Ok(())
}

#[test]
fn private_socket_is_closed_to_all_users_but_root() -> Result<()> {
    let site = Site::new()?;
    let directory = site.carpd.run_directory();
    let mode = |path: &std::path::Path| -> Result<u32> {
        use std::os::unix::fs::PermissionsExt as _;
        Ok(fs::metadata(path)?.permissions().mode() & 0o777)
    };
    assert_eq!(mode(&directory)?, 0o700);
    assert_eq!(mode(&directory.join("bus"))?, 0o600);
    Ok(())
}

/// Returns the rule in org.carpd1(5).
fn rule_of_the_manual() -> Result<String> {
    let page = include_str!("../../man/org.carpd1.5");
    let begin = ".\\\" example: rule\n.Bd -literal -offset indent\n";
    let (_, rest) = page.split_once(begin).context("no example")?;
    let (rule, _) = rest.split_once("\n.Ed\n").context("no end")?;
    Ok(rule.to_owned())
}
