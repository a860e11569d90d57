"""model.py SCRIPT LOG: a stand-in for the Messages API on loopback, for a client that is to be watched.

SCRIPT is a JSON list of turns: {"tool": name, "input": {...}} or {"text": "..."}. The n-th request that offers tools and holds
n assistant turns gets turn n; after the last one, the text DONE. Prints its port, then serves until it is killed. LOG gets the
bodies of the requests, a JSON line each."""
import itertools
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SCRIPT = json.loads(sys.argv[1])
LOG = open(sys.argv[2], "a", buffering=1)
LOCK = threading.Lock()
NUMBERS = itertools.count(1)


def turn(body):
    """The content block that answers this request."""
    if not body.get("tools"):
        return {"type": "text", "text": "ok"}
    done = sum(message["role"] == "assistant" for message in body["messages"])
    if done >= len(SCRIPT):
        return {"type": "text", "text": "DONE"}
    step = SCRIPT[done]
    if "text" in step:
        return {"type": "text", "text": step["text"]}
    return {"type": "tool_use", "id": f"toolu_{next(NUMBERS):020}", "name": step["tool"], "input": step.get("input", {})}


def events(block, message):
    """The server-sent events that stream one block."""
    tool = block["type"] == "tool_use"
    yield {"type": "message_start", "message": message}
    yield {"type": "content_block_start", "index": 0, "content_block": {**block, **({"input": {}} if tool else {"text": ""})}}
    delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])} if tool else {"type": "text_delta", "text": block["text"]}
    yield {"type": "content_block_delta", "index": 0, "delta": delta}
    yield {"type": "content_block_stop", "index": 0}
    yield {"type": "message_delta", "delta": {"stop_reason": "tool_use" if tool else "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 1}}
    yield {"type": "message_stop"}


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
            LOG.write(json.dumps(body) + "\n")
        block = turn(body)
        message = {"id": f"msg_{next(NUMBERS):020}", "type": "message", "role": "assistant", "model": body.get("model", "m"), "content": [],
                   "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1}}
        if body.get("stream"):
            stream = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events(block, message))
            return self.reply(200, "text/event-stream", stream.encode())
        message.update(content=[block], stop_reason="tool_use" if block["type"] == "tool_use" else "end_turn")
        self.reply(200, "application/json", json.dumps(message).encode())


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
