#!/bin/sh
# The examples of carp(4) as they stand there, save for the addresses, which that copy of the page
# lost on its way to the web: they are those of FreeBSD's carp(4).
#
# usage: manual-examples.sh first|second A|B
set -eu

case "${1-} ${2-}" in
"first A")
	sysctl net.inet.carp.preempt=1
	ifconfig carp0 create
	ifconfig carp0 vhid 1 pass mekmitasdigoat 192.168.1.1/24
	ifconfig carp1 create
	ifconfig carp1 vhid 2 pass mekmitasdigoat 192.168.2.1/24
	;;
"first B")
	sysctl net.inet.carp.preempt=1
	ifconfig carp0 create
	ifconfig carp0 vhid 1 advskew 100 pass mekmitasdigoat 192.168.1.1/24
	ifconfig carp1 create
	ifconfig carp1 vhid 2 advskew 100 pass mekmitasdigoat 192.168.2.1/24
	;;
"second A")
	ifconfig carp0 create
	ifconfig carp0 vhid 1 pass mekmitasdigoat 192.168.1.10/24
	ifconfig carp1 create
	ifconfig carp1 vhid 2 advskew 100 pass mekmitasdigoat 192.168.1.10/24
	sysctl net.inet.carp.arpbalance=1
	;;
"second B")
	ifconfig carp0 create
	ifconfig carp0 vhid 1 advskew 100 pass mekmitasdigoat 192.168.1.10/24
	ifconfig carp1 create
	ifconfig carp1 vhid 2 pass mekmitasdigoat 192.168.1.10/24
	sysctl net.inet.carp.arpbalance=1
	;;
*)
	echo "usage: ${0##*/} first|second A|B" >&2
	exit 2
	;;
esac
