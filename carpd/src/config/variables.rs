//! The variables of rc.conf(5) that are about carp interfaces: `network.subr` of the BSDs.

use carp_proto::Unit;

/// A variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Variable {
    /// `cloned_interfaces`.
    Cloned,
    /// A variable with the name of a carp interface in it.
    Part(Unit, Part),
    /// Any other variable.
    Foreign,
}

/// Kinds of variables of a carp interface, in the order in which a BSD host applies them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// `create_args_carp0`.
    CreateArguments,
    /// `ifconfig_carp0`.
    Main,
    /// `ifconfig_carp0_ipv6`.
    Ipv6,
    /// `ipv6_ifconfig_carp0`, as before FreeBSD 9.
    OldIpv6,
    /// `ifconfig_carp0_descr`.
    Description,
    /// `ifconfig_carp0_alias0`.
    Alias(u16),
    /// `ifconfig_carp0_aliases`.
    Aliases,
    /// `ipv4_addrs_carp0`.
    Addresses,
    /// `ipv6_ifconfig_carp0_alias0`, as before FreeBSD 9.
    OldAlias(u16),
}

impl Variable {
    /// Returns the variable of this name.
    ///
    /// # Errors
    /// One line with the valid names, if the name has that of a carp interface in it, but there is no
    /// such variable.
    pub(super) fn named(name: &str) -> Result<Self, String> {
        if name == "cloned_interfaces" {
            return Ok(Self::Cloned);
        }
        let stems = ["create_args_", "ifconfig_", "ipv4_addrs_", "ipv6_ifconfig_"];
        let Some((stem, rest)) = stems
            .into_iter()
            .find_map(|stem| Some((stem, name.strip_prefix(stem)?)))
        else {
            return Ok(Self::Foreign);
        };
        let (interface, suffix) = rest.split_once('_').unwrap_or((rest, ""));
        let number = interface.strip_prefix("carp");
        if number.is_none_or(|number| number.bytes().any(|byte| !byte.is_ascii_digit())) {
            return Ok(Self::Foreign);
        }
        let unit = interface
            .parse()
            .map_err(|error| format!("{interface}: {error}"))?;
        let alias = || suffix.strip_prefix("alias")?.parse().ok();
        let part = match (stem, suffix) {
            ("create_args_", "") => Some(Part::CreateArguments),
            ("ifconfig_", "") => Some(Part::Main),
            ("ifconfig_", "ipv6") => Some(Part::Ipv6),
            ("ifconfig_", "descr") => Some(Part::Description),
            ("ifconfig_", "aliases") => Some(Part::Aliases),
            ("ifconfig_", _) => alias().map(Part::Alias),
            ("ipv4_addrs_", "") => Some(Part::Addresses),
            ("ipv6_ifconfig_", "") => Some(Part::OldIpv6),
            ("ipv6_ifconfig_", _) => alias().map(Part::OldAlias),
            _ => None,
        };
        match part {
            Some(part) => Ok(Self::Part(unit, part)),
            None => Err(format!(
                "there is no such variable: of {unit} there are ifconfig_{unit}, _alias0 and on, \
                 _aliases, _ipv6 and _descr, create_args_{unit} and ipv4_addrs_{unit}"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn name_of_a_variable_selects_its_kind() {
        let carp0 = "carp0".parse().unwrap();
        for (name, part) in [
            ("create_args_carp0", Part::CreateArguments),
            ("ifconfig_carp0", Part::Main),
            ("ifconfig_carp0_alias0", Part::Alias(0)),
            ("ifconfig_carp0_alias12", Part::Alias(12)),
            ("ifconfig_carp0_aliases", Part::Aliases),
            ("ifconfig_carp0_ipv6", Part::Ipv6),
            ("ifconfig_carp0_descr", Part::Description),
            ("ipv4_addrs_carp0", Part::Addresses),
            ("ipv6_ifconfig_carp0", Part::OldIpv6),
            ("ipv6_ifconfig_carp0_alias1", Part::OldAlias(1)),
        ] {
            assert_eq!(
                Variable::named(name),
                Ok(Variable::Part(carp0, part)),
                "{name}"
            );
        }
        for name in [
            "hostname",
            "ifconfig_em0",
            "ifconfig_carpet0",
            "ifconfig_DEFAULT",
        ] {
            assert_eq!(Variable::named(name), Ok(Variable::Foreign), "{name}");
        }
    }

    #[test]
    fn invalid_interface_or_variable_is_named() {
        assert_eq!(
            Variable::named("ifconfig_carp99999"),
            Err("carp99999: the number of a carp interface is 0 to 32767".to_owned())
        );
        for name in [
            "ifconfig_carp0_name",
            "ifconfig_carp0_aliasx",
            "create_args_carp0_x",
        ] {
            let message = Variable::named(name).unwrap_err();
            assert!(
                message.starts_with("there is no such variable: of carp0"),
                "{name}"
            );
        }
    }

    #[test]
    fn manual_lists_every_variable_and_no_other() {
        let page = include_str!("../../../man/carpd.rc.conf.5");
        let (_, list) = page.split_once("The variables are:").unwrap();
        let (list, _) = list.split_once("\n.El").unwrap();
        let described: BTreeSet<Variable> = list
            .lines()
            .filter_map(|line| line.strip_prefix(".It Va "))
            .flat_map(str::split_whitespace)
            .filter(|word| ![",", "No", "..."].contains(word))
            .map(|name| Variable::named(name).unwrap())
            .collect();
        let parts = [
            Part::CreateArguments,
            Part::Main,
            Part::Ipv6,
            Part::OldIpv6,
            Part::Description,
            Part::Alias(0),
            Part::Alias(1),
            Part::Aliases,
            Part::Addresses,
            Part::OldAlias(0),
        ];
        let carp0 = "carp0".parse().unwrap();
        let known = parts.into_iter().map(|part| Variable::Part(carp0, part));
        assert_eq!(described, known.chain([Variable::Cloned]).collect());
    }
}
