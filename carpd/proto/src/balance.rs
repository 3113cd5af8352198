//! ARP balancing: `net.inet.carp.arpbalance`.

use core::net::Ipv4Addr;

use crate::name::Unit;

/// Virtual host that has the requested address on the physical interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) unit: Unit,
    pub(crate) is_master: bool,
}

/// Chooses the virtual host that answers an ARP request of `source`. `candidates` are in ascending order
/// of their vhids. With balancing it is the one at index `source mod n`, if it is MASTER here, and without
/// the first MASTER (`ip_carp.c`, `carp_iamatch_balance()`).
pub(crate) fn answerer(candidates: &[Candidate], source: Ipv4Addr, balance: bool) -> Option<Unit> {
    let chosen = if balance {
        let count = u32::try_from(candidates.len()).ok()?;
        let index = u32::from(source).checked_rem(count)?;
        candidates
            .get(usize::try_from(index).ok()?)
            .filter(|candidate| candidate.is_master)
    } else {
        candidates.iter().find(|candidate| candidate.is_master)
    };
    chosen.map(|candidate| candidate.unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(masters: &[bool]) -> Vec<Candidate> {
        let unit = |number: usize| Unit::try_from(u16::try_from(number).unwrap()).unwrap();
        masters
            .iter()
            .enumerate()
            .map(|(n, &is_master)| Candidate {
                unit: unit(n),
                is_master,
            })
            .collect()
    }

    fn chosen(masters: &[bool], source: [u8; 4], balance: bool) -> Option<u16> {
        answerer(&candidates(masters), source.into(), balance).map(Unit::number)
    }

    #[test]
    fn source_address_chooses_the_virtual_host() {
        assert_eq!(chosen(&[true, true], [192, 168, 1, 10], true), Some(0));
        assert_eq!(chosen(&[true, true], [192, 168, 1, 11], true), Some(1));
        assert_eq!(chosen(&[true, true, true], [0, 0, 0, 5], true), Some(2));
    }

    #[test]
    fn chosen_virtual_host_is_silent_unless_it_is_master_here() {
        assert_eq!(chosen(&[true, false], [192, 168, 1, 11], true), None);
        assert_eq!(chosen(&[], [192, 168, 1, 11], true), None);
    }

    #[test]
    fn first_master_answers_without_balancing() {
        assert_eq!(
            chosen(&[false, true, true], [192, 168, 1, 10], false),
            Some(1)
        );
        assert_eq!(chosen(&[false, false], [192, 168, 1, 10], false), None);
    }
}
