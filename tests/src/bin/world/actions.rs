//! Actions on a host while the pair runs, in rows like those of `tables.rs`.

use crate::tables::Row;

/// Actions of administrators on the carpdev.
pub(crate) const CARPDEV_ACTIONS: [Row; 24] = [
    (
        "carpdev: addresses flushed",
        &["ip address flush dev DEV"],
        &["DEV"],
    ),
    (
        "carpdev: IPv4 flushed and back",
        &[
            "ip -4 address flush dev DEV",
            "ip address add 10.99.0.2/16 dev DEV",
        ],
        &[],
    ),
    (
        "carpdev: routes flushed",
        &["ip route flush dev DEV"],
        &["DEV", "route"],
    ),
    ("carpdev: down", &["ip link set DEV down"], &["DEV"]),
    (
        "carpdev: down and up",
        &["ip link set DEV down", "ip link set DEV up"],
        &[],
    ),
    (
        "carpdev: renamed",
        &["ip link set DEV name moved0"],
        &["DEV"],
    ),
    (
        "carpdev: renamed and back",
        &["ip link set DEV name moved0", "ip link set moved0 name DEV"],
        &[],
    ),
    (
        "carpdev: altname",
        &["ip link property add dev DEV altname uplink0"],
        &[],
    ),
    ("carpdev: MTU", &["ip link set DEV mtu 1400"], &[]),
    ("carpdev: small MTU", &["ip link set DEV mtu 1000"], &[]),
    (
        "carpdev: MAC",
        &["ip link set DEV address 02:00:00:00:77:01"],
        &[],
    ),
    (
        "carpdev: a bridge's port",
        &[
            "ip link add br9 address 02:00:00:00:00:09 type bridge",
            "ip link set DEV master br9",
        ],
        &["master", "bridge", "port"],
    ),
    (
        "carpdev: no bridge's port",
        &["ip link set DEV nomaster"],
        &[],
    ),
    (
        "carpdev: a bridge's port for a moment",
        &[
            "ip link add br9 address 02:00:00:00:00:09 type bridge",
            "ip link set DEV master br9",
            "ip link set DEV nomaster",
        ],
        &[],
    ),
    (
        "carpdev: in a VRF",
        &[
            "ip link add vrf9 type vrf table 99",
            "ip link set vrf9 up",
            "ip link set DEV master vrf9",
        ],
        &["vrf", "master"],
    ),
    (
        "carpdev: protodown",
        &["ip link set DEV protodown on"],
        &["protodown", "DEV"],
    ),
    (
        "carpdev: protodown and back",
        &[
            "ip link set DEV protodown on",
            "ip link set DEV protodown off",
        ],
        &[],
    ),
    ("carpdev: promisc", &["ip link set DEV promisc on"], &[]),
    (
        "carpdev: allmulticast",
        &["ip link set DEV allmulticast on"],
        &[],
    ),
    ("carpdev: ARP off", &["ip link set DEV arp off"], &["ARP"]),
    (
        "carpdev: multicast off",
        &["ip link set DEV multicast off"],
        &["multicast"],
    ),
    (
        "carpdev: queue",
        &["tc qdisc replace dev DEV root pfifo limit 10"],
        &[],
    ),
    ("carpdev: deleted", &["ip link delete DEV"], &["DEV"]),
    (
        "carpdev: dormant",
        &[
            "ip link set DEV mode dormant",
            "ip link set DEV state dormant",
        ],
        &["dormant", "DEV"],
    ),
];

/// Actions of administrators on carp0.
pub(crate) const CARP_ACTIONS: [Row; 22] = [
    (
        "carp0: addresses flushed",
        &["ip address flush dev carp0"],
        &[],
    ),
    (
        "carp0: routes flushed",
        &["ip route flush dev carp0", "ip -6 route flush dev carp0"],
        &[],
    ),
    ("carp0: down", &["ip link set carp0 down"], &[]),
    (
        "carp0: down and up",
        &["ip link set carp0 down", "ip link set carp0 up"],
        &[],
    ),
    ("carp0: renamed", &["ip link set carp0 name other0"], &[]),
    ("carp0: deleted", &["ip link delete carp0"], &[]),
    (
        "carp0: altname",
        &["ip link property add dev carp0 altname vip0"],
        &[],
    ),
    ("carp0: MTU", &["ip link set carp0 mtu 1300"], &[]),
    (
        "carp0: MAC",
        &["ip link set carp0 address 02:00:00:00:77:02"],
        &[],
    ),
    (
        "carp0: mode",
        &["ip link set carp0 type macvlan mode private"],
        &[],
    ),
    ("carp0: ARP off", &["ip link set carp0 arp off"], &["ARP"]),
    (
        "carp0: multicast off",
        &["ip link set carp0 multicast off"],
        &["multicast"],
    ),
    ("carp0: promisc", &["ip link set carp0 promisc on"], &[]),
    (
        "carp0: protodown",
        &["ip link set carp0 protodown on"],
        &["protodown"],
    ),
    (
        "carp0: dormant",
        &[
            "ip link set carp0 mode dormant",
            "ip link set carp0 state dormant",
        ],
        &["dormant"],
    ),
    (
        "carp0: an address of others",
        &["ip address add 10.99.7.7/16 dev carp0"],
        &["10.99.7.7"],
    ),
    (
        "carp0: rp_filter",
        &["sysctl -qw net.ipv4.conf.carp0.rp_filter=1"],
        &[],
    ),
    (
        "carp0: arp_ignore",
        &["sysctl -qw net.ipv4.conf.carp0.arp_ignore=8"],
        &[],
    ),
    (
        "carp0: arp_filter",
        &["sysctl -qw net.ipv4.conf.carp0.arp_filter=1"],
        &[],
    ),
    (
        "carp0: proxy_arp",
        &["sysctl -qw net.ipv4.conf.carp0.proxy_arp=1 net.ipv4.conf.carp0.forwarding=1"],
        &[],
    ),
    (
        "carp0: disable_ipv6",
        &["sysctl -qw net.ipv6.conf.carp0.disable_ipv6=1"],
        &[],
    ),
    (
        "carp0: forwarding off",
        &["sysctl -qw net.ipv4.conf.carp0.forwarding=0"],
        &[],
    ),
];

/// Programs that run on the host, each for a moment.
pub(crate) const PROGRAMS: [Row; 9] = [
    (
        "udhcpc",
        &["timeout 1 udhcpc -f -n -q -t 2 -T 1 -A 1 -s /bin/true -i DEV || true"],
        &[],
    ),
    (
        "dhcpcd",
        &[
            "for d in /run /var/lib/dhcpcd; do test ! -d $d || mount -t tmpfs tmpfs $d; done; \
                 timeout 1 dhcpcd -q -B -c /bin/true --nohook resolv.conf DEV || true",
        ],
        &[],
    ),
    (
        "lldpd",
        &[
            "mount -t tmpfs tmpfs /run; mkdir -p /run/lldpd; timeout -k 1 1 lldpd -d -u /run/l -I DEV || true",
        ],
        &[],
    ),
    (
        "avahi-daemon",
        &["mount -t tmpfs tmpfs /run; printf \
                 '[server]\\nenable-dbus=no\\nallow-interfaces=DEV\\n' >/run/avahi.conf; timeout 1 \
                 avahi-daemon --no-drop-root --no-rlimits --no-chroot -f /run/avahi.conf || true"],
        &[],
    ),
    (
        "arping",
        &["timeout 1 arping -q -c 2 -i 0.2 -I DEV 10.99.0.100 || true"],
        &[],
    ),
    (
        "arping, duplicates",
        &["timeout 1 arping -q -D -c 2 -I DEV 10.99.0.100 || true"],
        &[],
    ),
    (
        "arping, unsolicited",
        &["timeout 1 arping -q -U -c 2 -I DEV 10.99.0.100 || true"],
        &[],
    ),
    (
        "ping6 of all nodes",
        &["timeout 1 ping -q -n -c 2 -i 0.2 -I DEV ff02::1 || true"],
        &[],
    ),
    (
        "mDNS query",
        &["timeout 1 ping -q -n -b -c 2 -i 0.2 -I DEV 224.0.0.251 || true"],
        &[],
    ),
];
