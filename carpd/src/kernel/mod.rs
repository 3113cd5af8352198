//! Kernel work, on a thread of its own: netlink requests are performed inside sendmsg(2) under the
//! routing lock and can take long, and no advertisement may wait for them.
//!
//! Work for one unit is done first in, first out; making devices lets everything of other units go
//! first. Each piece is idempotent and waits for the kernel's acknowledgement before the next
//! begins.

mod addresses;
mod adopt;
mod bystanders;
mod conf;
mod datagram;
mod devices;
mod filter;
mod gateways;
mod helpers;
mod master;
mod mend;
mod monitor;
mod netlink;
mod netlink_error;
mod progress;
mod queue;
mod retry;
mod routes;
mod silence;
mod sysctls;
#[cfg(test)]
pub(crate) mod tests;
mod worker;

use core::net::IpAddr;
use core::time::Duration;
use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::thread;

use carp_proto::{Gateway, IfIndex, Instant, Lease, Link, RequestId, Unit, Work};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tracing::warn;

use crate::clock::Clock;
use crate::net::{HelperRequest, Sender};
use crate::realtime::Priority;
use netlink::Netlink;
use progress::{Done, Progress};
use worker::Worker;

/// How long a clean stop waits for the kernel.
const PATIENCE: Duration = Duration::from_secs(5);

/// How kernel work is done.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Where earlier versions kept the old values of sysctls.
    pub(crate) run_dir: PathBuf,
    /// Whether devices and addresses that another carpd left behind are kept until
    /// [`Handle::sweep`], and not removed at once.
    pub(crate) adopt: bool,
    /// The priority of the thread, if it shall not have an ordinary one.
    pub(crate) realtime: Option<Priority>,
}

/// What the kernel thread has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// A link that is not one of ours exists, or something about it changed.
    Link(Link),
    /// A link is gone.
    LinkGone(IfIndex),
    /// The gateways of this host's default routes, all of them.
    Gateways(BTreeSet<Gateway>),
    /// Which virtual addresses were found of which the lease has not run out; told first of all.
    Found(BTreeSet<Lease>),
    /// All links that there were at the start have been told.
    Ready,
    /// [`Work::Take`] was performed: the kernel has the addresses, or has refused them.
    Taken {
        /// For whom.
        unit: Unit,
        /// That of the work.
        number: u32,
    },
    /// The helper devices of a physical interface, after [`HelperRequest::SetUp`].
    HelperDevices {
        /// Number of the physical interface.
        interface: IfIndex,
        /// Numbers of the devices, which are up: for frames from virtual MACs, and for all others.
        /// `None` if they cannot be made.
        devices: Option<[IfIndex; 2]>,
    },
    /// The probe with this number was sent, for this physical interface.
    ProbeSent(IfIndex, u64),
    /// The kernel would not have a device or an address.
    Refused {
        /// For whom.
        unit: Unit,
        /// The address; `None` if the device itself.
        address: Option<IpAddr>,
        /// One line.
        error: String,
    },
    /// The kernel has a device, or an address that it refused before.
    Granted {
        /// For whom.
        unit: Unit,
        /// The address; `None` if the device itself.
        address: Option<IpAddr>,
    },
    /// What was asked for before [`Handle::confirm`] was done or refused.
    Confirmed(Awaited),
}

/// What waits for a confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// The answer to a request.
    Request(RequestId),
    /// News of a carp interface, and its number. It does not wait for the device to be removed.
    News(Unit, u64),
}

/// The kernel thread's queue. If it is dropped, the thread still does what was queued, puts
/// everything back and ends, but nobody waits for it.
#[derive(Debug)]
pub(crate) struct Handle {
    queue: UnboundedSender<Job>,
    progress: Progress,
    done: oneshot::Receiver<()>,
}

/// One entry of the queue.
#[derive(Debug)]
enum Job {
    /// With the moment it was asked for.
    Work(Work, Instant),
    /// [`Work::Renew`] for many.
    Renew(Vec<(Unit, u32)>, Instant),
    Attach(IfIndex),
    Detach(IfIndex),
    /// Helper devices of a physical interface: up or down.
    SetUpHelpers(IfIndex, bool),
    /// The number of the probe, and frames without a destination.
    Probe(IfIndex, u64, Vec<Vec<u8>>),
    Sweep,
    Keep,
    /// For one unit, or for all.
    Confirm(Option<Unit>, Awaited),
}

/// Starts the kernel thread in the network namespace of the calling thread. It first looks at what
/// another carpd left behind, then tells all links, then says [`News::Ready`].
///
/// # Errors
/// If the thread, its runtime or its sockets cannot be made.
pub(crate) fn start(options: Options) -> io::Result<(Handle, UnboundedReceiver<News>)> {
    let (queue, jobs) = unbounded_channel();
    let (tell, news) = unbounded_channel();
    let (finish, done) = oneshot::channel();
    let (started, outcome) = std::sync::mpsc::sync_channel(1);
    let (progress, work_done) = progress::start();
    let realtime = options.realtime;
    let thread = thread::Builder::new()
        .name("kernel".to_owned())
        .spawn(move || {
            let outcome = run(options, jobs, work_done, tell, || {
                started.send(Ok(())).is_ok()
            });
            if let Err(error) = outcome {
                // Once the start has succeeded nobody reads this.
                let _ = started.send(Err(error));
            }
            // Nobody waits: the handle was dropped.
            let _ = finish.send(());
        })?;
    realtime.map_or(Ok(()), |priority| priority.give(&thread))?;
    outcome
        .recv()
        .unwrap_or_else(|_| Err(io::Error::other("the kernel thread ended")))?;
    let handle = Handle {
        queue,
        progress,
        done,
    };
    Ok((handle, news))
}

impl Handle {
    /// Appends to the queue. Gives for how long the thread has not done anything although it had
    /// been asked to.
    pub(crate) fn work(&self, work: Work) -> Duration {
        let now = Clock.now().instant;
        self.push(Job::Work(work, now), now)
    }

    /// [`Work::Renew`] for each of these units, with the seconds of its lease: together they cost
    /// a fraction of what they cost one by one. Gives the same as [`work`](Self::work).
    pub(crate) fn renew(&self, leases: Vec<(Unit, u32)>) -> Duration {
        let now = Clock.now().instant;
        self.push(Job::Renew(leases, now), now)
    }

    /// Sets the sysctls that a physical interface needs while it carries carp interfaces.
    pub(crate) fn attach(&self, device: IfIndex) {
        self.push(Job::Attach(device), Clock.now().instant);
    }

    /// Puts its sysctls back. It may be gone.
    pub(crate) fn detach(&self, device: IfIndex) {
        self.push(Job::Detach(device), Clock.now().instant);
    }

    /// Sets helper devices up and reports them with [`News::HelperDevices`], or sets them down after a
    /// while. Or sends a probe from the device of a MASTER and reports that with [`News::ProbeSent`];
    /// without a MASTER it does nothing.
    pub(crate) fn help_to_receive(&self, request: HelperRequest) {
        let job = match request {
            HelperRequest::SetUp { interface, up } => Job::SetUpHelpers(interface, up),
            HelperRequest::Probe {
                interface,
                number,
                frames,
            } => Job::Probe(interface, number, frames),
        };
        self.push(job, Clock.now().instant);
    }

    /// Removes what was left behind and has not been asked for since.
    pub(crate) fn sweep(&self) {
        self.push(Job::Sweep, Clock.now().instant);
    }

    /// Has [`News::Confirmed`] told once all is done that was asked for so far, of `unit` or of
    /// all units.
    pub(crate) fn confirm(&self, unit: Option<Unit>, awaited: Awaited) {
        self.push(Job::Confirm(unit, awaited), Clock.now().instant);
    }

    /// Does what is queued, leaves everything as it is, and ends the thread, within the same
    /// time as [`Handle::finish`].
    pub(crate) async fn keep(self) -> bool {
        self.push(Job::Keep, Clock.now().instant);
        self.finish().await
    }

    /// Does what is queued, as far as it is not undone at once, removes all devices and addresses,
    /// puts all sysctls back, and ends the thread. Returns after at most five seconds; `false` if it was not done by then.
    pub(crate) async fn finish(self) -> bool {
        drop(self.queue);
        tokio::time::timeout(PATIENCE, self.done).await.is_ok()
    }

    /// Every job is counted, as the thread counts every one that it has done.
    fn push(&self, job: Job, now: Instant) -> Duration {
        if self.queue.send(job).is_err() {
            warn!("the kernel thread has ended");
        }
        self.progress.ask(now)
    }
}

fn run(
    options: Options,
    jobs: UnboundedReceiver<Job>,
    work_done: Done,
    news: UnboundedSender<News>,
    started: impl FnOnce() -> bool,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let netlink = Netlink::connect()?;
        let monitor = monitor::Connection::open()?;
        let sender = Sender::open()?;
        if started() {
            let mut worker = Worker::start(options, netlink, sender, news.clone());
            let (tell, sightings) = unbounded_channel();
            let monitor = tokio::spawn(monitor::run(monitor, news, tell));
            worker.run(jobs, work_done, sightings).await;
            // It would be told of everything that is removed now.
            monitor.abort();
            worker.end().await;
        }
        Ok(())
    })
}
