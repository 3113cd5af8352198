//! Tests of the kernel thread in network namespaces. The system's own tools check its work.

mod adopt;
mod backup;
mod crash;
mod devices;
mod helpers;
pub(crate) mod lab;
mod links;
mod master;
mod parent;
mod silence;
mod sysctls;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;

use carp_proto::{IfIndex, Lease, Link, Mac, Place, RequestId, Unit, VirtualAddress, Work};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

use super::{Awaited, Handle, News, Options, start};
use lab::TIMEOUT;

/// Kernel thread in the namespace of the calling thread.
struct Kernel {
    handle: Handle,
    news: UnboundedReceiver<News>,
    /// Links that were sent before [`News::Ready`].
    links: Vec<Link>,
    /// Leases that were found.
    leases: BTreeSet<Lease>,
    run_dir: RunDir,
}

impl Kernel {
    async fn start() -> Self {
        Self::start_in(RunDir::new()).await
    }

    async fn start_in(run_dir: RunDir) -> Self {
        Self::start_as(run_dir, false).await
    }

    /// Adopts what the previous instance left.
    async fn adopt_in(run_dir: RunDir) -> Self {
        Self::start_as(run_dir, true).await
    }

    async fn start_as(run_dir: RunDir, adopt: bool) -> Self {
        let options = Options {
            run_dir: run_dir.0.clone(),
            adopt,
            realtime: None,
        };
        let (handle, news) = start(options).unwrap();
        let mut kernel = Self {
            handle,
            news,
            links: Vec::new(),
            leases: BTreeSet::new(),
            run_dir,
        };
        loop {
            match kernel.news().await {
                News::Ready => return kernel,
                News::Found(leases) => kernel.leases = leases,
                News::Link(link) => kernel.links.push(link),
                News::LinkGone(_) | News::Gateways(_) => {}
                early @ (News::Taken { .. }
                | News::HelperDevices { .. }
                | News::ProbeSent(..)
                | News::Refused { .. }
                | News::Granted { .. }
                | News::Confirmed(_)) => panic!("{early:?}"),
            }
        }
    }

    fn ensure(&self, unit: u16) {
        self.handle.work(Work::Ensure {
            unit: carp(unit),
            parent: eth0(),
            mac: mac(unit),
        });
    }

    fn take(&self, unit: u16, place: Place, addresses: &[&str], lease: u32) {
        let addresses = virtual_addresses(addresses);
        self.handle.work(Work::Take {
            unit: carp(unit),
            place,
            addresses,
            lease,
            number: 0,
        });
    }

    fn leave(&self, unit: u16) {
        self.handle.work(Work::Leave { unit: carp(unit) });
    }

    async fn news(&mut self) -> News {
        timeout(TIMEOUT, self.news.recv())
            .await
            .expect("news in time")
            .expect("a living thread")
    }

    /// Waits until all queued work is done, and returns what was refused meanwhile.
    async fn settle(&mut self) -> Vec<String> {
        // Only the work of one interface is done in order.
        let mut markers: BTreeSet<u16> = (0..10).chain([999]).collect();
        for unit in &markers {
            let marker = Awaited::Request(RequestId(u64::from(*unit)));
            self.handle.confirm(Some(carp(*unit)), marker);
        }
        let mut refused = Vec::new();
        while !markers.is_empty() {
            match self.news().await {
                News::Confirmed(Awaited::Request(RequestId(marker))) => {
                    markers.retain(|unit| u64::from(*unit) != marker);
                }
                News::Refused {
                    unit,
                    address: Some(address),
                    error,
                } => {
                    refused.push(format!("{unit} {address}: {error}"));
                }
                News::Refused {
                    unit,
                    address: None,
                    error,
                } => {
                    refused.push(format!("{unit}: {error}"));
                }
                News::Found(_)
                | News::Link(_)
                | News::LinkGone(_)
                | News::HelperDevices { .. }
                | News::ProbeSent(..)
                | News::Gateways(_)
                | News::Granted { .. }
                | News::Taken { .. }
                | News::Confirmed(Awaited::News(..))
                | News::Ready => {}
            }
        }
        refused
    }

    async fn finish(self) -> RunDir {
        assert!(self.handle.finish().await, "the thread ends in time");
        self.run_dir
    }
}

/// Directory of one test.
struct RunDir(PathBuf);

impl RunDir {
    fn new() -> Self {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("carpd-kernel-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn carp(unit: u16) -> Unit {
    unit.try_into().unwrap()
}

fn mac(unit: u16) -> Mac {
    Mac([
        0x00,
        0x00,
        0x5e,
        0x00,
        0x01,
        u8::try_from(unit + 1).unwrap(),
    ])
}

fn eth0() -> IfIndex {
    lab::index_of("eth0")
}

fn virtual_addresses(texts: &[&str]) -> Vec<VirtualAddress> {
    texts
        .iter()
        .map(|text| {
            let (address, prefix) = text.split_once('/').unwrap();
            let address: IpAddr = address.parse().unwrap();
            VirtualAddress {
                address,
                prefix: prefix.parse().unwrap(),
            }
        })
        .collect()
}

/// Returns the line of ip(8) for each address of `device`.
fn addresses_of(device: &str) -> Vec<String> {
    lab::run(&format!("ip -o address show dev {device}"))
        .lines()
        .map(str::to_owned)
        .collect()
}
