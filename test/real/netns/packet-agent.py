"""
Stands in one network namespace, as its root: takes TCP, UDP and SCTP at its addresses, and sends where it is asked to.
Arguments: `10.0.0.1,fd00::1 tcp=80,81 udp=53 sctp=80`. Lines of JSON: `{"send": [[id, protocol, source, sourcePort, destination, port]...]}`
is answered by `{"got": [id...]}` as answers come, `{"forget": true}` lets go of what is open and is answered by `{"forgotten": true}`.
SCTP goes by raw sockets, an INIT answered by an INIT ACK: many kernels have none of their own.
"""
import json
import os
import selectors
import socket
import struct
import sys

AGAIN_SECONDS = 0.5
TAG = 0x5EED
selector = selectors.DefaultSelector()
waiting = {}
sctp = {}
got = []


def crc32c_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


CRC = crc32c_table()


def sctp_packet(source_port, port, verification_tag, kind):
    chunk = struct.pack("!BBHIIHHI", kind, 0, 20, TAG, 65536, 1, 1, 1)
    head = struct.pack("!HHI", source_port, port, verification_tag)
    crc = 0xFFFFFFFF
    for byte in head + b"\0\0\0\0" + chunk:
        crc = (crc >> 8) ^ CRC[(crc ^ byte) & 255]
    return head + struct.pack("<I", crc ^ 0xFFFFFFFF) + chunk


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def quietly(action, *arguments):
    """What the kernel refuses at once (an ICMP error before) is asked again, or is answered by nobody."""
    try:
        return action(*arguments)
    except OSError:
        return None


def accept(listener):
    connection = quietly(listener.accept)
    if connection is not None:
        quietly(connection[0].sendall, b"x")
        connection[0].close()


def echo(listener):
    packet = quietly(listener.recvfrom, 100)
    if packet is not None:
        quietly(listener.sendto, *packet)


def take_sctp(raw):
    received = quietly(raw.recvfrom, 2000)
    if received is None:
        return
    data, (peer, *_) = received
    if raw.family == socket.AF_INET:
        data = data[(data[0] & 15) * 4 :]
    source_port, port, _, _ = struct.unpack("!HHII", data[:12])
    if data[12] == 1 and port in served["sctp"]:
        quietly(raw.sendto, sctp_packet(port, source_port, TAG, 2), (peer, 0))
    if data[12] == 2 and (peer, source_port, port) in waiting:
        done((peer, source_port, port))


def done(key):
    own = waiting.pop(key, None)
    if own is None:
        return
    got.append(own["id"])
    close(own)


def close(own):
    if own.get("socket") is not None:
        quietly(selector.unregister, own["socket"])
        own["socket"].close()


def answered(key, connection):
    def read():
        data = quietly(connection.recv, 100)
        if data:
            done(key)

    return read


def start(id, protocol, source, source_port, destination, port):
    key = (destination, port, source_port)
    waiting[key] = own = {"id": id, "protocol": protocol, "source": source, "key": key}
    if protocol == "sctp":
        send_again(own)
        return
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    connection = socket.socket(family_of(destination), kind)
    connection.setblocking(False)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    connection.bind((source, source_port))
    quietly(connection.connect, (destination, port))
    own["socket"] = connection
    selector.register(connection, selectors.EVENT_READ, answered(key, connection))
    send_again(own)


def send_again(own):
    """TCP does so by itself."""
    destination, port, source_port = own["key"]
    if own["protocol"] == "udp":
        quietly(own["socket"].send, b"x")
    if own["protocol"] == "sctp":
        quietly(sctp[own["source"]].sendto, sctp_packet(source_port, port, 0, 1), (destination, 0))


def serve(address):
    """Bound to the address, so that answers come from where they were asked."""
    for kind, protocol, take in ((socket.SOCK_STREAM, "tcp", accept), (socket.SOCK_DGRAM, "udp", echo)):
        for port in served[protocol]:
            listener = socket.socket(family_of(address), kind)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setblocking(False)
            listener.bind((address, port))
            if protocol == "tcp":
                listener.listen(1024)
            selector.register(listener, selectors.EVENT_READ, lambda own=listener, take=take: take(own))
    raw = sctp[address] = socket.socket(family_of(address), socket.SOCK_RAW, socket.IPPROTO_SCTP)
    raw.setblocking(False)
    raw.bind((address, 0))
    selector.register(raw, selectors.EVENT_READ, lambda: take_sctp(raw))


def command():
    global buffered
    data = os.read(0, 1 << 20)
    if data == b"":
        sys.exit(0)
    *lines, buffered = (buffered + data).split(b"\n")
    for line in lines:
        asked = json.loads(line)
        for probe in asked.get("send", []):
            start(*probe)
        if "forget" in asked:
            for own in waiting.values():
                close(own)
            waiting.clear()
            got.clear()
            print(json.dumps({"forgotten": True}), flush=True)


addresses, *numbers = sys.argv[1:]
served = {name: [int(port) for port in ports.split(",")] for name, ports in (own.split("=") for own in numbers)}
buffered = b""
for own in addresses.split(","):
    serve(own)
selector.register(0, selectors.EVENT_READ, command)
print(json.dumps({"ready": True}), flush=True)
while True:
    events = selector.select(AGAIN_SECONDS)
    for key, _ in events:
        key.data()
    if got:
        print(json.dumps({"got": got}), flush=True)
        got.clear()
    if not events:
        for own in list(waiting.values()):
            send_again(own)
