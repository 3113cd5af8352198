//! The protocol loop: the only `select!`, and the only match on [`Action`].
//!
//! It runs on a thread of its own. Whatever may block is elsewhere: netlink on the kernel thread,
//! D-Bus and the log on the main one.

use std::collections::BTreeSet;
use std::io;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use carp_proto::{Action, Engine, IfIndex, Input, Instant, Now, Request, RequestId, Unit, Work};
use tokio::sync::{mpsc, oneshot};
use tracing::{error, warn};

use crate::clock::Clock;
use crate::kernel;
use crate::net::{Batch, Ports};
use crate::publish::{Ask, Everything, LoopEnd, News, Publisher, Running};
use crate::realtime::Priority;
use crate::systemd::Watchdog;

/// How many frames are read before anything else has its turn.
const BUDGET: usize = 256;

/// After so many full batches a deadline is no longer kept waiting: what refutes it may still be
/// in the queue after this process was stopped for a while, but a flood must not silence us.
const PATIENCE: u32 = 16;

/// How often it is tried to make up for news that was lost.
const CATCH_UP: Duration = Duration::from_millis(100);

/// The number of our own request to stop; everybody else's count from 1.
const STOP: RequestId = RequestId(0);

/// What the loop is given.
pub(crate) struct Ends {
    /// Where news goes, and what others ask.
    pub(crate) published: LoopEnd,
    /// The kernel thread.
    pub(crate) kernel: kernel::Handle,
    /// What it has to say.
    pub(crate) kernel_news: mpsc::UnboundedReceiver<kernel::News>,
    /// Fires, or is dropped, when carpd shall stop.
    pub(crate) stop: oneshot::Receiver<()>,
    /// The priority of the loop's thread, if it shall not have an ordinary one.
    pub(crate) realtime: Option<Priority>,
    /// Who wants signs of life.
    pub(crate) watchdog: Option<Watchdog>,
}

/// Starts the loop. Its thread ends after it was told to stop and has given everything back;
/// it says whether all was given back in time.
///
/// # Errors
/// If the thread, its runtime or its sockets cannot be made.
pub(crate) fn start(ends: Ends) -> io::Result<JoinHandle<bool>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let ports = {
        let _inside = runtime.enter();
        Ports::open()?
    };
    let Ends {
        published: LoopEnd { publisher, asks },
        kernel,
        kernel_news,
        stop,
        realtime,
        watchdog,
    } = ends;
    let daemon = Daemon::new(publisher, kernel, ports, watchdog);
    let thread = thread::Builder::new()
        .name("protocol".to_owned())
        .spawn(move || runtime.block_on(daemon.run(asks, kernel_news, stop)))?;
    realtime.map_or(Ok(()), |priority| priority.give(&thread))?;
    Ok(thread)
}

struct Daemon {
    clock: Clock,
    engine: Engine,
    ports: Ports,
    kernel: kernel::Handle,
    publisher: Publisher,
    /// Full batches in a row while a deadline was due.
    put_off: u32,
    /// The kernel thread hangs: the addresses have gone with their leases, and who goes on to
    /// advertise keeps all others from having them.
    stalled: bool,
    /// When to make up for news that was lost; `None` while none was.
    catch_up: Option<Instant>,
    watchdog: Option<Watchdog>,
}

impl Daemon {
    fn new(
        publisher: Publisher,
        kernel: kernel::Handle,
        ports: Ports,
        watchdog: Option<Watchdog>,
    ) -> Self {
        let (clock, engine) = (Clock, Engine::new());
        Self {
            clock,
            engine,
            ports,
            kernel,
            publisher,
            put_off: 0,
            stalled: false,
            catch_up: None,
            watchdog,
        }
    }

    async fn run(
        mut self,
        mut asks: mpsc::Receiver<Ask>,
        mut kernel_news: mpsc::UnboundedReceiver<kernel::News>,
        mut stop: oneshot::Receiver<()>,
    ) -> bool {
        let mut batch = Batch::new(BUDGET);
        let mut links_known = false;
        while !self.stalled {
            let sign = self.give_sign_of_life();
            let deadlines = [self.engine.deadline(), self.catch_up, sign];
            let wake = deadlines.into_iter().flatten().min();
            let sleep = wake.map(|wake| tokio::time::sleep(self.clock.until(wake)));
            tokio::select! {
                biased;
                () = self.ports.recv(&mut batch) => self.packets(&batch),
                Some(news) = kernel_news.recv() => match news {
                    kernel::News::Ready => links_known = true,
                    kernel::News::Link(link) => self.handle(Input::Link(link)),
                    kernel::News::LinkGone(index) => self.handle(Input::LinkGone(index)),
                    kernel::News::Announced(unit) => self.handle(Input::Announced(unit)),
                    kernel::News::Refused { unit, address, error } => {
                        self.handle(Input::Refused { unit, address, error });
                    }
                },
                () = fired(sleep) => self.timers(),
                _ = &mut stop => break,
                Some(ask) = asks.recv(), if links_known => match ask {
                    Ask::Request(id, request) => self.handle(Input::Request(id, request)),
                    Ask::Refresh(done) => self.refresh(self.clock.now(), done),
                    Ask::Key(unit, answer) => {
                        // Whoever asked may be gone.
                        let _ = answer.send(self.engine.key(unit).cloned());
                    }
                    Ask::Running(answer) => {
                        let _ = answer.send(Running::of(&self.engine));
                    }
                },
            }
        }
        self.handle(Input::Request(STOP, Request::Stop));
        self.kernel.finish().await
    }

    /// Once in every turn, whatever made it. Says when it must turn again for the next one.
    fn give_sign_of_life(&mut self) -> Option<Instant> {
        let watchdog = self.watchdog.as_mut()?;
        watchdog.feed(self.clock.now().instant);
        watchdog.next()
    }

    /// What came in goes before a deadline: it may be what the deadline waited for.
    fn packets(&mut self, batch: &Batch) {
        for (device, frame) in batch.frames() {
            self.handle(Input::Packet { device, frame });
        }
        let due = self
            .engine
            .deadline()
            .is_some_and(|at| self.clock.until(at).is_zero());
        self.put_off = if due && batch.is_full() {
            self.put_off + 1
        } else {
            0
        };
        if self.put_off > PATIENCE {
            self.put_off = 0;
            self.timers();
        }
    }

    fn timers(&mut self) {
        let now = self.clock.now();
        if self
            .engine
            .deadline()
            .is_some_and(|deadline| deadline <= now.instant)
        {
            self.handle_at(Input::Deadline, now);
        }
        if self.catch_up.is_some_and(|at| at <= now.instant) {
            self.catch_up(now);
        }
    }

    fn handle(&mut self, input: Input<'_>) {
        self.handle_at(input, self.clock.now());
    }

    /// Lets the engine handle `input` and does what it says, in order; then the same for what
    /// became of the frames it sent.
    fn handle_at(&mut self, input: Input<'_>, now: Now) {
        let mut sent = Vec::new();
        let actions = self.engine.handle(input, now);
        self.perform(actions, now, &mut sent);
        while let Some(input) = sent.pop() {
            let actions = self.engine.handle(input, now);
            self.perform(actions, now, &mut sent);
        }
        if self.catch_up.is_none() && self.publisher.is_behind() {
            self.catch_up = Some(now.instant + CATCH_UP);
        }
    }

    fn perform(&mut self, actions: Vec<Action>, now: Now, sent: &mut Vec<Input<'static>>) {
        let mut updated = BTreeSet::new();
        let mut renewals = Vec::new();
        for action in actions {
            match action {
                Action::Transmit {
                    unit,
                    device,
                    frame,
                } => {
                    let result = self.ports.send(device, &frame);
                    sent.push(Input::Sent { unit, result });
                }
                Action::Reply { device, frame } => {
                    // Whoever asked will ask again.
                    let _ = self.ports.send(device, &frame);
                }
                // All of this list at once. What is taken or given up meanwhile has no need of it.
                Action::Work(Work::Renew { unit, lease }) => renewals.push((unit, lease)),
                Action::Work(work) => self.work(work),
                Action::Attach(device) => {
                    self.kernel.attach(device);
                    let outcome = self.ports.attach(device);
                    report(device, outcome);
                }
                Action::Detach(device) => {
                    self.ports.detach(device);
                    self.kernel.detach(device);
                }
                Action::ListenArp { device, on } => {
                    let outcome = self.ports.listen_arp(device, on);
                    report(device, outcome);
                }
                Action::Created(unit) | Action::Updated(unit) => {
                    updated.insert(unit);
                }
                Action::Changed(transition) => {
                    self.publish(&BTreeSet::from([transition.unit]), now);
                    self.publisher.tell(News::Changed(transition));
                }
                Action::Destroyed(unit) => {
                    updated.remove(&unit);
                    self.publisher.tell(News::Gone(unit));
                }
                Action::SysctlsChanged => {
                    let values = self.engine.sysctls();
                    let suppressions = self.engine.suppressions().cloned().collect();
                    self.publisher.tell(News::Sysctls {
                        values,
                        suppressions,
                    });
                }
                Action::Notice(notice) => self.publisher.tell(News::Notice(now.unix, notice)),
                Action::Answer(STOP, _) => {}
                Action::Answer(id, answer) => {
                    self.publish(&core::mem::take(&mut updated), now);
                    self.publisher.tell(News::Answer(id, answer));
                }
            }
        }
        if let Some(lease) = renewals.iter().map(|(_, lease)| *lease).min() {
            let stalled = self.kernel.renew(renewals);
            self.heed(stalled, lease);
        }
        self.publish(&updated, now);
    }

    fn work(&mut self, work: Work) {
        let lease = match work {
            Work::Take { lease, .. } | Work::Renew { lease, .. } => Some(lease),
            Work::Ensure { .. }
            | Work::Announce { .. }
            | Work::Leave { .. }
            | Work::BowOut { .. }
            | Work::Down { .. }
            | Work::Remove { .. } => None,
        };
        let stalled = self.kernel.work(work);
        if let Some(lease) = lease {
            self.heed(stalled, lease);
        }
    }

    fn heed(&mut self, stalled: Duration, lease: u32) {
        if !self.stalled && stalled.as_secs() >= lease.into() {
            self.stalled = true;
            error!(
                "the kernel has not done what was asked of it for {} s: \
                 ending, so that another host takes over",
                stalled.as_secs()
            );
        }
    }

    fn publish(&mut self, units: &BTreeSet<Unit>, now: Now) {
        for status in units
            .iter()
            .filter_map(|unit| self.engine.status(*unit, now))
        {
            self.publisher.tell(News::Interface(Box::new(status)));
        }
    }

    fn refresh(&mut self, now: Now, done: oneshot::Sender<()>) {
        let touched = self.engine.take_touched();
        let interfaces = touched
            .iter()
            .filter_map(|unit| self.engine.status(*unit, now))
            .collect();
        self.publisher.tell(News::Refreshed {
            interfaces,
            totals: self.engine.totals(),
            done,
        });
    }

    fn catch_up(&mut self, now: Now) {
        let engine = &self.engine;
        self.publisher.catch_up(|| Everything {
            interfaces: engine
                .units()
                .filter_map(|unit| engine.status(unit, now))
                .collect(),
            values: engine.sysctls(),
            suppressions: engine.suppressions().cloned().collect(),
            totals: engine.totals(),
            at: now.unix,
        });
        self.catch_up = self.publisher.is_behind().then_some(now.instant + CATCH_UP);
    }
}

async fn fired(sleep: Option<tokio::time::Sleep>) {
    match sleep {
        Some(sleep) => sleep.await,
        None => std::future::pending().await,
    }
}

fn report(device: IfIndex, outcome: io::Result<()>) {
    if let Err(error) = outcome {
        warn!("cannot receive on interface {device}: {error}");
    }
}
