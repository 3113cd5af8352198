//! Histories that once broke a rule, in the form that the search prints.

use crate::search::{Dice, Group, quietly};
use crate::step::{Step, story};
use crate::world::World;

/// Runs a story, in which the rules must hold, also after all faults stop.
fn comes_to_rest(hosts: usize, text: &str) {
    if let Err(broken) = quietly(|| World::run(hosts, &story(text))) {
        panic!("{}: {}", broken.rule, broken.how);
    }
}

#[test]
fn pair_settles_after_a_pulled_cable() {
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
fn step_that_is_printed_is_read_as_the_same() {
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
fn suppressed_hosts_with_short_intervals_have_one_master() {
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
fn equal_hosts_that_lose_ipv4_one_way_settle() {
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
fn equal_hosts_that_lose_ipv6_one_way_settle() {
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
fn suppression_of_a_backup_that_could_not_send_ends() {
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
fn equal_hosts_that_start_together_settle_in_strict_mode() {
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
fn equal_hosts_with_both_families_settle_in_strict_mode() {
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
fn backup_whose_settings_change_takes_over_in_time() {
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
fn equal_hosts_that_hear_different_families_settle_in_strict_mode() {
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
fn equal_hosts_of_two_modes_that_lose_ipv4_one_way_settle() {
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
fn suppressed_host_leaves_an_equal_bsd_host_master() {
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
fn suppressed_host_leaves_a_slower_bsd_host_master() {
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
fn clock_set_back_within_the_window_takes_no_counter_back() {
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
fn refused_repetition_does_not_restart_the_wait_of_a_backup() {
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
