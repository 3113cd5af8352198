"""Captures questions for addresses and their answers at the ports of a switch.

Arguments: the ports. Each line on standard output has the time at which the kernel received the
frame in microseconds, its port, its kind, and the address that it is about. Kinds are q, a broadcast
question by ARP or neighbour solicitation; r, the answer to one; p, a reply to a ping.
"""

import ctypes
import select
import socket
import struct
import sys

ETH_P_ALL = 3
PACKET_OUTGOING = 4
SO_ATTACH_FILTER = 26
SO_TIMESTAMPNS = 35

# Accepts ARP, ICMP and ICMPv6 only: (code, jump if true, jump if false, operand) of classic BPF.
FILTER = [
    (0x28, 0, 0, 12),
    (0x15, 6, 0, 0x0806),
    (0x15, 0, 2, 0x0800),
    (0x30, 0, 0, 23),
    (0x15, 3, 4, 1),
    (0x15, 0, 3, 0x86DD),
    (0x30, 0, 0, 20),
    (0x15, 0, 1, 58),
    (0x06, 0, 0, 128),
    (0x06, 0, 0, 0),
]


def opened(port):
    program = b"".join(struct.pack("HBBI", *instruction) for instruction in FILTER)
    kept = ctypes.create_string_buffer(program)
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    wire.setsockopt(
        socket.SOL_SOCKET,
        SO_ATTACH_FILTER,
        struct.pack("HP", len(FILTER), ctypes.addressof(kept)),
    )
    wire.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    wire.bind((port, ETH_P_ALL))
    return wire


def subject(frame):
    kind, rest = frame[12:14], frame[14:]
    to_one = frame[0] & 1 == 0
    if kind == b"\x08\x06":
        # Not a unicast question: a kernel sends it to the MAC that it knows, whose host may be gone.
        if rest[7] == 1 and not to_one:
            return "q", socket.inet_ntop(socket.AF_INET, rest[24:28])
        if rest[7] == 2 and to_one:
            return "r", socket.inet_ntop(socket.AF_INET, rest[14:18])
    elif kind == b"\x08\x00":
        if rest[(rest[0] & 15) * 4] == 0:
            return "p", socket.inet_ntop(socket.AF_INET, rest[12:16])
    elif kind == b"\x86\xdd" and rest[6] == 58:
        if rest[40] == 135 and not to_one:
            return "q", socket.inet_ntop(socket.AF_INET6, rest[48:64])
        if rest[40] == 136 and to_one:
            return "r", socket.inet_ntop(socket.AF_INET6, rest[48:64])
        if rest[40] == 129:
            return "p", socket.inet_ntop(socket.AF_INET6, rest[8:24])
    return None


def seen(wire, port):
    """Yields all frames that have arrived at a port."""
    while True:
        try:
            frame, notes, _, sender = wire.recvmsg(256, 128, socket.MSG_DONTWAIT)
        except OSError:
            # No more frames, or, once, that the port went down. It receives again when it is up.
            return
        what = None if sender[2] == PACKET_OUTGOING else subject(frame)
        if what:
            seconds, nanoseconds = struct.unpack("ll", notes[0][2][:16])
            yield seconds * 1_000_000 + nanoseconds // 1000, port, *what


# The hosts' ports are read before the clients', so that every question precedes its answer.
ports = {opened(port): port for port in sys.argv[1:]}
print("listening", flush=True)
while True:
    select.select(list(ports), [], [])
    lines = sorted(line for wire, port in ports.items() for line in seen(wire, port))
    if lines:
        print("\n".join("%d %s %s %s" % line for line in lines), flush=True)
