//! tcpdump and Wireshark on our advertisements.

use std::process::Command;

use anyhow::{Result, ensure};
use carp_tests::{Capture, Frame, MARGIN, Pair, wait_until};

/// Captures several advertisements of both families.
fn captured() -> Result<(Pair, Capture)> {
    let pair = Pair::with_group("192.168.1.1/24 192.168.1.10/24 inet6 2001:db8:1::1/64")?;
    let mut capture = Capture::on_segment(&pair.lab, "lan")?;
    wait_until(
        "four advertisements",
        std::time::Duration::from_secs(2) + MARGIN,
        || {
            let count = capture
                .frames()?
                .iter()
                .filter_map(Frame::advertisement)
                .count();
            Ok((count >= 4).then_some(()))
        },
    )?;
    capture.stop()?;
    Ok((pair, capture))
}

fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{program} {}: {errors}",
        arguments.join(" ")
    );
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn tcpdump_and_tshark_find_the_advertisements_well_formed() -> Result<()> {
    let (_pair, capture) = captured()?;
    let file = capture.file().display().to_string();

    let filter = "proto 112 or ip6 proto 112";
    let text = run("tcpdump", &["-n", "-vv", "-T", "carp", "-r", &file, filter])?;
    let advertisements = text
        .matches("CARPv2-advertise 36: vhid=1 advbase=1 advskew=0")
        .count();
    ensure!(advertisements >= 4, "{text}");
    assert_eq!(text.matches("CARPv2").count(), advertisements, "{text}");
    ensure!(!text.contains("bad") && !text.contains("invalid"), "{text}");

    let fields = [
        "carp.vhid",
        "carp.authlen",
        "carp.checksum.status",
        "_ws.malformed",
        "_ws.expert",
    ];
    let mut arguments = vec![
        "-r",
        file.as_str(),
        "-d",
        "ip.proto==112,carp",
        "-Y",
        "carp",
        "-Tfields",
    ];
    for field in fields {
        arguments.extend(["-e", field]);
    }
    let rows = run("tshark", &arguments)?;
    ensure!(rows.lines().count() >= 4, "{rows}");
    for row in rows.lines() {
        // vhid, authlen, 1 = good, and no complaint
        assert_eq!(row.trim_end(), "1\t7\t1", "{rows}");
    }
    Ok(())
}
