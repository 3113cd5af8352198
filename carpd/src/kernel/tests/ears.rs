//! The helper devices: nothing leaves from them, whoever sends, from their first moment on.

use carp_proto::IfIndex;

use super::super::News;
use super::lab::{eventually, on_a_cable, run, succeeds};
use super::{Kernel, eth0};
use crate::net::{Order, Sender};

/// How many times the devices are made: what is not set by then is so for some 0.1 ms each time.
const TIMES: u32 = 30;

/// The helper devices of `eth0`, once they are up.
async fn listen(kernel: &mut Kernel) -> [IfIndex; 2] {
    let device = eth0();
    let order = Order::Listen { device, on: true };
    kernel.handle.help_to_hear(order);
    loop {
        if let News::Ear { ear, .. } = kernel.news().await {
            return ear.expect("helper devices");
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

/// Who has 192.0.2.2, the host's own address? RFC 826, from this MAC to all.
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
fn helper_devices_answer_no_arp_request_from_their_first_moment_on() {
    on_a_cable(async |lab| {
        let mut kernel = Kernel::start().await;
        let own = mac_of("eth0");
        let others = lab.capture(&format!("arp and not ether src {own}"));
        let asking = lab.repeat_from_peer(request([0x02, 0, 0, 0, 0, 0x77]));
        for _ in 0..TIMES {
            kernel.handle.attach(eth0());
            listen(&mut kernel).await;
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
fn nothing_leaves_a_helper_device_whoever_sends() {
    on_a_cable(async |lab| {
        // Locally administered, and on no other device.
        const MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x78];
        let mut kernel = Kernel::start().await;
        let devices = listen(&mut kernel).await;
        let capture = lab.capture("ether src 02:00:00:00:00:78");
        let sender = Sender::open().unwrap();
        for device in devices {
            // It fails, as the queue has no room.
            sender.send_all(&[(device, &request(MAC))]);
        }
        assert_eq!(capture.stop(), Vec::<String>::new());
        assert_eq!(sender.send_all(&[(eth0(), &request(MAC))]), [Ok(())]);
    });
}
