//! Sysctls of interfaces as route netlink tells them: those of many with two or three system calls,
//! whereas each of them is four by way of /proc.

use netlink_packet_route::link::{
    AfSpecInet, AfSpecInet6, AfSpecUnspec, Inet6DevConf, InetDevConf, LinkAttribute, LinkMessage,
};

use super::devices::Seen;
use super::sysctls::Sysctl;

/// What one interface has.
#[derive(Clone, Debug, Default)]
pub(super) struct Conf {
    /// The interface's name.
    pub(super) name: String,
    v4: Option<InetDevConf>,
    /// `None` without IPv6.
    v6: Option<Inet6DevConf>,
}

impl Conf {
    /// `IFLA_AF_SPEC` of a message about all aspects of an interface.
    pub(super) fn of(link: &LinkMessage) -> Self {
        let mut conf = Self {
            name: Seen::of(link).name,
            ..Self::default()
        };
        for attribute in &link.attributes {
            if let LinkAttribute::AfSpecUnspec(families) = attribute {
                for family in families {
                    if let AfSpecUnspec::Inet(inet) = family {
                        conf.v4 = inet.iter().find_map(v4);
                    } else if let AfSpecUnspec::Inet6(inet6) = family {
                        conf.v6 = inet6.iter().find_map(v6);
                    }
                }
            }
        }
        conf
    }

    /// The value of `sysctl`; `None` if the interface has none, or we do not need it.
    pub(super) fn value(&self, sysctl: Sysctl) -> Option<i32> {
        let (v4, v6) = (self.v4.as_ref(), self.v6.as_ref());
        match (sysctl.family, sysctl.key) {
            ("ipv4", "forwarding") => v4.map(|conf| conf.forwarding),
            ("ipv4", "proxy_arp") => v4.map(|conf| conf.proxy_arp),
            ("ipv4", "arp_filter") => v4.map(|conf| conf.arpfilter),
            ("ipv4", "tag") => v4.map(|conf| conf.tag),
            ("ipv4", "medium_id") => v4.map(|conf| conf.medium_id),
            ("ipv4", "arp_notify") => v4.map(|conf| conf.arp_notify),
            ("ipv4", "proxy_arp_pvlan") => v4.map(|conf| conf.proxy_arp_pvlan),
            ("ipv4", "rp_filter") => v4.map(|conf| conf.rp_filter),
            ("ipv4", "arp_announce") => v4.map(|conf| conf.arp_announce),
            ("ipv4", "arp_ignore") => v4.map(|conf| conf.arp_ignore),
            ("ipv4", "promote_secondaries") => v4.map(|conf| conf.promote_secondaries),
            ("ipv6", "forwarding") => v6.map(|conf| conf.forwarding),
            ("ipv6", "disable_ipv6") => v6.map(|conf| conf.disable_ipv6),
            ("ipv6", "addr_gen_mode") => v6.map(|conf| conf.addr_gen_mode),
            ("ipv6", "accept_ra") => v6.map(|conf| conf.accept_ra),
            ("ipv6", "proxy_ndp") => v6.map(|conf| conf.proxy_ndp),
            ("ipv6", "autoconf") => v6.map(|conf| conf.autoconf),
            ("ipv6", "router_solicitations") => v6.map(|conf| conf.rtr_solicits),
            _ => None,
        }
    }
}

fn v4(attribute: &AfSpecInet) -> Option<InetDevConf> {
    if let AfSpecInet::DevConf(conf) = attribute {
        Some(*conf)
    } else {
        None
    }
}

fn v6(attribute: &AfSpecInet6) -> Option<Inet6DevConf> {
    if let AfSpecInet6::DevConf(conf) = attribute {
        Some(*conf)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::{devices, sysctls};
    use super::*;

    #[test]
    fn everything_that_is_watched_is_told() {
        let conf = Conf {
            name: "carp0".to_owned(),
            v4: Some(InetDevConf::default()),
            v6: Some(Inet6DevConf::default()),
        };
        for (sysctl, _) in devices::settings() {
            assert_eq!(conf.value(sysctl), Some(0), "{sysctl:?}");
        }
        for sysctl in sysctls::wanted() {
            assert_eq!(conf.value(sysctl), Some(0), "{sysctl:?}");
        }
    }

    #[test]
    fn an_interface_without_ipv6_has_none_of_its_values() {
        let conf = Conf::of(&LinkMessage::default());
        assert_eq!(conf.value(devices::DISABLE_IPV6), None);
    }
}
