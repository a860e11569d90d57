"""An MCP server for tests. Its first argument says how it behaves, the second which tools it has."""

import json
import os
import sys

MODE = sys.argv[1] if len(sys.argv) > 1 else "good"
TOOLS = sys.argv[2].split(",") if len(sys.argv) > 2 else ["look", "echo", "hang", "roots"]

# One tool that is fine among many that would make a client drop the whole list.
LIES = """[
    {"name": "fine", "inputSchema": {"type": "object"}},
    {"name": "null", "inputSchema": null},
    {"name": "none"},
    {"name": 5, "inputSchema": {"type": "object"}},
    {"name": "words", "inputSchema": {"type": "object"}, "description": 7},
    {"name": "key", "inputSchema": {"type": "object", "properties": {"a b": {}}}},
    {"name": "hint", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": "yes"}},
    7
]"""


def send(text):
    sys.stdout.buffer.write(text.encode() + b"\n")
    sys.stdout.buffer.flush()


def answer(request, result):
    send('{"jsonrpc":"2.0","id":%s,"result":%s}' % (json.dumps(request["id"]), result))


def text(words):
    return json.dumps({"content": [{"type": "text", "text": words}]})


def arguments_as_they_came(line):
    start = line.index('"arguments":') + len('"arguments":')
    _, end = json.JSONDecoder().raw_decode(line, start)
    return line[start:end]


def call(request, line, declared):
    name = request["params"]["name"]
    if name == "look":
        answer(request, text(json.dumps({"cwd": os.getcwd(), "env": dict(os.environ), "declared": declared})))
    elif name == "echo":
        answer(
            request,
            '{"content":[{"type":"hologram","depth":1.10,"of":null},{"text":"t","type":"text","zeta":1,'
            '"alpha":1234567890123456789012345678901234567890}],"x-unknown":{"b":1.0e2,"a":"\\u00e9"},'
            '"structuredContent":%s}' % arguments_as_they_came(line),
        )
    elif name == "roots":
        send('{"jsonrpc":"2.0","id":"roots","method":"roots/list"}')
        answer(request, text(sys.stdin.readline()))
    elif name != "hang":
        answer(request, text(name))


def main():
    if MODE == "file" and not os.path.exists(sys.argv[2]):
        sys.exit("the file of tools is missing")
    declared = {}
    if MODE == "garbage":
        send("I am no server")
        send('{"jsonrpc":')
    for line in sys.stdin:
        request = json.loads(line)
        if MODE == "garbage":
            send("what?")
        if "id" not in request or MODE in ("silent", "garbage"):
            continue
        method = request["method"]
        if method == "initialize":
            declared = request["params"]["capabilities"]
            answer(
                request,
                '{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},'
                '"serverInfo":{"name":"test","version":"1"}}',
            )
        elif method == "tools/list" and MODE == "lying":
            answer(request, '{"tools":%s}' % LIES.replace("\n", " "))
        elif method == "tools/list" and MODE == "file":
            # The second argument is a file that the test may change.
            with open(sys.argv[2], encoding="utf-8") as tools:
                answer(request, '{"tools":%s}' % json.dumps(json.load(tools)))
        elif method == "tools/list":
            tools = [{"name": name, "description": "The tool " + name, "inputSchema": {"type": "object"}} for name in TOOLS]
            answer(request, json.dumps({"tools": tools}))
        elif method == "tools/call":
            call(request, line, declared)
        else:
            send('{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"no"}}' % json.dumps(request["id"]))


main()
