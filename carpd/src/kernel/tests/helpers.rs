//! Helper devices send nothing, from their first moment on, whichever program tries to.

use carp_proto::IfIndex;

use super::super::News;
use super::lab::{eventually, on_a_cable, run, succeeds};
use super::{Kernel, eth0};
use crate::net::{HelperRequest, Sender};

/// Number of times that the devices are made. A setting that came late would be missing for some 0.1 ms
/// each time.
const TIMES: u32 = 30;

/// Returns the helper devices of `eth0`, once they are up.
async fn set_up(kernel: &mut Kernel) -> [IfIndex; 2] {
    kernel.handle.help_to_receive(HelperRequest::SetUp {
        interface: eth0(),
        up: true,
    });
    loop {
        if let News::HelperDevices { devices, .. } = kernel.news().await {
            return devices.expect("helper devices");
        }
    }
}

fn mac_of(device: &str) -> String {
    let text = run(&format!("ip -o link show dev {device}"));
    let mac = text
        .split(' ')
        .skip_while(|word| *word != "link/ether")
        .nth(1);
    mac.expect("a MAC").to_owned()
}

/// Builds an ARP request for 192.0.2.2, the host's own address, from this MAC to all (RFC 826).
fn request(from: [u8; 6]) -> Vec<u8> {
    let frame: [&[u8]; 8] = [
        &[0xff; 6],
        &from,
        &[0x08, 0x06],
        &[0, 1, 0x08, 0, 6, 4, 0, 1],
        &from,
        &[192, 0, 2, 77],
        &[0; 6],
        &[192, 0, 2, 2],
    ];
    frame.concat()
}

#[test]
fn helper_devices_never_answer_arp_requests() {
    on_a_cable(async |lab| {
        let mut kernel = Kernel::start().await;
        let own = mac_of("eth0");
        let others = lab.capture(&format!("arp and not ether src {own}"));
        let asking = lab.repeat_from_peer(request([0x02, 0, 0, 0, 0, 0x77]));
        for _ in 0..TIMES {
            kernel.handle.attach(eth0());
            set_up(&mut kernel).await;
            kernel.handle.detach(eth0());
            let name = format!("carpany{}", eth0());
            eventually("the device has gone", || {
                !succeeds(&format!("ip link show dev {name}"))
            });
        }
        assert!(asking.stop() > 1000, "the peer hardly asked");
        let answers = others.stop();
        assert_eq!(answers.len(), 0, "{:?}", answers.first());
    });
}

#[test]
fn helper_device_sends_nothing_for_any_program() {
    on_a_cable(async |lab| {
        // Locally administered, and the MAC of no device.
        const MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x78];
        let mut kernel = Kernel::start().await;
        let devices = set_up(&mut kernel).await;
        let capture = lab.capture("ether src 02:00:00:00:00:78");
        let sender = Sender::open().unwrap();
        for device in devices {
            // This fails, because the queue has no room.
            sender.send_all(&[(device, &request(MAC))]);
        }
        assert_eq!(capture.stop(), Vec::<String>::new());
        assert_eq!(sender.send_all(&[(eth0(), &request(MAC))]), [Ok(())]);
    });
}
