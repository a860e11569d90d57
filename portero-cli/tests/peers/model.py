"""model.py SCRIPT LOG: a stand-in for the Messages API on loopback, for a client that is to be watched.

SCRIPT is a JSON list of turns: {"tool": name, "input": {...}}, {"calls": [several of these]} or {"text": "..."}. `${task}` in an
input is the newest task's id. The n-th request that offers tools and holds n assistant turns gets turn n; after the last one, the
text DONE. Prints its port, then serves until it is killed. LOG gets the bodies of the requests, a JSON line each, with the second
`received_at` which each came."""
import itertools
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from turns import fill

SCRIPT = json.loads(sys.argv[1])
LOG = open(sys.argv[2], "a", buffering=1)
LOCK = threading.Lock()
NUMBERS = itertools.count(1)


def turn(body):
    """The content blocks that answer this request."""
    if not body.get("tools"):
        return [{"type": "text", "text": "ok"}]
    done = sum(message["role"] == "assistant" for message in body["messages"])
    if done >= len(SCRIPT):
        return [{"type": "text", "text": "DONE"}]
    step = SCRIPT[done]
    if "text" in step:
        return [{"type": "text", "text": step["text"]}]
    seen = json.dumps(body["messages"])
    return [
        {"type": "tool_use", "id": f"toolu_{next(NUMBERS):020}", "name": call["tool"], "input": fill(call.get("input", {}), seen)}
        for call in step.get("calls", [step])
    ]


def events(blocks, message):
    """The server-sent events that stream these blocks."""
    yield {"type": "message_start", "message": message}
    for index, block in enumerate(blocks):
        tool = block["type"] == "tool_use"
        yield {"type": "content_block_start", "index": index, "content_block": {**block, **({"input": {}} if tool else {"text": ""})}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])} if tool else {"type": "text_delta", "text": block["text"]}
        yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    yield {"type": "message_delta", "delta": {"stop_reason": stop_reason(blocks), "stop_sequence": None}, "usage": {"output_tokens": 1}}
    yield {"type": "message_stop"}


def stop_reason(blocks):
    return "tool_use" if blocks[-1]["type"] == "tool_use" else "end_turn"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, kind, content):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def do_HEAD(self):
        self.reply(200, "application/json", b"{}")

    def do_GET(self):
        self.reply(200, "application/json", b'{"data":[],"has_more":false}')

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}")
        if "count_tokens" in self.path:
            return self.reply(200, "application/json", b'{"input_tokens":1}')
        if not self.path.startswith("/v1/messages"):
            return self.reply(404, "application/json", b'{"type":"error","error":{"type":"not_found_error","message":"no"}}')
        with LOCK:
            LOG.write(json.dumps({**body, "received_at": time.time()}) + "\n")
        blocks = turn(body)
        message = {"id": f"msg_{next(NUMBERS):020}", "type": "message", "role": "assistant", "model": body.get("model", "m"), "content": [],
                   "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1}}
        if body.get("stream"):
            stream = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events(blocks, message))
            return self.reply(200, "text/event-stream", stream.encode())
        message.update(content=blocks, stop_reason=stop_reason(blocks))
        self.reply(200, "application/json", json.dumps(message).encode())


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
