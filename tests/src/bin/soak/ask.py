"""Asks for the addresses on a segment ten times a second, as a client does.

Arguments: the interface, then the addresses. A line on standard output reports a stall of this
program, or of the kernel in a change of settings: the time, and its length in microseconds.
"""

import fcntl
import socket
import struct
import sys
import threading
import time

INTERVAL = 0.1

interface, addresses = sys.argv[1], sys.argv[2:]
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind((interface, 0))
mac = wire.getsockname()[4]


def own(family):
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((next(a for a in addresses if (":" in a) == (family == socket.AF_INET6)), 9))
        return socket.inet_pton(family, probe.getsockname()[0])


def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def arp(address):
    source, target = own(socket.AF_INET), socket.inet_pton(socket.AF_INET, address)
    packet = struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, mac, source, bytes(6), target)
    return b"\xff" * 6 + mac + b"\x08\x06" + packet


def solicitation(address):
    source, target = own(socket.AF_INET6), socket.inet_pton(socket.AF_INET6, address)
    group = socket.inet_pton(socket.AF_INET6, "ff02::1:ff00:0")[:13] + target[13:]
    body = struct.pack("!4x16sBB6s", target, 1, 1, mac)
    message = struct.pack("!BBH", 135, 0, 0) + body
    pseudo = source + group + struct.pack("!II", len(message), 58)
    message = struct.pack("!BBH", 135, 0, checksum(pseudo + message)) + body
    header = struct.pack("!IHBB16s16s", 6 << 28, len(message), 58, 255, source, group)
    return b"\x33\x33" + group[12:] + mac + b"\x86\xdd" + header + message


def late(since, allowed):
    time_taken = time.monotonic() - since
    if time_taken > allowed:
        print(int(time.time() * 1e6), int(time_taken * 1e6), flush=True)


def settings():
    """All namespaces share the kernel's routing lock: other programs can hold it for seconds."""
    get_flags, set_flags, up = 0x8913, 0x8914, 1
    with socket.socket() as probe:
        name = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16xh14x", fcntl.ioctl(probe, get_flags, name))[0]
        while True:
            begin = time.monotonic()
            fcntl.ioctl(probe, set_flags, struct.pack("16sh14x", b"lo", flags | up))
            late(begin, INTERVAL)
            time.sleep(2 * INTERVAL)


threading.Thread(target=settings, daemon=True).start()
questions = [solicitation(a) if ":" in a else arp(a) for a in addresses]
due = time.monotonic()
while True:
    for question in questions:
        wire.send(question)
    due += INTERVAL
    late(due, INTERVAL)
    due = max(due, time.monotonic() - INTERVAL)
    time.sleep(max(0, due - time.monotonic()))
