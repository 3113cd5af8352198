//! The packages: their files, and a first pair in fresh roots made from the Debian one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use carp_tests::{
    Host, Lab, MARGIN, Ping, Process, Root, build_directory, master_down, receive, source,
    succeeds, wait_until,
};

/// Time that a program may take to start on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(30);

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Files that only the packages have.
const OF_PACKAGES: &[&str] = &[
    "usr/share/doc/",
    "usr/share/licenses/",
    "usr/share/lintian/",
];

fn in_the_tree(program: &str) -> Result<Command> {
    let mut command = Command::new(program);
    command
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .env("CARGO_TARGET_DIR", build_directory()?);
    Ok(command)
}

/// Returns the .deb and the .rpm, built by make; once for all tests.
fn packages() -> Result<[PathBuf; 2]> {
    static BUILT: Mutex<bool> = Mutex::new(false);
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if !*built {
        succeeds(in_the_tree("make")?.args(["--silent", "deb", "rpm"]))?;
        *built = true;
    }
    let target = build_directory()?;
    let architecture = succeeds(Command::new("dpkg").arg("--print-architecture"))?;
    let deb = format!("debian/carpd_{VERSION}-1_{}.deb", architecture.trim());
    let machine = std::env::consts::ARCH;
    let rpm = format!("generate-rpm/carpd-{VERSION}-1.{machine}.rpm");
    Ok([target.join(deb), target.join(rpm)])
}

/// Returns every file below `root` with its mode, by the name that `make install` gives it.
fn files(root: &Path) -> Result<BTreeMap<String, u32>> {
    let mut files = BTreeMap::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let name = path.strip_prefix(root)?.display().to_string();
            if OF_PACKAGES.iter().any(|own| name.starts_with(own)) {
                continue;
            }
            let name = match name.strip_suffix(".gz") {
                Some(page) if page.starts_with("usr/share/man/") => page.to_owned(),
                _ => name.replace("zsh/site-functions", "zsh/vendor-completions"),
            };
            files.insert(name, fs::metadata(&path)?.mode() & 0o7777);
        }
    }
    Ok(files)
}

#[test]
fn packages_have_the_files_of_make_install_and_no_others() -> Result<()> {
    let [deb, rpm] = packages()?;
    let directory = tempfile::tempdir()?;
    let [installed, from_deb, from_rpm] =
        ["install", "deb", "rpm"].map(|name| directory.path().join(name));
    succeeds(
        in_the_tree("make")?
            .args(["--silent", "install"])
            .arg(format!("DESTDIR={}", installed.display())),
    )?;
    succeeds(Command::new("dpkg-deb").arg("-x").args([&deb, &from_deb]))?;
    fs::create_dir(&from_rpm)?;
    let unpack = "rpm2cpio \"$1\" | cpio --quiet --extract --make-directories";
    succeeds(
        Command::new("sh")
            .args(["-c", unpack, "sh"])
            .arg(&rpm)
            .current_dir(&from_rpm),
    )?;
    let expected = files(&installed)?;
    ensure!(expected.len() > 20, "{expected:?}");
    assert_eq!(expected.get("etc/carpd/rc.conf"), Some(&0o600));
    assert_eq!(expected.get("etc/carpd/sysctl.conf"), Some(&0o644));
    assert_eq!(files(&from_deb)?, expected, "in the .deb");
    assert_eq!(files(&from_rpm)?, expected, "in the .rpm");
    for name in ["carpd", "carpctl", "carptop"] {
        let [built, packed] = [&installed, &from_deb]
            .map(|root| fs::metadata(root.join("usr/sbin").join(name)).map(|file| file.len()));
        ensure!(packed? <= built?, "{name} is not stripped");
    }
    Ok(())
}

#[test]
fn lintian_finds_no_error_in_the_debian_package() -> Result<()> {
    let [deb, _] = packages()?;
    let mut lintian = Command::new("lintian");
    lintian.args(["--allow-root", "--fail-on", "error"]);
    let found = succeeds(lintian.arg(&deb))?;
    ensure!(!found.contains("E: "), "{found}");
    let field = |name: &str| succeeds(Command::new("dpkg-deb").arg("-f").arg(&deb).arg(name));
    ensure!(
        field("Depends")?.contains("libc6 (>= "),
        "{}",
        field("Depends")?
    );
    assert_eq!(field("Recommends")?, "dbus\n");
    // Debian's changelog has an entry for the version that is built.
    let changelog = source("carpd/packaging/deb-changelog")?;
    ensure!(
        changelog.starts_with(&format!("carpd ({VERSION}-1) ")),
        "{changelog}"
    );
    Ok(())
}

#[test]
fn rpm_keeps_the_configuration_and_shows_its_scripts() -> Result<()> {
    let [_, rpm] = packages()?;
    let ask = |arguments: &[&str]| succeeds(Command::new("rpm").args(arguments).arg(&rpm));
    let flags = ask(&["-qp", "--qf", "[%{FILENAMES} %{FILEFLAGS:fflags}\\n]"])?;
    for name in ["rc.conf", "sysctl.conf"] {
        ensure!(
            flags.contains(&format!("/etc/carpd/{name} cn\n")),
            "{flags}"
        );
    }
    let scripts = ask(&["-qp", "--scripts"])?;
    for line in ["install-system-units carpd", "remove-system-units carpd"] {
        ensure!(scripts.contains(line), "{scripts}");
    }
    let needed = ask(&["-qp", "--requires"])?;
    ensure!(needed.contains("libc.so.6"), "{needed}");
    assert_eq!(ask(&["-qp", "--qf", "%{LICENSE}"])?, "BSD-2-Clause");
    Ok(())
}

/// Makes a root with the package in it, installed as README says.
fn installed(lab: &Lab, host: &Host) -> Result<Root> {
    let root = Root::new(lab, host)?;
    let [deb, _] = packages()?;
    install(&root, &deb)?;
    Ok(root)
}

fn install(root: &Root, deb: &Path) -> Result<()> {
    fs::copy(deb, root.path("/tmp/carpd.deb"))?;
    root.run("apt-get install --yes /tmp/carpd.deb").map(drop)
}

/// A root in which a message bus and carpd run.
struct Running {
    root: Root,
    carpd: Process,
    _bus: Process,
}

impl Running {
    fn start(root: Root) -> Result<Self> {
        fs::create_dir_all(root.path("/run/dbus"))?;
        let mut bus = root.command("dbus-daemon");
        bus.args(["--system", "--nofork", "--nopidfile"]);
        let bus = root.host().spawn("dbus-daemon", bus)?;
        let socket = root.path("/run/dbus/system_bus_socket");
        wait_until("the bus listens", START_TIMEOUT, || {
            Ok(socket.exists().then_some(()))
        })?;

        // The unit's own command, with a notification socket as systemd would pass it.
        let unit = fs::read_to_string(root.path("/usr/lib/systemd/system/carpd.service"))?;
        ensure!(unit.contains("\nType=notify\n"), "{unit}");
        let line = unit
            .lines()
            .find_map(|line| line.strip_prefix("ExecStart="))
            .context("the unit has a command")?;
        let mut words = line.split_whitespace();
        let mut command = root.command(words.next().context("it has a program")?);
        command.args(words).env("NOTIFY_SOCKET", "/run/notify");
        let notified = UnixDatagram::bind(root.path("/run/notify"))?;
        let mut carpd = root.host().spawn("carpd", command)?;
        loop {
            carpd.check_alive()?;
            if receive(&notified, START_TIMEOUT).context("carpd is not ready")? == "READY=1" {
                break;
            }
        }
        Ok(Self {
            root,
            carpd,
            _bus: bus,
        })
    }

    fn wait_for_state(&self, state: &str, bound: Duration) -> Result<()> {
        let what = format!("carp0 on {} is {state}", self.root.host().name());
        wait_until(&what, bound + MARGIN, || {
            let shown = self.root.run("carpctl carp0")?;
            Ok(shown.contains(&format!("carp: {state} ")).then_some(()))
        })
    }

    /// Returns the state that the bus reports, asked from outside of the root.
    fn state_on_the_bus(&self) -> Result<String> {
        let socket = self.root.path("/run/dbus/system_bus_socket");
        let object = "org.carpd1 /org/carpd1/interface/carp0 org.carpd1.Interface State";
        self.root.host().run(&format!(
            "busctl --address=unix:path={} get-property {object}",
            socket.display()
        ))
    }
}

/// Returns README's commands for the first host, about carp0.
fn first_pair() -> Result<Vec<String>> {
    let readme = source("README.md")?;
    let (_, section) = readme
        .split_once("\n## A first pair\n")
        .context("README has a first pair")?;
    let section = section.split("\n## ").next().unwrap_or_default();
    let typed = section.lines().filter_map(|line| {
        let line = line.strip_prefix("    sudo ")?;
        line.starts_with("carpctl carp0 ").then(|| line.to_owned())
    });
    Ok(typed.collect())
}

#[test]
fn first_pair_of_the_readme_takes_over_in_fresh_roots() -> Result<()> {
    let lab = Lab::new()?;
    let a = lab.host("a", &[("lan", "192.0.2.2/24")])?;
    let b = lab.host("b", &[("lan", "192.0.2.3/24")])?;
    let client = lab.host("client", &[("lan", "192.0.2.100/24")])?;
    let mut a = Running::start(installed(&lab, &a)?)?;
    let b = Running::start(installed(&lab, &b)?)?;

    let lines = first_pair()?;
    ensure!(lines.len() >= 2, "{lines:?}");
    for line in &lines {
        a.root.run(line)?;
        // The second host gets one more word, as README says.
        b.root.run(&line.replace(" pass ", " advskew 100 pass "))?;
    }
    a.wait_for_state("MASTER", master_down(1, 0))?;
    b.wait_for_state("BACKUP", Duration::ZERO)?;
    assert_eq!(a.state_on_the_bus()?, "s \"MASTER\"\n");
    assert_eq!(b.state_on_the_bus()?, "s \"BACKUP\"\n");

    let bound = master_down(1, 100);
    let ping = Ping::start(&client, "192.0.2.1")?;
    let outage = ping.outage_of(
        || {
            a.carpd.kill()?;
            a.root.host().pull("eth0")
        },
        || b.wait_for_state("MASTER", bound),
    )?;
    ensure!(outage < bound + MARGIN, "no answer for {outage:?}");
    assert_eq!(b.state_on_the_bus()?, "s \"MASTER\"\n");
    Ok(())
}

/// Returns every file that a package could have installed or changed.
fn everything(root: &Root) -> Result<BTreeSet<String>> {
    let find = "find / -xdev -not -path /proc/* -not -path /dev/* -not -path /tmp/* \
                -not -path /var/cache/* -not -path /var/log/* -not -path /var/lib/apt/* \
                -not -path /var/lib/dpkg/*";
    Ok(root.run(find)?.lines().map(str::to_owned).collect())
}

#[test]
fn upgrade_keeps_the_configuration_and_purge_removes_all() -> Result<()> {
    let lab = Lab::new()?;
    let host = lab.host("a", &[("lan", "192.0.2.2/24")])?;
    let root = Root::new(&lab, &host)?;
    let before = everything(&root)?;
    let [deb, _] = packages()?;
    install(&root, &deb)?;
    let enabled = "/etc/systemd/system/multi-user.target.wants/carpd.service";
    ensure!(everything(&root)?.contains(enabled), "carpd is not enabled");

    let rc_conf = root.path("/etc/carpd/rc.conf");
    let mode = |path: &Path| fs::metadata(path).map(|file| file.mode() & 0o7777);
    assert_eq!(mode(&rc_conf)?, 0o600);
    fs::write(&rc_conf, "cloned_interfaces=\"carp0\"\n")?;
    let sysctl_conf = root.path("/etc/carpd/sysctl.conf");
    ensure!(fs::read_to_string(&sysctl_conf)?.ends_with("\nnet.inet.carp.log=2\n"));
    fs::write(&sysctl_conf, "net.inet.carp.preempt=1\n")?;
    let [unpacked, newer] = [lab.path("newer"), lab.path("newer.deb")];
    succeeds(Command::new("dpkg-deb").arg("-R").args([&deb, &unpacked]))?;
    let control = unpacked.join("DEBIAN/control");
    let (old, new) = (format!("{VERSION}-1\n"), format!("{VERSION}-2\n"));
    fs::write(&control, fs::read_to_string(&control)?.replace(&old, &new))?;
    succeeds(Command::new("dpkg-deb").arg("-b").args([&unpacked, &newer]))?;
    install(&root, &newer)?;
    let version = root.run("dpkg-query --show --showformat=${Version} carpd")?;
    assert_eq!(version, format!("{VERSION}-2"));
    assert_eq!(
        fs::read_to_string(&rc_conf)?,
        "cloned_interfaces=\"carp0\"\n"
    );
    assert_eq!(mode(&rc_conf)?, 0o600);

    root.run("apt-get remove --yes carpd")?;
    ensure!(rc_conf.exists(), "only a purge removes the configuration");
    ensure!(!root.path("/usr/sbin/carpd").exists(), "removed");
    root.run("apt-get purge --yes carpd")?;
    let after = everything(&root)?;
    let left: Vec<_> = after.difference(&before).collect();
    ensure!(left.is_empty(), "a purge leaves {left:?}");
    Ok(())
}
