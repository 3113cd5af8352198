//! Histories that once broke a rule, as the search prints them.

use crate::search::{Dice, Group, quietly};
use crate::step::{Step, story};
use crate::world::World;

/// Takes hosts through a story; the rules hold meanwhile and when all faults have stopped.
fn comes_to_rest(hosts: usize, text: &str) {
    if let Err(broken) = quietly(|| World::tell(hosts, &story(text))) {
        panic!("{}: {}", broken.rule, broken.how);
    }
}

#[test]
fn a_pair_whose_cable_is_pulled_comes_to_rest() {
    comes_to_rest(
        2,
        "
        a carp0 vhid 1 pass secret advskew 10 192.0.2.100/24 2001:db8::100/64
        b carp0 vhid 1 pass secret advskew 20 192.0.2.100/24 2001:db8::100/64
        run 10000
        unplug a
        run 5000
        ",
    );
}

#[test]
fn what_is_printed_of_a_step_is_that_step() {
    let mut dice = Dice(1);
    for _ in 0..100 {
        let group = Group::any(&mut dice);
        let world = World::new(group.hosts);
        for step in group.setup.iter().cloned().chain(group.events(&world)) {
            assert_eq!(step.to_string().parse::<Step>(), Ok(step));
        }
    }
}
