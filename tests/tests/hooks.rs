//! Hooks, and the lines of FreeBSD's devd, on changes of state.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use carp_tests::{Carpd, Lab, MARGIN, master_down, wait_until};

/// carpd with hooks that write to a file.
struct Site {
    carpd: Carpd,
    out: PathBuf,
    _lab: Lab,
}

impl Site {
    fn new() -> Result<Self> {
        let lab = Lab::new()?;
        let host = lab.host("a", &[("lan", "192.168.1.2/24"), ("dmz", "192.168.2.2/24")])?;
        let carpd = Carpd::start(&host)?;
        fs::create_dir(carpd.config_directory().join("hooks.d"))?;
        Ok(Self {
            carpd,
            out: lab.path("out"),
            _lab: lab,
        })
    }

    /// Installs a hook; `$OUT` is the file.
    fn hook(&self, name: &str, lines: &str) -> Result<()> {
        let path = self.carpd.config_directory().join("hooks.d").join(name);
        fs::write(
            &path,
            format!("#!/bin/sh\nOUT={}\n{lines}\n", self.out.display()),
        )?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(())
    }

    fn written(&self) -> String {
        fs::read_to_string(&self.out).unwrap_or_default()
    }

    fn wait_until_written(&self, expected: &str, bound: Duration) -> Result<()> {
        wait_until(
            &format!("the hooks write\n{expected}"),
            bound + MARGIN,
            || {
                let written = self.written();
                ensure!(written == expected, "they wrote\n{written}");
                Ok(Some(()))
            },
        )
    }
}

#[test]
fn hooks_run_for_every_transition_in_order_and_at_the_stop() -> Result<()> {
    let mut site = Site::new()?;
    site.hook(
        "50-tell",
        "echo \"$CARP_INTERFACE vhid $CARP_VHID on $CARP_DEVICE: \
         $CARP_FROM -> $CARP_TO ($CARP_REASON)\" >>$OUT; echo told; echo twice >&2",
    )?;
    site.hook("60-slow", "sleep 0.2; echo \"$CARP_TO done\" >>$OUT")?;
    site.carpd.carpctl("carp0 create")?;
    site.carpd.carpctl("carp0 vhid 1 192.168.1.1/24")?;
    site.carpd.carpctl("carp0 state master")?;
    site.carpd.carpctl("carp0 vhid 2")?;
    let first = "\
carp0 vhid 1 on eth0: INIT -> BACKUP (became-runnable)
BACKUP done
carp0 vhid 1 on eth0: BACKUP -> MASTER (forced)
MASTER done
carp0 vhid 1 on eth0: MASTER -> INIT (reconfigured)
INIT done
carp0 vhid 2 on eth0: INIT -> BACKUP (became-runnable)
BACKUP done
";
    site.wait_until_written(first, Duration::from_secs(2))?;
    ensure!(site.carpd.stop()?.success());
    let last = "carp0 vhid 2 on eth0: BACKUP -> INIT (destroyed)\nINIT done\n";
    assert_eq!(site.written(), format!("{first}{last}"));
    let log = site.carpd.log()?;
    ensure!(log.contains("INFO carp0: hook 50-tell: told\n"), "{log}");
    ensure!(log.contains("INFO carp0: hook 50-tell: twice\n"), "{log}");
    Ok(())
}

#[test]
fn hanging_hook_delays_no_advertisement_and_no_other_interface() -> Result<()> {
    let site = Site::new()?;
    site.hook(
        "hang",
        "[ $CARP_INTERFACE = carp0 ] && exec sleep 600; echo $CARP_INTERFACE $CARP_TO >>$OUT",
    )?;
    site.carpd.carpctl("carp0 create")?;
    site.carpd.carpctl("carp1 create")?;
    site.carpd.carpctl("carp0 vhid 1 192.168.1.1/24")?;
    site.carpd.carpctl("carp1 vhid 1 192.168.2.1/24")?;
    for interface in ["carp0", "carp1"] {
        site.carpd
            .wait_for_state(interface, "MASTER", master_down(1, 0))?;
    }
    site.wait_until_written("carp1 BACKUP\ncarp1 MASTER\n", Duration::ZERO)?;
    site.carpd
        .wait_for_log("carp0: hook hang was killed: it ran for 10 seconds")
}

#[test]
fn hook_can_call_carpctl_and_its_failure_is_logged() -> Result<()> {
    let site = Site::new()?;
    let carpctl = carp_tests::program("carpctl")?;
    site.hook(
        "ask",
        &format!(
            "[ $CARP_TO = MASTER ] || exit 0; \
             {{ {} -l; ls -l /proc/self/fd | grep -cE 'socket:|anon_inode:'; }} >>$OUT; exit 7",
            carpctl.display()
        ),
    )?;
    site.carpd.carpctl("carp0 create")?;
    site.carpd.carpctl("carp0 vhid 1 192.168.1.1/24")?;
    site.carpd.carpctl("carp0 state master")?;
    // The hook has inherited no socket of carpd.
    site.wait_until_written("carp0\n0\n", Duration::from_secs(1))?;
    site.carpd
        .wait_for_log("WARN carp0: hook ask ended with exit status: 7")
}

#[test]
fn monitor_prints_the_lines_of_devd() -> Result<()> {
    let site = Site::new()?;
    let mut command = site.carpd.carpctl_command()?;
    command.args(["monitor", "--devd", "--since", "all"]);
    let mut monitor = site.carpd.host().spawn("monitor", command)?;
    site.carpd.carpctl("carp0 create")?;
    site.carpd.carpctl("carp0 vhid 7 192.168.1.1/24")?;
    site.carpd.carpctl("carp0 state master")?;
    site.carpd.carpctl("carp0 destroy")?;
    let expected = "\
!system=CARP subsystem=7@eth0 type=BACKUP
!system=CARP subsystem=7@eth0 type=MASTER
!system=CARP subsystem=7@eth0 type=INIT
";
    wait_until("three lines", MARGIN, || {
        let log = monitor.log()?;
        ensure!(log == expected, "{log}");
        Ok(Some(()))
    })?;
    monitor.kill()
}

/// Other links come and go meanwhile, which delays the kernel's address changes by milliseconds.
/// The hook runs a program that binds an address and one that looks for it.
#[test]
fn hooks_find_the_addresses_that_match_the_state() -> Result<()> {
    const ROUNDS: usize = 200;
    let mut site = Site::new()?;
    site.hook(
        "50-look",
        "case $CARP_TO in
        MASTER) ping -q -c 1 -W 1 -I 192.168.1.1 192.168.1.1 >/dev/null 2>&1; found=$? ;;
        *) found=$(ip -o address show dev carp0 | grep -c 'inet ') ;;
        esac
        echo $CARP_TO $found >>$OUT",
    )?;
    site.carpd.carpctl("carp0 create vhid 1 192.168.1.1/24")?;
    let mut command = site.carpd.host().command("sh");
    command.args([
        "-c",
        "while :; do ip link add churn0 type dummy; ip link delete churn0; done",
    ]);
    let mut churn = site.carpd.host().spawn("churn", command)?;
    let mut expected = "BACKUP 0\n".to_owned();
    for _ in 0..ROUNDS {
        for (state, told) in [("master", "MASTER 0\n"), ("backup", "BACKUP 0\n")] {
            site.carpd.carpctl(&format!("carp0 state {state}"))?;
            expected.push_str(told);
            let length = expected.len();
            wait_until("a hook has run", MARGIN, || {
                Ok((site.written().len() >= length).then_some(()))
            })?;
        }
    }
    site.carpd.carpctl("carp0 state master")?;
    churn.kill()?;
    ensure!(site.carpd.stop()?.success());
    expected.push_str("MASTER 0\nINIT 0\n");
    let written = site.written();
    let wrong = written.lines().filter(|line| !line.ends_with(" 0"));
    ensure!(
        written == expected,
        "{} are wrong:\n{written}",
        wrong.count()
    );
    Ok(())
}
