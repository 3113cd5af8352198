//! The protocol loop: the only `select!`, and the only match on [`Action`].
//!
//! It runs on a thread of its own. Whatever may block is elsewhere: netlink on the kernel thread,
//! D-Bus and the log on the main one.

mod resume;
mod saving;

use std::collections::BTreeSet;
use std::io;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use carp_proto::{
    Action, Engine, IfIndex, Input, Instant, Lease, Now, Request, RequestId, StateName, Unit, Work,
};
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};
use tracing::{error, warn};

use crate::alarm::Alarm;
use crate::clock::Clock;
use crate::coalescing::Coalescing;
use crate::kernel;
use crate::net::{Batch, Ports};
use crate::publish::{Ask, Everything, LoopEnd, News, Publisher, Running};
use crate::realtime::Priority;
use crate::settling::Settling;
use crate::state::{Keeper, Last, Past};
use crate::systemd::Watchdog;

/// How many frames are read before anything else has its turn.
const BUDGET: usize = 256;

/// After so many full batches a deadline is no longer kept waiting: what refutes it may still be
/// in the queue after this process was stopped for a while, but a flood must not silence us.
const PATIENCE: u32 = 16;

/// After so many batches in a row everything else has a turn: for as long as somebody likes, there
/// may be another packet whenever one is asked for.
const RUN: u32 = 4;

/// How many entries of each queue are taken in such a turn.
const TURN: usize = 32;

/// How often it is tried to make up for news that was lost.
const CATCH_UP: Duration = Duration::from_millis(100);

/// How long after somebody became MASTER it is looked whether all are.
const SETTLE: Duration = Duration::from_millis(100);

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
    /// What the carpd before left to this one.
    pub(crate) past: Option<Past>,
    /// What is left to the next.
    pub(crate) keeper: Keeper,
    /// Says how carpd shall stop, when it shall; it gives everything back if this is dropped.
    pub(crate) stop: oneshot::Receiver<Stop>,
    /// The priority of the loop's thread, if it shall not have an ordinary one.
    pub(crate) realtime: Option<Priority>,
    /// Who wants signs of life.
    pub(crate) watchdog: Option<Watchdog>,
}

/// What is left behind at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Nothing: every MASTER bows out.
    GiveBack,
    /// Everything, for the next carpd.
    Keep,
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
    let (ports, alarm) = {
        let _inside = runtime.enter();
        (Ports::open()?, Alarm::new()?)
    };
    let Ends {
        published: LoopEnd { publisher, asks },
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
        ports,
        kernel,
        publisher,
        past,
        keeper,
        put_off: 0,
        run: 0,
        coalescing: Coalescing::new(),
        leases: BTreeSet::new(),
        links_known: false,
        stalled: false,
        catch_up: None,
        roles: None,
        complete: false,
        saved: Instant::ZERO,
        settling: Settling::default(),
        watchdog,
    };
    let thread = thread::Builder::new()
        .name("protocol".to_owned())
        .spawn(move || runtime.block_on(daemon.run(asks, kernel_news, stop)))?;
    realtime.map_or(Ok(()), |priority| priority.give(&thread))?;
    Ok(thread)
}

struct Daemon {
    clock: Clock,
    alarm: Alarm,
    engine: Engine,
    ports: Ports,
    kernel: kernel::Handle,
    publisher: Publisher,
    past: Option<Past>,
    keeper: Keeper,
    /// Full batches in a row while a deadline was due.
    put_off: u32,
    /// Batches since everything else had its turn.
    run: u32,
    coalescing: Coalescing,
    /// Which leases the kernel thread found.
    leases: BTreeSet<Lease>,
    /// All links are known, so that requests can be done.
    links_known: bool,
    /// The kernel thread hangs: the addresses have gone with their leases, and who goes on to
    /// advertise keeps all others from having them.
    stalled: bool,
    /// When to make up for news that was lost; `None` while none was.
    catch_up: Option<Instant>,
    /// When to look who is MASTER where; `None` while nobody's role has changed.
    roles: Option<Instant>,
    /// Everything that is configured has been set up: what is running may be saved.
    complete: bool,
    /// When something was last saved.
    saved: Instant,
    /// Who waits for the kernel.
    settling: Settling,
    watchdog: Option<Watchdog>,
}

impl Daemon {
    async fn run(
        mut self,
        mut asks: mpsc::Receiver<Ask>,
        mut kernel_news: mpsc::UnboundedReceiver<kernel::News>,
        mut stop: oneshot::Receiver<Stop>,
    ) -> bool {
        let mut batch = Batch::new(BUDGET);
        let stop = loop {
            if self.stalled {
                break None;
            }
            let sign = self.give_sign_of_life();
            let wake = [self.deadline(), sign].into_iter().flatten().min();
            if let Err(error) = self.alarm.set(wake) {
                error!("cannot set a timer: {error}");
                break None;
            }
            tokio::select! {
                biased;
                () = self.ports.recv(&mut batch, self.clock) => {
                    self.packets(&batch);
                    if !batch.is_full() {
                        let now = self.clock.now().instant;
                        self.coalescing.wait(now, self.deadline());
                    }
                    self.run += 1;
                    if self.run >= RUN {
                        self.run = 0;
                        self.take_turn(&mut kernel_news, &mut asks);
                        match stop.try_recv() {
                            Err(TryRecvError::Empty) => {}
                            asked => break Some(asked.unwrap_or(Stop::GiveBack)),
                        }
                    }
                }
                Some(news) = kernel_news.recv() => self.news(news),
                _ = self.alarm.expired() => self.timers(),
                stop = &mut stop => break Some(stop.unwrap_or(Stop::GiveBack)),
                Some(ask) = asks.recv(), if self.links_known => self.ask(ask),
            }
        };
        match stop {
            // The next one goes on with what was saved, as after a crash.
            None => {
                self.handle(Input::Request(STOP, Request::Stop));
                // Closing takes milliseconds, and so does what the kernel thread does meanwhile.
                drop(self.ports);
                self.kernel.finish().await
            }
            Some(Stop::GiveBack) => {
                self.handle(Input::Request(STOP, Request::Stop));
                drop(self.ports);
                let given_back = self.kernel.finish().await;
                self.keeper.end(Last::Forget).await && given_back
            }
            // What is there is still of the carpd before, or of none.
            Some(Stop::Keep) if !self.complete => self.kernel.keep().await,
            Some(Stop::Keep) => {
                let unsaved = self.engine.take_unsaved(self.clock.now());
                let kept = self.kernel.keep().await;
                self.keeper.end(Last::Keep(unsaved)).await && kept
            }
        }
    }

    /// When [`timers`](Self::timers) next has something to do.
    fn deadline(&self) -> Option<Instant> {
        let deadlines = [
            self.engine.deadline(),
            self.catch_up,
            self.roles,
            self.ports.deadline(),
            self.settling.deadline(),
            self.next_save(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// What waits in the queues, as many entries of each as it may be.
    fn take_turn(
        &mut self,
        kernel_news: &mut mpsc::UnboundedReceiver<kernel::News>,
        asks: &mut mpsc::Receiver<Ask>,
    ) {
        for _ in 0..TURN {
            let Ok(news) = kernel_news.try_recv() else {
                break;
            };
            self.news(news);
        }
        for _ in 0..TURN {
            if !self.links_known {
                break;
            }
            let Ok(ask) = asks.try_recv() else { break };
            self.ask(ask);
        }
    }

    fn news(&mut self, news: kernel::News) {
        match news {
            kernel::News::Found(found) => self.leases = found,
            kernel::News::Ready => {
                self.links_known = true;
                let leases = core::mem::take(&mut self.leases);
                self.resume(&leases);
            }
            kernel::News::Link(link) => {
                self.ports.changed(link.index, self.clock.now().instant);
                self.handle(Input::Link(link));
            }
            kernel::News::LinkGone(index) => self.handle(Input::LinkGone(index)),
            kernel::News::Announced(unit) => self.handle(Input::Announced(unit)),
            kernel::News::Ear { device, ear } => {
                self.ports.ear_is(device, ear, self.clock.now().instant);
            }
            kernel::News::Probed(device, number) => {
                let now = self.clock.now().instant;
                self.ports.probe_sent(device, number, now);
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
            kernel::News::Confirmed(id) => {
                self.settling.done(id, &self.engine, &mut self.publisher);
            }
        }
    }

    fn ask(&mut self, ask: Ask) {
        match ask {
            Ask::Request(id, request) => self.handle(Input::Request(id, request)),
            Ask::Refresh(done) => self.refresh(self.clock.now(), done),
            Ask::Key(unit, answer) => {
                // Whoever asked may be gone.
                let _ = answer.send(self.engine.key(unit).cloned());
            }
            Ask::Settle(id, unit) => {
                self.kernel.confirm(unit, id);
                self.settling.begin(id, unit, self.clock.now().instant);
            }
            Ask::Complete => self.complete = true,
            Ask::Saved(done) => self.save_and_notify(done),
            Ask::Running(answer) => {
                let _ = answer.send(Running::of(&self.engine));
            }
        }
    }

    /// Once in every turn, whatever made it. Says when it must turn again for the next one.
    fn give_sign_of_life(&mut self) -> Option<Instant> {
        let watchdog = self.watchdog.as_mut()?;
        watchdog.feed(self.clock.now().instant);
        watchdog.next()
    }

    /// What came in goes before a deadline: it may be what the deadline waited for.
    fn packets(&mut self, batch: &Batch) {
        let now = self.clock.now();
        for (device, frame) in batch.frames() {
            self.handle_at(Input::Packet { device, frame }, now);
        }
        let due = self
            .deadline()
            .is_some_and(|at| self.clock.until(at).is_zero());
        // One that is not full has emptied the queues: more may come without end, but it is new.
        if due && batch.is_full() && self.put_off < PATIENCE {
            self.put_off += 1;
        } else {
            self.put_off = 0;
            if due {
                self.timers();
            }
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
        if self.roles.is_some_and(|at| at <= now.instant) {
            self.look_at_roles(now.instant);
        }
        self.settling
            .expire(now.instant, &self.engine, &mut self.publisher);
        self.tend_ears(now.instant);
        if self.next_save().is_some_and(|save| save <= now.instant) {
            self.saved = now.instant;
            let unsaved = self.engine.take_unsaved(now);
            self.keeper.save(unsaved);
        }
    }

    /// Who is MASTER on which physical interface decides how that is heard.
    fn look_at_roles(&mut self, now: Instant) {
        self.roles = None;
        let attached: Vec<IfIndex> = self.ports.attached().collect();
        for device in attached {
            let families = self.engine.families_of_masters(device);
            self.ports.masters(device, families, now);
        }
    }

    fn tend_ears(&mut self, now: Instant) {
        for order in self.ports.tick(now) {
            self.kernel.help_to_hear(order);
        }
    }

    fn roles_may_have_changed(&mut self, at: Instant) {
        self.roles = Some(self.roles.map_or(at, |before| before.min(at)));
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
        let mut leaving = Vec::new();
        for action in actions {
            if !matches!(
                action,
                Action::Transmit { .. } | Action::Work(Work::Renew { .. })
            ) {
                self.transmit(&mut leaving, sent);
            }
            match action {
                Action::Transmit {
                    unit,
                    device,
                    frame,
                } => leaving.push((unit, device, frame)),
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
                    self.roles_may_have_changed(now.instant + SETTLE);
                    updated.insert(unit);
                }
                Action::Changed(transition) => {
                    let pause = match transition.to {
                        StateName::Master => SETTLE,
                        StateName::Init | StateName::Backup => Duration::ZERO,
                    };
                    self.roles_may_have_changed(now.instant + pause);
                    self.publish(&BTreeSet::from([transition.unit]), now);
                    self.publisher.tell(News::Changed(transition));
                }
                Action::Destroyed(unit) => {
                    self.roles_may_have_changed(now.instant + SETTLE);
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
        self.transmit(&mut leaving, sent);
        if let Some(lease) = renewals.iter().map(|(_, lease)| *lease).min() {
            let stalled = self.kernel.renew(renewals);
            self.heed(stalled, lease);
        }
        self.publish(&updated, now);
    }

    /// Sends advertisements, those of all families and interfaces together.
    fn transmit(
        &self,
        leaving: &mut Vec<(Unit, IfIndex, Vec<u8>)>,
        sent: &mut Vec<Input<'static>>,
    ) {
        let frames: Vec<(IfIndex, &[u8])> = leaving
            .iter()
            .map(|(_, device, frame)| (*device, frame.as_slice()))
            .collect();
        let results = self.ports.send_all(&frames);
        let units = leaving.drain(..).map(|(unit, _, _)| unit);
        sent.extend(
            units
                .zip(results)
                .map(|(unit, result)| Input::Sent { unit, result }),
        );
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

fn report(device: IfIndex, outcome: io::Result<()>) {
    if let Err(error) = outcome {
        warn!("cannot receive on interface {device}: {error}");
    }
}
