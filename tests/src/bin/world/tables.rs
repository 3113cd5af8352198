//! Properties and events of worlds: a row each, with its name, the lines of a shell, and words, of
//! which each sentence that explains the consequences has one. `DEV` is the carpdev.

use crate::recipe::{Kind, Own, Virtuals};

pub(crate) const KINDS: [Kind; 10] = [
    Kind::Veth,
    Kind::Veth,
    Kind::Bridge,
    Kind::BridgeWithGuest,
    Kind::Macvlan("bridge"),
    Kind::Macvlan("private"),
    Kind::Macvlan("vepa"),
    Kind::Macvlan("passthru"),
    Kind::Macvtap,
    Kind::Vxlan,
];

impl Own {
    /// One of each family, in the subnets of the virtual addresses.
    pub(crate) const PLAIN: Self = Self::early("plain", &["10.99.0.2/16", "2001:db8:99::2/64"]);

    const fn early(name: &'static str, early: &'static [&'static str]) -> Self {
        Self {
            name,
            early,
            late: &[],
            loopback: &[],
        }
    }
}

pub(crate) const OWN: [Own; 12] = [
    Own::PLAIN,
    Own::early("none", &[]),
    Own::early("IPv4 alone", &["10.99.0.2/16"]),
    Own::early("IPv6 alone", &["2001:db8:99::2/64"]),
    Own::early("in other subnets", &["10.98.0.2/16", "2001:db8:98::2/64"]),
    Own::early("/32 and /128", &["10.99.0.2/32", "2001:db8:99::2/128"]),
    Own::early("link-local", &["169.254.7.2/16", "fe80::7:2/64"]),
    Own::early(
        "several",
        &[
            "10.99.0.2/16",
            "10.98.0.2/24",
            "10.99.0.22/16",
            "2001:db8:99::2/64",
            "2001:db8:99::22/64",
        ],
    ),
    Own::early(
        "a secondary and a smaller subnet",
        &["10.99.0.2/16", "10.99.1.2/24"],
    ),
    Own {
        name: "added later",
        early: &[],
        late: &["10.99.0.2/16", "2001:db8:99::2/64"],
        loopback: &[],
    },
    Own {
        name: "some added later",
        early: &["10.99.0.2/16", "2001:db8:99::2/64"],
        late: &["10.99.0.22/16", "10.98.0.22/16", "2001:db8:99::22/64"],
        loopback: &[],
    },
    Own {
        name: "one on lo",
        early: &["10.99.0.2/16", "2001:db8:99::2/64"],
        late: &[],
        loopback: &["10.99.0.50/32", "2001:db8:99::50/128"],
    },
];

impl Virtuals {
    /// One of each family.
    pub(crate) const PLAIN: Self = Self::new("plain", &["10.99.1.1/16", "2001:db8:99::1:1/64"]);

    const fn new(name: &'static str, addresses: &'static [&'static str]) -> Self {
        Self { name, addresses }
    }
}

pub(crate) const VIRTUALS: [Virtuals; 9] = [
    Virtuals::PLAIN,
    Virtuals::new("IPv4 alone", &["10.99.1.1/16"]),
    Virtuals::new("IPv6 alone", &["2001:db8:99::1:1/64"]),
    Virtuals::new("/24", &["10.99.0.201/24"]),
    Virtuals::new("/32 and /128", &["10.99.1.1/32", "2001:db8:99::1:1/128"]),
    Virtuals::new("link-local", &["fe80::1/64"]),
    Virtuals::new(
        "global and link-local",
        &["2001:db8:99::1:1/64", "fe80::1/64"],
    ),
    Virtuals::new(
        "many",
        &[
            "10.99.1.1/16",
            "10.99.1.2/16",
            "10.99.1.3/32",
            "10.99.0.204/24",
            "2001:db8:99::1:1/64",
            "2001:db8:99::1:2/128",
        ],
    ),
    Virtuals::new("/31", &["10.99.0.101/31"]),
];

/// Every sysctl of `net.ipv4.conf` for ARP, forwarding, filtering and the choice of sources, with
/// values that are used in practice.
pub(crate) const SYSCTLS_V4: [(&str, &[&str]); 26] = [
    ("accept_local", &["1"]),
    ("accept_redirects", &["0", "1"]),
    ("accept_source_route", &["1"]),
    ("arp_accept", &["1", "2"]),
    ("arp_announce", &["1", "2"]),
    ("arp_evict_nocarrier", &["0"]),
    ("arp_filter", &["1"]),
    ("arp_ignore", &["1", "2", "3", "8"]),
    ("arp_notify", &["1"]),
    ("bc_forwarding", &["1"]),
    ("disable_policy", &["1"]),
    ("disable_xfrm", &["1"]),
    ("drop_gratuitous_arp", &["1"]),
    ("drop_unicast_in_l2_multicast", &["1"]),
    ("forwarding", &["1"]),
    ("ignore_routes_with_linkdown", &["1"]),
    ("log_martians", &["1"]),
    ("medium_id", &["-1", "1", "2"]),
    ("promote_secondaries", &["1"]),
    ("proxy_arp", &["1"]),
    ("proxy_arp_pvlan", &["1"]),
    ("route_localnet", &["1"]),
    ("rp_filter", &["1", "2"]),
    ("secure_redirects", &["0"]),
    ("shared_media", &["0"]),
    ("src_valid_mark", &["1"]),
];

/// The same for `net.ipv6.conf`.
pub(crate) const SYSCTLS_V6: [(&str, &[&str]); 24] = [
    ("accept_dad", &["0", "2"]),
    ("accept_ra", &["0", "2"]),
    ("accept_redirects", &["0"]),
    ("accept_source_route", &["1"]),
    ("accept_untracked_na", &["1"]),
    ("addr_gen_mode", &["1", "3"]),
    ("autoconf", &["0"]),
    ("dad_transmits", &["0", "3"]),
    ("disable_ipv6", &["1"]),
    ("disable_policy", &["1"]),
    ("drop_unicast_in_l2_multicast", &["1"]),
    ("drop_unsolicited_na", &["1"]),
    ("enhanced_dad", &["0"]),
    ("force_mld_version", &["1"]),
    ("forwarding", &["1"]),
    ("ignore_routes_with_linkdown", &["1"]),
    ("keep_addr_on_down", &["1"]),
    ("ndisc_evict_nocarrier", &["0"]),
    ("ndisc_notify", &["1"]),
    ("optimistic_dad", &["1"]),
    ("proxy_ndp", &["1"]),
    ("router_solicitations", &["0"]),
    ("use_oif_addrs_only", &["1"]),
    ("use_tempaddr", &["2"]),
];

/// Sysctls that belong to no interface.
pub(crate) const GLOBAL_SYSCTLS: [&str; 12] = [
    "net.ipv4.ip_forward=1",
    "net.ipv4.ip_nonlocal_bind=1",
    "net.ipv4.icmp_echo_ignore_all=1",
    "net.ipv4.icmp_errors_use_inbound_ifaddr=1",
    "net.ipv4.fwmark_reflect=1",
    "net.ipv4.ip_early_demux=0",
    "net.ipv4.igmp_link_local_mcast_reports=0",
    "net.ipv4.igmp_max_memberships=1",
    "net.ipv6.icmp.echo_ignore_all=1",
    "net.ipv6.bindv6only=1",
    "net.ipv6.ip_nonlocal_bind=1",
    "net.ipv6.anycast_src_echo_reply=1",
];

/// Name, lines, and words of explanations.
pub(crate) type Row = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

pub(crate) const RULES: [Row; 10] = [
    (
        "a router with proxy ARP",
        &["sysctl -qw net.ipv4.conf.all.forwarding=1 net.ipv4.conf.all.proxy_arp=1"],
        &["proxy_arp"],
    ),
    (
        "a router",
        &["sysctl -qw net.ipv4.conf.all.forwarding=1 net.ipv6.conf.all.forwarding=1"],
        &["forwarding"],
    ),
    (
        "rule: a table by source",
        &[
            "ip rule add from 10.99.0.0/16 lookup 100",
            "ip route add 10.99.0.0/16 dev DEV table 100",
        ],
        &["rule"],
    ),
    (
        "rule: a table by source, IPv6",
        &[
            "ip -6 rule add from 2001:db8:99::/64 lookup 100",
            "ip -6 route add 2001:db8:99::/64 dev DEV table 100",
        ],
        &["rule"],
    ),
    (
        "rule: the local table later",
        &["ip rule add pref 100 lookup local", "ip rule del pref 0"],
        &["rule"],
    ),
    (
        "rule: a table by interface",
        &[
            "ip rule add iif DEV lookup 100",
            "ip route add 10.99.0.0/16 dev DEV table 100",
        ],
        &["rule"],
    ),
    (
        "rule: suppress_prefixlength",
        &[
            "ip rule add pref 200 lookup main suppress_prefixlength 0",
            "ip rule add pref 201 lookup 200",
        ],
        &["rule"],
    ),
    (
        "rule: unreachable for a mark",
        &["ip rule add pref 50 fwmark 0x10 unreachable"],
        &["rule"],
    ),
    (
        "route: a host route to the client",
        &["ip route add 10.99.0.100/32 dev DEV"],
        &["route"],
    ),
    (
        "route: blackhole around the subnet",
        &[
            "ip route add blackhole 10.0.0.0/8",
            "ip -6 route add blackhole 2001:db8::/32",
        ],
        &["route"],
    ),
];

pub(crate) const FIREWALLS: [Row; 9] = [
    (
        "nft: reverse path, IPv6 (firewalld)",
        &[
            "nft add table inet fw",
            "nft 'add chain inet fw pre { type filter hook prerouting priority -290; }'",
            "nft add rule inet fw pre meta nfproto ipv6 icmpv6 type '{ nd-router-advert, \
                 nd-neighbor-solicit }' accept",
            "nft add rule inet fw pre meta nfproto ipv6 fib saddr . mark . iif oif missing drop",
        ],
        &["reverse", "rpfilter", "fib"],
    ),
    (
        "nft: reverse path, both",
        &[
            "nft add table inet fw",
            "nft 'add chain inet fw pre { type filter hook prerouting priority -300; }'",
            "nft add rule inet fw pre fib saddr . iif oif missing drop",
        ],
        &["reverse", "rpfilter", "fib"],
    ),
    (
        "nft: reverse path, IPv4",
        &[
            "nft add table inet fw",
            "nft 'add chain inet fw pre { type filter hook prerouting priority -300; }'",
            "nft add rule inet fw pre meta nfproto ipv4 fib saddr . iif oif missing drop",
        ],
        &["reverse", "rpfilter", "fib"],
    ),
    (
        "nft: not local here",
        &[
            "nft add table inet fw",
            "nft 'add chain inet fw pre { type filter hook prerouting priority -150; }'",
            "nft add rule inet fw pre fib daddr . iif type != '{ local, broadcast, multicast }' drop",
        ],
        &["fib"],
    ),
    (
        "nft: stateful input",
        &[
            "nft add table inet fw",
            "nft 'add chain inet fw in { type filter hook input priority 0; policy drop; }'",
            "nft add rule inet fw in ct state invalid drop",
            "nft add rule inet fw in ct state established,related accept",
            "nft add rule inet fw in iif lo accept",
            "nft add rule inet fw in ip protocol icmp accept",
            "nft add rule inet fw in meta l4proto ipv6-icmp accept",
            "nft add rule inet fw in udp dport 1-100 accept",
            "nft add rule inet fw in tcp dport 1-100 accept",
        ],
        &["112"],
    ),
    (
        "nft: no protocol 112 in",
        &[
            "nft add table inet fw",
            "nft 'add chain inet fw in { type filter hook input priority 0; }'",
            "nft add rule inet fw in meta l4proto 112 drop",
        ],
        &["112"],
    ),
    (
        "nft: no protocol 112 out",
        &[
            "nft add table inet fw",
            "nft 'add chain inet fw out { type filter hook output priority 0; }'",
            "nft add rule inet fw out meta l4proto 112 drop",
        ],
        &["112"],
    ),
    (
        "nft: carpdev alone",
        &[
            "nft add table inet fw",
            "nft 'add chain inet fw in { type filter hook input priority 0; policy drop; }'",
            "nft add rule inet fw in iifname DEV accept",
            "nft add rule inet fw in iif lo accept",
        ],
        &["firewall", "nft"],
    ),
    (
        "nft: notrack and mark",
        &[
            "nft add table inet fw",
            "nft 'add chain inet fw pre { type filter hook prerouting priority raw; }'",
            "nft add rule inet fw pre meta mark set 0x20 notrack",
        ],
        &[],
    ),
];
