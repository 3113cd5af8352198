//! Kernel work, on a thread of its own: sendmsg(2) performs a netlink request under the routing lock,
//! which can take long, and no advertisement may wait for that.
//!
//! Work for one carp interface is done first in, first out. Making a device waits for all work of other
//! carp interfaces. Each piece is idempotent, and the kernel has acknowledged it before the next begins.

mod addresses;
mod adopt;
mod attached;
mod bystanders;
mod chores;
mod datagram;
mod device_report;
mod devices;
mod ensure;

mod gateways;
mod held;
mod helpers;
mod holdings;
mod inspection;
mod leave;
mod limited_log;
mod master;
mod mend;
mod monitor;
mod netlink;
mod netlink_error;
mod news;
mod own_addresses;
mod packet_filter;
mod progress;
mod queue;
mod routes;
mod sightings;
mod sysctl;
#[cfg(test)]
pub(crate) mod tests;
mod view;
mod worker;

use core::time::Duration;
use std::io;
use std::path::PathBuf;
use std::thread;

use carp_proto::{IfIndex, Instant, Unit, Work};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tracing::warn;

use self::attached::Attached;
use self::holdings::Holdings;
use self::netlink::Netlink;
pub(crate) use self::news::{Awaited, News};
use self::progress::{Done, Progress};
use self::queue::Job;
use self::worker::Worker;
use crate::clock::Clock;
use crate::net::{HelperRequest, Sender};
use crate::realtime::Priority;

/// Limit for the work that is left at a stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Options of the kernel thread.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Directory in which earlier versions kept the old values of sysctls.
    pub(crate) run_dir: PathBuf,
    /// If true, devices and addresses of the previous instance are kept until [`Handle::sweep`].
    /// Otherwise they are removed at once.
    pub(crate) adopt: bool,
    /// Real-time priority of the thread.
    pub(crate) realtime: Option<Priority>,
}

/// Queue of the kernel thread. When it is dropped, the thread does the queued work, undoes all changes and
/// ends, without a wait for that.
#[derive(Debug)]
pub(crate) struct Handle {
    queue: UnboundedSender<Job>,
    progress: Progress,
    done: oneshot::Receiver<()>,
}

/// Starts the kernel thread in the network namespace of the calling thread. It first looks for what the
/// previous instance left, then sends all links, then [`News::Ready`].
///
/// # Errors
/// The thread, its runtime or its sockets cannot be created.
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
            let outcome = run(&options, jobs, work_done, tell, || {
                started.send(Ok(())).is_ok()
            });
            if let Err(error) = outcome {
                // Nothing reads this after a successful start.
                let _ = started.send(Err(error));
            }
            // Fails if the handle was dropped.
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
    /// Appends to the queue. Returns the time for which the thread has had work and done none.
    pub(crate) fn work(&self, work: Work) -> Duration {
        let now = Clock.now().instant;
        self.push(Job::Work(work, now), now)
    }

    /// Appends a [`Work::Renew`] for each of these carp interfaces, with the seconds of its lease:
    /// together they take a fraction of the time. Returns the same as [`work`](Self::work).
    pub(crate) fn renew(&self, leases: Vec<(Unit, u32)>) -> Duration {
        let now = Clock.now().instant;
        self.push(Job::Renew(leases, now), now)
    }

    /// Sets the sysctls that a physical interface needs while it carries carp interfaces.
    pub(crate) fn attach(&self, device: IfIndex) {
        self.push(Job::Attach(device), Clock.now().instant);
    }

    /// Puts the sysctls of a physical interface back, which may be gone.
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

    /// Removes what the previous instance left and no work has asked for since.
    pub(crate) fn sweep(&self) {
        self.push(Job::Sweep, Clock.now().instant);
    }

    /// Has [`News::Confirmed`] sent once all work of `unit` so far is done; with `None`, all work.
    pub(crate) fn confirm(&self, unit: Option<Unit>, awaited: Awaited) {
        self.push(Job::Confirm(unit, awaited), Clock.now().instant);
    }

    /// Does the queued work, leaves everything as it is, and ends the thread. Returns as
    /// [`Handle::finish`] does.
    pub(crate) async fn keep(self) -> bool {
        self.push(Job::Keep, Clock.now().instant);
        self.finish().await
    }

    /// Does the queued work except what would be undone at once, removes all devices and addresses, puts
    /// all sysctls back, and ends the thread. Returns false if that takes more than [`STOP_TIMEOUT`].
    pub(crate) async fn finish(self) -> bool {
        drop(self.queue);
        tokio::time::timeout(STOP_TIMEOUT, self.done).await.is_ok()
    }

    /// Counts every job, as the thread counts every job that it has done.
    fn push(&self, job: Job, now: Instant) -> Duration {
        if self.queue.send(job).is_err() {
            warn!("the kernel thread has ended");
        }
        self.progress.request(now)
    }
}

fn run(
    options: &Options,
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
            let attached = Attached::load(&options.run_dir.join("sysctls"), &netlink);
            let holdings = Holdings::new(netlink, sender, news.clone(), attached);
            let mut worker = Worker::start(holdings, options.adopt);
            let (tell, sightings) = unbounded_channel();
            let monitor = tokio::spawn(monitor::run(monitor, news, tell));
            worker.run(jobs, work_done, sightings).await;
            // Otherwise it would report everything that is removed now.
            monitor.abort();
            worker.end().await;
        }
        Ok(())
    })
}
