//! Requests of administrators and programs. A request that is refused changes nothing.

use super::Engine;
use super::choice::{Current, choose};
use crate::action::{Action, Answer, Work};
use crate::counters::Counters;
use crate::input::{Request, RequestId};
use crate::name::Unit;
use crate::obstacle::{Impediment, Obstacle};
use crate::reason::Reason;
use crate::refusal::{Refusal, RefusalKind};
use crate::settings::{Change, ForcedState, Settings, check_text};
use crate::suppression::{Cause, HolderId};
use crate::sysctl::Sysctl;
use crate::time::Now;
use crate::vhost::{Event, Vhost};

/// Treatment of a `carpdev` that does not exist.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MissingDevice {
    /// An administrator is present to correct it.
    Refused,
    /// At boot the device may appear later. Until then the virtual host is in INIT.
    Awaited,
}

impl Engine {
    pub(super) fn request(
        &mut self,
        id: RequestId,
        request: Request,
        now: Now,
        out: &mut Vec<Action>,
    ) {
        let answer = match request {
            Request::Create { unit, changes } => self.create(unit, &changes, now, out),
            Request::Configure { unit, changes } => self.configure(unit, &changes, now, out),
            Request::Install { unit, settings } => self.install(unit, *settings, now, out),
            Request::Destroy(unit) => self.destroy(unit, now, out),
            Request::Set(sysctl, value) => self.set(sysctl, value, now, out),
            Request::Suppress { who, why } => self.suppress(who, &why, now, out),
            Request::Release(holder) => Ok(self.release(holder, now, out)),
            Request::ResetStatistics => Ok(self.reset_statistics()),
            Request::Stop => Ok(self.stop(now, out)),
        };
        out.push(Action::Answer(id, answer));
    }

    fn create(
        &mut self,
        unit: Option<Unit>,
        changes: &[Change],
        now: Now,
        out: &mut Vec<Action>,
    ) -> Result<Answer, Refusal> {
        let unit = match unit {
            Some(unit) if self.vhosts.contains_key(&unit) => {
                return Err(Refusal::new(
                    RefusalKind::Exists,
                    format!("{unit} exists already"),
                ));
            }
            Some(unit) => unit,
            None => self.free_unit()?,
        };
        let mut settings = Settings::default();
        let forced = settings.apply(unit, changes)?;
        self.vet(unit, &settings, forced, MissingDevice::Refused)?;
        self.vhosts.insert(unit, Box::new(Vhost::new(unit)));
        out.push(Action::Created(unit));
        self.commit(unit, settings, forced, now, out);
        Ok(Answer::Created(unit))
    }

    fn configure(
        &mut self,
        unit: Unit,
        changes: &[Change],
        now: Now,
        out: &mut Vec<Action>,
    ) -> Result<Answer, Refusal> {
        let vhost = self.vhosts.get(&unit).ok_or_else(|| no_such(unit))?;
        let mut settings = vhost.settings.clone();
        let forced = settings.apply(unit, changes)?;
        self.vet(unit, &settings, forced, MissingDevice::Refused)?;
        self.commit(unit, settings, forced, now, out);
        self.retry_taken(now, out);
        Ok(Answer::Done)
    }

    fn install(
        &mut self,
        unit: Unit,
        settings: Settings,
        now: Now,
        out: &mut Vec<Action>,
    ) -> Result<Answer, Refusal> {
        let old = self.vhosts.get(&unit).map(|vhost| &vhost.settings);
        if old == Some(&settings) {
            return Ok(Answer::Done);
        }
        let is_new = old.is_none();
        self.vet(unit, &settings, None, MissingDevice::Awaited)?;
        if is_new {
            self.vhosts.insert(unit, Box::new(Vhost::new(unit)));
            out.push(Action::Created(unit));
        }
        self.commit(unit, settings, None, now, out);
        self.retry_taken(now, out);
        Ok(Answer::Done)
    }

    fn commit(
        &mut self,
        unit: Unit,
        settings: Settings,
        forced: Option<ForcedState>,
        now: Now,
        out: &mut Vec<Action>,
    ) {
        self.reconfigure(unit, settings, now, out);
        if let Some(state) = forced {
            self.event(unit, Event::Force(state), now, out);
        }
    }

    fn destroy(&mut self, unit: Unit, now: Now, out: &mut Vec<Action>) -> Result<Answer, Refusal> {
        if !self.vhosts.contains_key(&unit) {
            return Err(no_such(unit));
        }
        self.event(unit, Event::Retire(Reason::Destroyed), now, out);
        out.push(Action::Work(Work::Remove { unit }));
        self.remove(unit, now, out);
        self.touched.remove(&unit);
        out.push(Action::Destroyed(unit));
        self.retry_taken(now, out);
        Ok(Answer::Done)
    }

    /// Configures virtual hosts that wait for a vhid again. It may be free now.
    fn retry_taken(&mut self, now: Now, out: &mut Vec<Action>) {
        let waiting: Vec<Unit> = self
            .vhosts
            .values()
            .filter(|vhost| vhost.impediment == Some(Impediment::VhidTaken))
            .map(|vhost| vhost.unit)
            .collect();
        for unit in waiting {
            if let Some(vhost) = self.vhosts.get(&unit) {
                let settings = vhost.settings.clone();
                self.reconfigure(unit, settings, now, out);
            }
        }
    }

    fn set(
        &mut self,
        sysctl: Sysctl,
        value: u64,
        now: Now,
        out: &mut Vec<Action>,
    ) -> Result<Answer, Refusal> {
        let old = self.get(sysctl);
        self.sysctls.set(sysctl, value)?;
        if old != value {
            self.changes.sysctls();
            let devices: Vec<_> = self.arp_devices.iter().copied().collect();
            for device in devices {
                self.choose_arp_responders(device, now, out);
            }
            out.push(Action::SysctlsChanged);
        }
        Ok(Answer::Old(old))
    }

    /// All settings of a carp interface, with its passwords, for root alone.
    #[must_use]
    pub fn settings(&self, unit: Unit) -> Option<&Settings> {
        self.vhosts.get(&unit).map(|vhost| &vhost.settings)
    }

    /// Present value of `sysctl`.
    #[must_use]
    pub fn get(&self, sysctl: Sysctl) -> u64 {
        self.sysctls().get(sysctl)
    }

    fn suppress(
        &mut self,
        who: String,
        why: &str,
        now: Now,
        out: &mut Vec<Action>,
    ) -> Result<Answer, Refusal> {
        for (part, text) in [("who", who.as_str()), ("why", why)] {
            check_text(part, text)?;
            if text.is_empty() {
                return Err(Refusal::invalid(format!(
                    "{part} suppresses preemption must be said"
                )));
            }
        }
        let holder = self.suppressions.new_holder();
        self.set_cause(Cause::Holder(holder), who, why, now, out);
        Ok(Answer::Held(holder))
    }

    fn release(&mut self, holder: HolderId, now: Now, out: &mut Vec<Action>) -> Answer {
        self.clear_cause(Cause::Holder(holder), now, out);
        Answer::Done
    }

    fn reset_statistics(&mut self) -> Answer {
        self.unattributed = Counters::default();
        for (unit, vhost) in &mut self.vhosts {
            vhost.counters = Counters::default();
            self.touched.insert(*unit);
        }
        Answer::Done
    }

    /// Makes each MASTER bow out. The kernel thread removes all devices together when it ends.
    fn stop(&mut self, now: Now, out: &mut Vec<Action>) -> Answer {
        let all: Vec<Unit> = self.vhosts.keys().copied().collect();
        for unit in &all {
            self.event(*unit, Event::Retire(Reason::Destroyed), now, out);
        }
        for unit in all {
            self.remove(unit, now, out);
            out.push(Action::Destroyed(unit));
        }
        self.touched.clear();
        Answer::Done
    }

    fn free_unit(&self) -> Result<Unit, Refusal> {
        (0..=Unit::MAX)
            .filter_map(|number| Unit::try_from(number).ok())
            .find(|unit| !self.vhosts.contains_key(unit))
            .ok_or_else(|| Refusal::new(RefusalKind::Exists, "every carp unit is taken".to_owned()))
    }

    /// Checks the settings against the rest of this host.
    fn vet(
        &self,
        unit: Unit,
        settings: &Settings,
        forced: Option<ForcedState>,
        missing: MissingDevice,
    ) -> Result<(), Refusal> {
        let old = self.vhosts.get(&unit);
        if let Some(name) = &settings.carpdev
            && old.is_none_or(|old| old.settings.carpdev != settings.carpdev)
        {
            match self.links.values().find(|link| link.is_named(name)) {
                None if missing == MissingDevice::Awaited => {}
                None => {
                    let text = format!("{unit}: {}", Obstacle::NoDevice(name.clone()));
                    return Err(Refusal::new(RefusalKind::NoDevice, text));
                }
                Some(link) if !link.capable => {
                    let text = format!("{unit}: {}", Obstacle::UnfitDevice(name.clone()));
                    return Err(Refusal::new(RefusalKind::NoDevice, text));
                }
                Some(_) => {}
            }
        }
        let current = old.map_or(Current::Chosen(None), |old| Current::of(old, settings));
        let device = choose(settings, current, &self.links);
        let link = device.and_then(|device| self.links.get(&device));
        if let (Some(link), Some(vhid)) = (link, settings.vhid)
            && let Some(other) = self.bound.get(&(link.index, vhid))
            && *other != unit
        {
            let taken = Obstacle::VhidTaken {
                vhid,
                by: *other,
                device: link.name.clone(),
            };
            return Err(Refusal::new(
                RefusalKind::Exists,
                format!("{unit}: {taken}"),
            ));
        }
        if forced.is_some()
            && let Err(reason) = Vhost::runnable(settings, link)
        {
            let text = format!(
                "{unit}: is in INIT ({}) and cannot be forced out of it",
                reason.text()
            );
            return Err(Refusal::new(RefusalKind::Busy, text));
        }
        Ok(())
    }
}

fn no_such(unit: Unit) -> Refusal {
    Refusal::new(
        RefusalKind::NotFound,
        format!("{unit}: there is no such interface"),
    )
}
