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

#[test]
fn two_suppressed_hosts_with_short_intervals_have_one_master() {
    comes_to_rest(
        2,
        "
        a carp0 carpdev eth0 vhid 1 pass secret advbase 0 advskew 20 192.0.2.100/24
        b carp0 carpdev eth0 vhid 1 pass secret advbase 0 advskew 100 192.0.2.100/24
        suppress a
        ",
    );
}

#[test]
fn equal_hosts_of_two_families_lose_one_of_them_one_way() {
    comes_to_rest(
        3,
        "
        a carp0 carpdev eth0 vhid 1 pass secret advbase 0 advskew 10 192.0.2.100/24 2001:db8::100/64
        b carp0 carpdev eth0 vhid 1 pass secret advbase 0 advskew 10 192.0.2.100/24 2001:db8::100/64
        c carp0 carpdev eth0 vhid 1 pass secret advbase 0 advskew 10 192.0.2.100/24 2001:db8::100/64
        cut c a ipv4
        ",
    );
}

#[test]
fn equal_hosts_of_two_families_lose_ipv6_one_way() {
    comes_to_rest(
        2,
        "
        a carp0 carpdev eth0 vhid 1 pass secret advbase 1 advskew 100 192.0.2.100/24 2001:db8::100/64
        b carp0 carpdev eth0 vhid 1 pass secret advbase 1 advskew 100 192.0.2.100/24 2001:db8::100/64
        cut b a ipv6
        ",
    );
}

#[test]
fn a_backup_that_could_not_send_is_not_suppressed_for_ever() {
    comes_to_rest(
        2,
        "
        a carp0 carpdev eth0 vhid 1 pass secret advbase 1 advskew 20 2001:db8::100/64
        b carp0 carpdev eth0 vhid 1 pass secret advbase 1 advskew 20 2001:db8::100/64
        mute a
        kill b
        run 5000
        ",
    );
}

#[test]
fn equal_hosts_without_own_addresses_have_one_master() {
    comes_to_rest(
        3,
        "
        a has no address
        a carp0 carpdev eth0 vhid 1 pass secret advbase 1 advskew 100 2001:db8::100/64
        b has no address
        b carp0 carpdev eth0 vhid 1 pass secret advbase 1 advskew 100 2001:db8::100/64
        c has no address
        c carp0 carpdev eth0 vhid 1 pass secret advbase 1 advskew 100 2001:db8::100/64
        ",
    );
}

#[test]
fn equal_hosts_that_start_at_one_time_settle_in_strict_replay_mode() {
    comes_to_rest(
        3,
        "
        a carp0 carpdev eth0 vhid 1 pass secret advbase 1 advskew 10 192.0.2.100/24
        b sysctl replay 2
        b carp0 carpdev eth0 vhid 1 pass secret advbase 1 advskew 10 192.0.2.100/24
        c sysctl replay 2
        c carp0 carpdev eth0 vhid 1 pass secret advbase 1 advskew 10 192.0.2.100/24
        ",
    );
}

#[test]
fn equal_hosts_of_two_families_settle_in_strict_replay_mode() {
    comes_to_rest(
        2,
        "
        a sysctl replay 2
        a carp0 carpdev eth0 vhid 1 pass secret advbase 0 advskew 10 192.0.2.100/24 2001:db8::100/64
        b sysctl replay 2
        b carp0 carpdev eth0 vhid 1 pass secret advbase 0 advskew 10 192.0.2.100/24 2001:db8::100/64
        ",
    );
}

#[test]
fn a_backup_whose_settings_change_takes_over_in_time() {
    comes_to_rest(
        2,
        "
        a carp0 carpdev eth0 vhid 1 pass secret advbase 1 advskew 10 192.0.2.100/24
        b carp0 carpdev eth0 vhid 1 pass secret advbase 1 advskew 100 192.0.2.100/24
        run 10000
        kill a
        run 2000
        b carp0 advskew 101
        run 1000
        b carp0 advskew 100
        run 1000
        b carp0 advskew 101
        run 1000
        ",
    );
}

#[test]
fn equal_hosts_hear_each_other_by_another_family_in_strict_replay_mode() {
    comes_to_rest(
        2,
        "
        a sysctl replay 2
        a carp0 carpdev eth0 vhid 1 pass secret advbase 1 advskew 10 192.0.2.100/24 2001:db8::100/64
        b sysctl replay 2
        b carp0 carpdev eth0 vhid 1 pass secret advbase 1 advskew 10 192.0.2.100/24 2001:db8::100/64
        cut b a ipv6
        cut a b ipv4
        ",
    );
}

#[test]
fn equal_hosts_of_which_one_checks_strictly_lose_ipv4_one_way() {
    comes_to_rest(
        2,
        "
        a has no address
        a sysctl replay 2
        a carp0 carpdev eth0 vhid 1 pass secret advbase 0 advskew 100 192.0.2.100/24 2001:db8::100/64
        b has no address
        b carp0 carpdev eth0 vhid 1 pass secret advbase 0 advskew 100 192.0.2.100/24 2001:db8::100/64
        cut b a ipv4
        ",
    );
}

#[test]
fn suppressed_host_beside_a_bsd_leaves_it_a_master() {
    comes_to_rest(
        3,
        "
        a carp0 carpdev eth0 vhid 1 pass secret advbase 1 advskew 10 2001:db8::100/64
        b carp0 carpdev eth0 vhid 1 pass secret advbase 1 advskew 10 2001:db8::100/64
        c carp0 carpdev eth0 vhid 1 pass secret advbase 1 advskew 10 2001:db8::100/64
        b is bsd advbase 1 advskew 10 preempt 1 ipv6
        suppress c
        ",
    );
}

#[test]
fn suppressed_host_beside_a_bsd_of_another_skew_leaves_it_a_master() {
    comes_to_rest(
        3,
        "
        a carp0 carpdev eth0 vhid 1 pass secret advbase 1 advskew 100 2001:db8::100/64
        b carp0 carpdev eth0 vhid 1 pass secret advbase 1 advskew 10 2001:db8::100/64
        c carp0 carpdev eth0 vhid 1 pass secret advbase 1 advskew 20 2001:db8::100/64
        c is bsd advbase 1 advskew 20 preempt 1 ipv6
        a carp0 advskew 20
        suppress b
        ",
    );
}

#[test]
fn clock_that_is_set_back_takes_no_counter_back_that_is_within_the_window() {
    comes_to_rest(
        2,
        "
        a sysctl replay 2
        a sysctl replay_window 3
        a carp0 carpdev eth0 vhid 1 pass secret advbase 0 advskew 10 192.0.2.100/24
        b carp0 carpdev eth0 vhid 1 pass secret advbase 0 advskew 10 192.0.2.100/24
        run 500
        clock b 2500
        run 70
        clock a -2500
        run 500
        ",
    );
}

#[test]
fn refused_repetition_of_a_fast_master_leaves_a_backup_its_wait() {
    comes_to_rest(
        3,
        "
        a carp0 carpdev eth0 vhid 1 pass secret advbase 0 advskew 10 192.0.2.100/24 2001:db8::100/64
        b sysctl replay 2
        b carp0 carpdev eth0 vhid 1 pass secret advbase 0 advskew 10 192.0.2.100/24 2001:db8::100/64
        c carp0 carpdev eth0 vhid 1 pass secret advbase 0 advskew 10 192.0.2.100/24 2001:db8::100/64
        repeat c b ipv6 300
        run 200
        c carp0 advbase 3
        run 70
        run 500
        ",
    );
}
