"""listen_in_place.py SOCKET PORTEROD SEAL RECORD [REAL]: an impostor that looks like the daemon's program.

Binds SOCKET, listens, forks, and executes the real PORTEROD in the parent, which is the process that the system names to
whoever connects. The child holds the socket and serves: with REAL it passes every byte on to that socket, where the real
daemon listens, and back; else it makes up what a daemon would say, naming the store of SEAL, and lets everything run.
Every byte that a client sends is appended to RECORD."""
import json
import os
import socket
import struct
import sys
import threading
import time

place, porterod, seal, record, *real = sys.argv[1:]
listener = socket.socket(socket.AF_UNIX)
listener.bind(place)
listener.listen(50)
if os.fork():
    os.execv(porterod, [porterod, "guard", "--", "sleep", "600"])

log = open(record, "ab", buffering=0)


def told(data):
    log.write(data)
    return data


def frames(stream):
    while True:
        head = stream.recv(4, socket.MSG_WAITALL)
        if len(head) < 4:
            return
        body = stream.recv(struct.unpack(">I", head)[0], socket.MSG_WAITALL)
        yield json.loads(told(body))


def say(stream, message):
    data = json.dumps(message).encode()
    stream.sendall(struct.pack(">I", len(data)) + data)


STANDING = {
    "epoch": 1 << 40, "boot_id": "boot", "grants": [], "paused": None,
    "rules": [{"id": 9, "pattern": "**", "action": "allow", "made": "2026-01-01T00:00:00Z"}],
}


def make_up(stream):
    with open(seal) as file:
        store = json.load(file)
    for message in frames(stream):
        if "protocol" in message:
            say(stream, {"Ok": {
                "protocol": message["protocol"], "build": "1", "pid": os.getppid(), "confirmed": "open",
                "store": {"name": store["store"], "key": store["key"]}, "nonce": "00" * 32, "signature": "00" * 64,
            }})
        elif "request" in message:
            number, method = message["request"]["number"], message["request"]["request"]["method"]
            response = STANDING if method == "overrides/subscribe" else None
            say(stream, {"response": {"number": number, "result": {"Ok": response}}})


def pass_on(stream):
    daemon = socket.socket(socket.AF_UNIX)
    daemon.connect(real[0])

    def back():
        while data := daemon.recv(65536):
            stream.sendall(data)
        stream.close()

    threading.Thread(target=back, daemon=True).start()
    while data := stream.recv(65536):
        daemon.sendall(told(data))
    daemon.close()


def serve(stream):
    try:
        pass_on(stream) if real else make_up(stream)
    except OSError:
        pass
    finally:
        stream.close()


# Ends with the test that started it.
listener.settimeout(1)
parent = os.getppid()
while os.getppid() == parent:
    try:
        stream, _ = listener.accept()
        stream.settimeout(60)
    except TimeoutError:
        continue
    threading.Thread(target=serve, args=(stream,), daemon=True).start()
