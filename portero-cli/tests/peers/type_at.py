"""type_at.py STEPS COMMAND...: runs COMMAND in a terminal of 110 by 50 and plays STEPS, a JSON list of
{"wait": regular expression on the screen} and {"type": text}. Prints the last screen; exits with 1 when a wait ran out."""
import json
import re
import signal
import sys
import time

import pexpect
import pyte

steps, command, *arguments = json.loads(sys.argv[1]), *sys.argv[2:]
screen = pyte.Screen(110, 50)
stream = pyte.ByteStream(screen)
child = pexpect.spawn(command, arguments, dimensions=(50, 110), timeout=1)


def shown():
    return "\n".join(line.rstrip() for line in screen.display if line.strip())


def read(seconds):
    try:
        stream.feed(child.read_nonblocking(65536, timeout=seconds))
    except pexpect.TIMEOUT:
        pass


def wait(pattern, seconds=60):
    end = time.monotonic() + seconds
    while not re.search(pattern, shown()):
        if time.monotonic() > end:
            return False
        read(0.2)
    return True


def settle():
    """Until the screen stands still for half a second: what is typed while it draws is lost."""
    before = None
    while before != shown():
        before = shown()
        read(0.5)


code = 0
try:
    for step in steps:
        if "type" in step:
            settle()
            child.send(step["type"])
        elif not wait(step["wait"]):
            print(f"never seen: {step['wait']}")
            code = 1
            break
except pexpect.EOF:
    print("the program ended")
    code = 1
print(shown())
# A busy machine takes longer to end it than `close` waits.
child.kill(signal.SIGKILL)
child.wait()
sys.exit(code)
