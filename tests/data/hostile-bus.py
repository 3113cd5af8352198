"""Attacks of a user on org.carpd1 over the bus.

Arguments: the path of a bus's socket (for "oversized", of carpd's own), and the attack. The messages
are made byte by byte, so that no library corrects them.
"""

import os
import signal
import socket
import struct
import sys

PATH, ATTACK = sys.argv[1], sys.argv[2]
MANAGER, SYSCTL = "org.carpd1.Manager", "org.carpd1.Sysctl"


def aligned(data, to):
    return data + bytes(-len(data) % to)


def string(text):
    data = text.encode() if isinstance(text, str) else text
    return struct.pack("<I", len(data)) + data + b"\0"


def call(serial, member, signature="", body=b"", interface=MANAGER, flags=0):
    fields = b""
    for code, kind, value in [
        (1, "o", "/org/carpd1" if interface != "org.freedesktop.DBus" else "/org/freedesktop/DBus"),
        (2, "s", interface),
        (3, "s", member),
        (6, "s", "org.carpd1" if interface != "org.freedesktop.DBus" else interface),
    ]:
        fields = aligned(fields, 8) + bytes([code, 1]) + kind.encode() + b"\0" + string(value)
    if signature:
        fields = aligned(fields, 8) + bytes([8, 1]) + b"g\0"
        fields += bytes([len(signature)]) + signature.encode() + b"\0"
    head = struct.pack("<BBBBII", ord("l"), 1, flags, 1, len(body), serial)
    return aligned(head + struct.pack("<I", len(fields)) + fields, 8) + body


def connected():
    bus = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    bus.settimeout(60)
    bus.connect(PATH)
    bus.sendall(b"\0AUTH EXTERNAL " + str(os.getuid()).encode().hex().encode() + b"\r\n")
    assert bus.recv(1000).startswith(b"OK"), "the bus does not let us in"
    bus.sendall(b"BEGIN\r\n" + call(1, "Hello", interface="org.freedesktop.DBus"))
    return bus


def read(bus, length):
    data = b""
    while len(data) < length:
        more = bus.recv(length - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def answer_to(bus, serial):
    """Returns the text of the answer to a call, and drops all messages before it."""
    while True:
        head = read(bus, 16)
        _, kind, _, _, length, _, fields = struct.unpack("<BBBBIII", head)
        rest = read(bus, fields + -fields % 8)
        body = read(bus, length)
        if kind in (2, 3) and b"\x05\x01u\x00" + struct.pack("<I", serial) in rest:
            return kind, body[4:].rstrip(b"\0") if kind == 3 else body


def attempt(send):
    """Ignores that the bus ends a connection with a malformed message."""
    try:
        return send()
    except (BrokenPipeError, ConnectionResetError, EOFError):
        return None


def strings():
    bus = connected()
    for serial in range(2, 12):
        bus.sendall(call(serial, "GetInterface", "s", string("A\n" * 15_000_000)))
        kind, text = answer_to(bus, serial)
        assert kind == 3 and len(text) < 1500 and b"\n" not in text, text[:2000]


def deep():
    bus = connected()
    for depth in (10, 40, 63, 64, 65, 200):
        value = b"\x01v\0" * depth + b"\x01y\0\x01"
        body = string("net.inet.carp.log")
        send = call(2, "Set", "sv", body + value, interface=SYSCTL)
        attempt(lambda: (bus.sendall(send), answer_to(bus, 2)))
        bus = connected()


def odd():
    good = call(2, "GetInterface", "s", string("carp0"))
    for body in (string("a\0b"), string(b"\xff\xfe"), struct.pack("<I", 2**31) + b"x"):
        bus = connected()
        attempt(lambda: (bus.sendall(call(2, "GetInterface", "s", body)), bus.recv(1000)))
    for signature in ("(((", "a" * 255, "a{vs}", "\x01"):
        bus = connected()
        attempt(lambda: (bus.sendall(call(2, "GetInterface", signature, b"")), bus.recv(1000)))
    for at in range(0, len(good), 3):
        bus = connected()
        bad = good[:at] + bytes([good[at] ^ 0xFF]) + good[at + 1 :]
        attempt(lambda: bus.sendall(bad))
        bus.close()


def interfaces():
    bus = connected()
    for number in range(10_000):
        body = aligned(aligned(string("carp%d" % number), 4) + struct.pack("<I", 0), 8)
        bus.sendall(call(number + 2, "CreateInterface", "sa{sv}", body))
        if number % 50 == 49:
            kind, text = answer_to(bus, number + 2)
            refused = b"only root may" in text or b"polkit" in text
            assert kind == 3 and refused, text


def never_read(connections):
    """Returns clients that ask and do not read, with half a greeting and half a message."""
    clients = []
    for _ in range(connections):
        bus = connected()
        bus.settimeout(1)
        for serial in range(2, 22):
            member = ("ListInterfaces", "GetStatistics", "ListSuppressions")[serial % 3]
            try:
                bus.sendall(call(serial, member))
            except (OSError, EOFError):
                break
        clients.append(bus)
    for _ in range(10):
        bus = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        bus.connect(PATH)
        bus.sendall(b"\0AUTH EXT")
        clients.append(bus)
    clients[0].settimeout(1)
    attempt(lambda: clients[0].sendall(call(200, "GetInterface", "s", string("carp0"))[:40]))
    return clients


def silent():
    """Makes a thousand clients of five users: the bus allows a user 256 connections."""
    ready, done = os.pipe()
    held, holding = os.pipe()
    for user in range(65530, 65535):
        if os.fork() == 0:
            os.close(holding)
            become(user)
            clients = never_read(200)
            os.write(done, b".")
            os.read(held, 1)  # Until the one that started this one has ended.
            os._exit(len(clients) == 0)
    for _ in range(5):
        assert os.read(ready, 1)
    print("silent", flush=True)
    signal.pause()


def oversized():
    """Announces and sends carpd itself more than a message may have."""
    for announced in (200 << 20, 2**32 - 1):
        bus = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        bus.settimeout(60)
        bus.connect(PATH)
        bus.sendall(b"\0AUTH EXTERNAL " + b"0".hex().encode() + b"\r\n")
        assert bus.recv(1000).startswith(b"OK")
        head = call(2, "GetInterface", "s")
        bus.sendall(b"BEGIN\r\n" + head[:4] + struct.pack("<I", announced) + head[8:])
        block = b"A" * (1 << 20)
        sent = 0
        try:
            while sent < 200:
                bus.sendall(block)
                sent += 1
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert sent < 200, "all of it was read"


def become(user):
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


# After the imports, run as an ordinary user, except for attacks by several users or by root.
if ATTACK not in ("silent", "oversized"):
    become(65534)
globals()[ATTACK]()
print("done", flush=True)
