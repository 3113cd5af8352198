//! Protocol loop: the only loop that talks to the engine, and the only match on [`Action`].
//!
//! It has its own thread, which never blocks: netlink is on the kernel thread, D-Bus and the log on the
//! main thread.

mod publishing;
mod resume;
mod settling;
mod withheld;

use std::collections::BTreeSet;
use std::io;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use carp_proto::{
    Action, Engine, IfIndex, Input, Instant, Lease, Now, Request, RequestId, StateName, Unit, Work,
};
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};
use tracing::error;

use self::publishing::Publishing;
use crate::alarm::Alarm;
use crate::clock::Clock;
use crate::coalescing::Coalescing;
use crate::fairness::{self, Fairness, QUEUE_TURN};
use crate::kernel;
use crate::net::{self, Batch, Receivers, Sender};
use crate::publish::{LoopEnd, LoopRequest, News, Running};
use crate::realtime::Priority;
use crate::state::{Keeper, Last, Past, Saving};
use crate::systemd::watchdog::Watchdog;

/// Pause after a virtual host became MASTER, so that others can follow before sockets change.
const ROLES_DELAY: Duration = Duration::from_millis(100);

/// Number of the loop's own request to stop. Requests of clients count from 1.
const STOP: RequestId = RequestId(0);

/// Channels and settings of the loop.
pub(crate) struct Ends {
    /// Channel to the main thread.
    pub(crate) published: LoopEnd,
    /// Queue of the kernel thread.
    pub(crate) kernel: kernel::Handle,
    /// News from the kernel thread.
    pub(crate) kernel_news: mpsc::UnboundedReceiver<kernel::News>,
    /// Run-time state of the previous instance.
    pub(crate) past: Option<Past>,
    /// Writer of run-time state for the next instance.
    pub(crate) keeper: Keeper,
    /// Signal to stop. If the sender is dropped, the loop stops as for [`Stop::GiveBack`].
    pub(crate) stop: oneshot::Receiver<Stop>,
    /// Real-time priority of the loop's thread.
    pub(crate) realtime: Option<Priority>,
    /// Watchdog of the service manager.
    pub(crate) watchdog: Option<Watchdog>,
}

/// Way to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Every MASTER bows out, and all changes in the kernel are undone.
    GiveBack,
    /// Everything stays in place for the next instance.
    Keep,
}

/// Starts the loop on a thread that ends after a stop, and returns whether the kernel undid all changes
/// in time.
///
/// # Errors
/// The thread, its runtime or its sockets cannot be created.
pub(crate) fn start(ends: Ends) -> io::Result<JoinHandle<bool>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (sender, alarm) = {
        let _inside = runtime.enter();
        (Sender::open()?, Alarm::new()?)
    };
    let Ends {
        published: LoopEnd {
            publisher,
            requests,
        },
        kernel,
        kernel_news,
        past,
        keeper,
        stop,
        realtime,
        watchdog,
    } = ends;
    let daemon = Daemon {
        clock: Clock,
        alarm,
        engine: Engine::new(),
        receivers: Receivers::new(),
        sender,
        kernel,
        publishing: Publishing::new(publisher),
        past,
        saving: Saving::new(keeper),
        fairness: Fairness::default(),
        coalescing: Coalescing::new(),
        leases: BTreeSet::new(),
        links_known: false,
        stalled: false,
        watchdog,
    };
    let thread = thread::Builder::new()
        .name("protocol".to_owned())
        .spawn(move || runtime.block_on(daemon.run(requests, kernel_news, stop)))?;
    realtime.map_or(Ok(()), |priority| priority.give(&thread))?;
    Ok(thread)
}

struct Daemon {
    clock: Clock,
    alarm: Alarm,
    engine: Engine,
    receivers: Receivers,
    sender: Sender,
    kernel: kernel::Handle,
    publishing: Publishing,
    past: Option<Past>,
    saving: Saving,
    fairness: Fairness,
    coalescing: Coalescing,
    /// Leases that the kernel thread found at start.
    leases: BTreeSet<Lease>,
    /// All links are known, so that requests can be handled.
    links_known: bool,
    /// The kernel thread hangs. The addresses have expired with their leases, and further
    /// advertisements would keep other hosts from taking them.
    stalled: bool,
    watchdog: Option<Watchdog>,
}

impl Daemon {
    async fn run(
        mut self,
        mut requests: mpsc::Receiver<LoopRequest>,
        mut kernel_news: mpsc::UnboundedReceiver<kernel::News>,
        mut stop: oneshot::Receiver<Stop>,
    ) -> bool {
        let mut batch = Batch::new(fairness::BATCH);
        let stop = loop {
            if self.stalled {
                break None;
            }
            let ping = self.feed_watchdog();
            let wake = [self.deadline(), ping].into_iter().flatten().min();
            if let Err(error) = self.alarm.set(wake) {
                error!("cannot set a timer: {error}");
                break None;
            }
            tokio::select! {
                biased;
                () = self.receivers.recv(&mut batch, self.clock) => {
                    self.packets(&batch);
                    if !batch.is_full() {
                        let now = self.clock.now().instant;
                        self.coalescing.wait(now, self.deadline());
                    }
                    if self.fairness.queues_have_their_turn() {
                        self.take_turn(&mut kernel_news, &mut requests, &mut batch);
                        match stop.try_recv() {
                            Err(TryRecvError::Empty) => {}
                            asked => break Some(asked.unwrap_or(Stop::GiveBack)),
                        }
                    }
                }
                Some(news) = kernel_news.recv() => self.news(news, &mut batch),
                _ = self.alarm.expired() => self.timers(),
                stop = &mut stop => break Some(stop.unwrap_or(Stop::GiveBack)),
                Some(request) = requests.recv(), if self.links_known => self.request(request),
            }
        };
        match stop {
            // The next instance resumes with the saved state, as after a crash.
            None => {
                self.handle(Input::Request(STOP, Request::Stop));
                // Closing takes milliseconds, during which the kernel thread works.
                drop((self.receivers, self.sender));
                let end = self.kernel.finish();
                self.publishing.finish(end, kernel_news).await
            }
            Some(Stop::GiveBack) => {
                self.handle(Input::Request(STOP, Request::Stop));
                drop((self.receivers, self.sender));
                let end = self.kernel.finish();
                let given_back = self.publishing.finish(end, kernel_news).await;
                self.saving.end(Last::Forget).await && given_back
            }
            // The saved state is still that of the previous instance, if any.
            Some(Stop::Keep) if !self.saving.is_complete() => {
                let end = self.kernel.keep();
                self.publishing.finish(end, kernel_news).await
            }
            Some(Stop::Keep) => {
                let unsaved = self.engine.take_unsaved(self.clock.now());
                let end = self.kernel.keep();
                let kept = self.publishing.finish(end, kernel_news).await;
                self.saving.end(Last::Keep(unsaved)).await && kept
            }
        }
    }

    /// Returns the time of the next call of [`timers`](Self::timers).
    fn deadline(&self) -> Option<Instant> {
        let deadlines = [
            self.engine.deadline(),
            self.publishing.deadline(),
            self.receivers.deadline(),
            self.saving.deadline(&self.engine),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Handles queued news and requests, up to the limit of a turn.
    fn take_turn(
        &mut self,
        kernel_news: &mut mpsc::UnboundedReceiver<kernel::News>,
        requests: &mut mpsc::Receiver<LoopRequest>,
        batch: &mut Batch,
    ) {
        for _ in 0..QUEUE_TURN {
            let Ok(news) = kernel_news.try_recv() else {
                break;
            };
            self.news(news, batch);
        }
        for _ in 0..QUEUE_TURN {
            if !self.links_known {
                break;
            }
            let Ok(request) = requests.try_recv() else {
                break;
            };
            self.request(request);
        }
    }

    fn news(&mut self, news: kernel::News, batch: &mut Batch) {
        match news {
            kernel::News::Found(found) => self.leases = found,
            kernel::News::Ready => {
                self.links_known = true;
                let leases = core::mem::take(&mut self.leases);
                self.resume(&leases);
            }
            kernel::News::Link(link) => {
                self.receivers.changed(link.index, self.clock.now().instant);
                self.handle(Input::Link(link));
            }
            kernel::News::LinkGone(index) => self.handle(Input::LinkGone(index)),
            kernel::News::Gateways(gateways) => self.handle(Input::Gateways(gateways)),
            kernel::News::Taken { unit, number } => {
                // Another host may have taken over since. Announcements behind its advertisement
                // would lead switches back here.
                if self.receivers.recv_now(batch, self.clock) {
                    self.packets(batch);
                }
                self.handle(Input::Taken { unit, number });
            }
            kernel::News::HelperDevices { interface, devices } => {
                self.receivers
                    .helpers_changed(interface, devices, self.clock.now().instant);
            }
            kernel::News::ProbeSent(interface, number) => {
                let now = self.clock.now().instant;
                self.receivers.probe_sent(interface, number, now);
            }
            kernel::News::Refused {
                unit,
                address,
                error,
            } => {
                self.handle(Input::Refused {
                    unit,
                    address,
                    error,
                });
            }
            kernel::News::Granted { unit, address } => {
                self.handle(Input::Granted { unit, address });
            }
            kernel::News::Confirmed(awaited) => self.publishing.confirmed(awaited, &self.engine),
        }
    }

    /// Resumes with the state of the previous instance, if there is one.
    fn resume(&mut self, leases: &BTreeSet<Lease>) {
        let Some(Past {
            memory,
            leases_count,
        }) = self.past.take()
        else {
            return;
        };
        let none = BTreeSet::new();
        let leases = if leases_count { leases } else { &none };
        self.handle(Input::Resume {
            saved: memory,
            leases,
        });
        self.kernel.sweep();
        self.saving.complete();
        resume::log(&self.engine, self.clock.now());
    }

    fn request(&mut self, request: LoopRequest) {
        match request {
            LoopRequest::Engine(id, request) => self.handle(Input::Request(id, request)),
            LoopRequest::Refresh(done) => {
                let now = self.clock.now();
                self.publishing.refresh(&mut self.engine, now, done);
            }
            LoopRequest::Key(unit, answer) => {
                // Fails if the client has disconnected.
                let _ = answer.send(self.engine.key(unit).cloned());
            }
            LoopRequest::Settle(id, unit) => {
                let now = self.clock.now().instant;
                self.publishing.settle(id, unit, &self.kernel, now);
            }
            LoopRequest::Complete => self.saving.complete(),
            LoopRequest::Saved(done) => {
                let now = self.clock.now();
                self.saving.save_and_notify(&mut self.engine, now, done);
            }
            LoopRequest::Running(answer) => {
                let _ = answer.send(Running::of(&self.engine));
            }
        }
    }

    /// Pings the watchdog, in every turn of the loop, and returns the time of the next ping.
    fn feed_watchdog(&mut self) -> Option<Instant> {
        let watchdog = self.watchdog.as_mut()?;
        watchdog.feed(self.clock.now().instant);
        watchdog.next()
    }

    /// Handles received frames before an expired deadline, which they may cancel.
    fn packets(&mut self, batch: &Batch) {
        let now = self.clock.now();
        for (device, frame) in batch.frames() {
            self.handle_at(Input::Packet { device, frame }, now);
        }
        let due = self
            .deadline()
            .is_some_and(|at| self.clock.until(at).is_zero());
        if self.fairness.handles_deadline(due, batch.is_full()) {
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
        self.publishing.tick(&self.engine, now);
        let families_of_masters = |device| self.engine.families_of_masters(device);
        for request in self.receivers.tick(now.instant, families_of_masters) {
            self.kernel.help_to_receive(request);
        }
        self.saving.tick(&mut self.engine, now);
    }

    fn handle(&mut self, input: Input<'_>) {
        self.handle_at(input, self.clock.now());
    }

    /// Lets the engine handle `input` and performs its actions, in order; then does the same with the
    /// results of the frames it sent.
    fn handle_at(&mut self, input: Input<'_>, now: Now) {
        let mut sent = Vec::new();
        let actions = self.engine.handle(input, now);
        self.perform(actions, now, &mut sent);
        while let Some(input) = sent.pop() {
            let actions = self.engine.handle(input, now);
            self.perform(actions, now, &mut sent);
        }
        self.publishing.schedule_catch_up(now.instant);
    }

    fn perform(&mut self, actions: Vec<Action>, now: Now, sent: &mut Vec<Input<'static>>) {
        let mut updated = BTreeSet::new();
        let mut concerned = BTreeSet::new();
        let mut renewals = Vec::new();
        let mut leaving = Vec::new();
        for action in actions {
            if !matches!(
                action,
                Action::Transmit { .. } | Action::Resolve { .. } | Action::Work(Work::Renew { .. })
            ) {
                self.transmit(&mut leaving, sent);
            }
            match action {
                Action::Transmit {
                    unit,
                    device,
                    frame,
                } => leaving.push((Some(unit), device, frame)),
                Action::Resolve { device, frame } => leaving.push((None, device, frame)),
                // Renewed together, below. Leases taken or given up in this list need no renewal.
                Action::Work(Work::Renew { unit, lease }) => renewals.push((unit, lease)),
                Action::Work(work) => self.work(work),
                Action::Attach(device) => {
                    self.kernel.attach(device);
                    let outcome = self.receivers.attach(device);
                    report(device, outcome);
                }
                Action::Detach(device) => {
                    self.receivers.detach(device);
                    self.kernel.detach(device);
                }
                Action::ListenArp { device, on } => {
                    let outcome = self.receivers.listen_arp(device, on);
                    report(device, outcome);
                }
                Action::Created(unit) | Action::Updated(unit) => {
                    self.receivers.roles_may_change(now.instant + ROLES_DELAY);
                    updated.insert(unit);
                }
                Action::Changed(transition) => {
                    let pause = match transition.to {
                        StateName::Master => ROLES_DELAY,
                        StateName::Init | StateName::Backup => Duration::ZERO,
                    };
                    self.receivers.roles_may_change(now.instant + pause);
                    concerned.insert(transition.unit);
                    self.publishing
                        .transition(transition, &self.kernel, &self.engine, now);
                }
                Action::Destroyed(unit) => {
                    self.receivers.roles_may_change(now.instant + ROLES_DELAY);
                    updated.remove(&unit);
                    concerned.insert(unit);
                    self.publishing.send(News::Gone(unit));
                }
                Action::SysctlsChanged => {
                    let values = self.engine.sysctls();
                    let suppressions = self.engine.suppressions().cloned().collect();
                    self.publishing.send(News::Sysctls {
                        values,
                        suppressions,
                    });
                }
                Action::Notice(notice) => {
                    self.publishing.send(News::Notice(now.unix, notice));
                }
                Action::Answer(STOP, _) => {}
                Action::Answer(id, answer) => {
                    self.publishing.interfaces(&updated, &self.engine, now);
                    concerned.append(&mut updated);
                    self.publishing.reply(id, answer, &concerned);
                }
            }
        }
        self.transmit(&mut leaving, sent);
        if let Some(lease) = renewals.iter().map(|(_, lease)| *lease).min() {
            let stalled = self.kernel.renew(renewals);
            self.heed(stalled, lease);
        }
        self.publishing.interfaces(&updated, &self.engine, now);
    }

    /// Sends frames together: advertisements of all families and interfaces, each with the unit that
    /// hears what became of it, and the announcements that go with them.
    fn transmit(
        &self,
        leaving: &mut Vec<(Option<Unit>, IfIndex, Vec<u8>)>,
        sent: &mut Vec<Input<'static>>,
    ) {
        let frames: Vec<(IfIndex, &[u8])> = leaving
            .iter()
            .map(|(_, device, frame)| (*device, frame.as_slice()))
            .collect();
        let results = self.sender.send_all(&frames);
        let units = leaving.drain(..).map(|(unit, _, _)| unit);
        sent.extend(
            units
                .zip(results)
                .filter_map(|(unit, result)| unit.map(|unit| Input::Sent { unit, result })),
        );
    }

    fn work(&mut self, work: Work) {
        let lease = match work {
            Work::Take { lease, .. } | Work::Renew { lease, .. } => Some(lease),
            Work::Ensure { .. }
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
                "the kernel has not responded for {} s: \
                 exiting, so that another host takes over",
                stalled.as_secs()
            );
        }
    }
}

fn report(device: IfIndex, outcome: io::Result<()>) {
    if let Err(error) = outcome {
        net::report(device, &error);
    }
}
