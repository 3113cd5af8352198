//! Two hosts on one cable, each in a network namespace.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::fd::AsFd as _;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use carp_proto::IfIndex;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::net::Sender;

/// Limit for everything that a test waits for.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// `eth0` of the host under test (`192.0.2.2`, `2001:db8::2`) is cabled to `eth0` of a peer
/// (`192.0.2.9`, `2001:db8::9`).
#[derive(Debug)]
pub(crate) struct Lab {
    host: String,
    peer: String,
}

/// Runs `story` on a thread in the namespace of the host, and removes both namespaces afterwards.
pub(crate) fn on_a_cable<F: Future<Output = ()>>(story: impl FnOnce(Lab) -> F + Send + 'static) {
    let outcome = thread::spawn(move || {
        let lab = Lab::build();
        enter(&lab.host);
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(story(lab));
    })
    .join();
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

impl Lab {
    fn build() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = |end: &str| format!("carpd-{}-{number}-{end}", std::process::id());
        let lab = Self {
            host: name("host"),
            peer: name("peer"),
        };
        let Self { host, peer } = &lab;
        run(&format!("ip netns add {host}"));
        run(&format!("ip netns add {peer}"));
        // The kernel's defaults, not the machine's.
        run(&format!(
            "ip link add eth0 netns {host} type veth peer name eth0 netns {peer}"
        ));
        for (end, number) in [(host, 2), (peer, 9)] {
            run(&format!(
                "ip -n {end} address add 192.0.2.{number}/24 dev eth0"
            ));
            run(&format!(
                "ip -n {end} address add 2001:db8::{number}/64 dev eth0 nodad"
            ));
            run(&format!("ip -n {end} link set lo up"));
            run(&format!("ip -n {end} link set eth0 up"));
        }
        lab
    }

    /// Runs a command on the peer, which must succeed, and returns its output.
    pub(crate) fn on_peer(&self, command: &str) -> String {
        run(&format!("ip netns exec {} {command}", self.peer))
    }

    /// Returns true if a command succeeds on the peer.
    pub(crate) fn peer_succeeds(&self, command: &str) -> bool {
        succeeds(&format!("ip netns exec {} {command}", self.peer))
    }

    /// Starts to capture the frames that the peer receives and `filter` accepts.
    pub(crate) fn capture(&self, filter: &str) -> Capture {
        let mut child = shell(&format!(
            "exec ip netns exec {} tcpdump --immediate-mode -l -n -e -Q in -i eth0 {filter}",
            self.peer
        ))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
        let mut errors = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("listening on") {
            line.clear();
            assert_ne!(
                errors.read_line(&mut line).unwrap(),
                0,
                "tcpdump did not start"
            );
        }
        Capture {
            child,
            _errors: errors,
        }
    }

    /// Sends a frame from the peer's `eth0`.
    pub(crate) fn send_from_peer(&self, frame: &[u8]) {
        let peer = self.peer.clone();
        let (sender, index) = thread::spawn(move || {
            enter(&peer);
            (Sender::open().unwrap(), index_of("eth0"))
        })
        .join()
        .unwrap();
        assert_eq!(sender.send_all(&[(index, frame)]), [Ok(())]);
    }

    /// Sends a frame from the peer's `eth0` repeatedly until it is stopped.
    pub(crate) fn repeat_from_peer(&self, frame: Vec<u8>) -> Repeater {
        let peer = self.peer.clone();
        let done = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&done);
        let thread = thread::spawn(move || {
            enter(&peer);
            let (sender, index) = (Sender::open().unwrap(), index_of("eth0"));
            let (mut sent, start) = (0, Instant::now());
            while !stop.load(Ordering::Relaxed) && start.elapsed() < 6 * TIMEOUT {
                // If the queue is full, the next attempt follows.
                sent += u32::from(sender.send_all(&[(index, &frame)]) == [Ok(())]);
            }
            sent
        });
        Repeater { done, thread }
    }

    /// Returns the link-layer address of `address` in the peer's neighbour table.
    pub(crate) fn neighbour(&self, address: &str) -> Option<String> {
        let table = self.on_peer(&format!("ip neighbour show {address} dev eth0"));
        let mut words = table
            .split_ascii_whitespace()
            .skip_while(|word| *word != "lladdr");
        words.nth(1).map(str::to_owned)
    }

    /// Returns all link-layer addresses that answer an ARP request of the peer, each once.
    pub(crate) fn who_has(&self, address: &str) -> Vec<String> {
        // arping(8) fails if no host answers.
        let command = format!(
            "ip netns exec {} arping -b -c 2 -w 1 -I eth0 {address} || true",
            self.peer
        );
        let mut answers: Vec<String> = run(&command)
            .split(['[', ']'])
            .filter(|word| word.len() == 17 && word.contains(':'))
            .map(str::to_lowercase)
            .collect();
        answers.sort();
        answers.dedup();
        answers
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for name in [&self.host, &self.peer] {
            succeeds(&format!("ip netns delete {name}"));
        }
    }
}

/// Thread that sends until it is stopped, or for a minute.
#[derive(Debug)]
pub(crate) struct Repeater {
    done: Arc<AtomicBool>,
    thread: thread::JoinHandle<u32>,
}

impl Repeater {
    /// Stops, and returns the number of frames sent.
    pub(crate) fn stop(self) -> u32 {
        self.done.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Running tcpdump.
#[derive(Debug)]
pub(crate) struct Capture {
    child: Child,
    _errors: BufReader<ChildStderr>,
}

impl Capture {
    /// Stops, and returns a line for each frame.
    pub(crate) fn stop(mut self) -> Vec<String> {
        // Frames that are still in the kernel reach tcpdump in this time.
        thread::sleep(Duration::from_millis(100));
        let child = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(child, rustix::process::Signal::INT).unwrap();
        let mut text = String::new();
        self.child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        self.child.wait().unwrap();
        text.lines()
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        // This fails if it has ended, as it has unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command in the namespace of this thread, which must succeed, and returns its output.
#[track_caller]
pub(crate) fn run(command: &str) -> String {
    let output = shell(command).output().unwrap();
    let mut text = String::from_utf8(output.stdout).unwrap();
    if !output.status.success() {
        write!(text, "{}", String::from_utf8_lossy(&output.stderr)).unwrap();
        panic!("{command}: {text}");
    }
    text
}

/// Returns true if a command succeeds in the namespace of this thread.
pub(crate) fn succeeds(command: &str) -> bool {
    shell(command).output().unwrap().status.success()
}

/// Sets a sysctl in the namespace of this thread.
pub(crate) fn set(path: &str, value: u8) {
    std::fs::write(format!("/proc/sys/net/{path}"), value.to_string()).unwrap();
}

/// Reads a sysctl in the namespace of this thread.
pub(crate) fn get(path: &str) -> u8 {
    std::fs::read_to_string(format!("/proc/sys/net/{path}"))
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}

/// Returns the number of an interface in the namespace of this thread.
pub(crate) fn index_of(name: &str) -> IfIndex {
    let text = run(&format!("ip -o link show dev {name}"));
    IfIndex(text.split(':').next().unwrap().parse().unwrap())
}

/// Waits until a condition holds, and returns the time that took.
#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !holds() {
        assert!(
            start.elapsed() < TIMEOUT,
            "not true within {TIMEOUT:?}: {what}"
        );
        thread::sleep(Duration::from_millis(20));
    }
    start.elapsed()
}

fn shell(command: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command).stdin(Stdio::null());
    shell
}

fn enter(name: &str) {
    let namespace = File::open(format!("/run/netns/{name}")).unwrap();
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
}
