"""An MCP server for tests that says things before it answers. Its first argument is the era that it speaks, "legacy" or
"modern". Toward a modern client it logs only what the request asked for."""

import json
import sys

ERA = sys.argv[1]
TOOL = {"name": "talk", "inputSchema": {"type": "object"}}


def notification(method, params):
    return json.dumps({"jsonrpc": "2.0", "method": method, "params": params})


def said(request):
    """Two log messages and progress, as lines."""
    params = request["params"]
    meta = params.get("_meta", {})
    wanted = ERA == "legacy" or "io.modelcontextprotocol/logLevel" in meta
    count = params.get("arguments", {}).get("count", 2)
    lines = []
    if wanted:
        for number in range(count):
            lines.append(notification("notifications/message", {"level": "warning", "data": number}))
    if "progressToken" in meta:
        progress = {"progressToken": meta["progressToken"], "progress": 1}
        lines.append(notification("notifications/progress", progress))
    return lines


def answer(request):
    method = request["method"]
    if method == "initialize":
        if ERA == "modern":
            return {"error": {"code": -32601, "message": "no such method"}}
        return {
            "result": {
                "protocolVersion": "2025-11-25",
                "capabilities": {"tools": {}, "logging": {}},
                "serverInfo": {"name": "chatty", "version": "1"},
            }
        }
    result = {"resultType": "complete"} if ERA == "modern" else {}
    if method == "server/discover":
        result["supportedVersions"] = ["2026-07-28"]
        result["capabilities"] = {"tools": {}, "logging": {}}
        result["serverInfo"] = {"name": "chatty", "version": "1"}
        result.update({"ttlMs": 0, "cacheScope": "private"})
    elif method == "tools/list":
        result["tools"] = [TOOL]
    elif method == "tools/call":
        result["content"] = [{"type": "text", "text": "said"}]
    return {"result": result}


for line in sys.stdin:
    request = json.loads(line)
    if "id" not in request or request["method"] == "subscriptions/listen":
        continue
    lines = said(request) if request["method"] == "tools/call" else []
    lines.append(json.dumps({"jsonrpc": "2.0", "id": request["id"], **answer(request)}))
    # In one write, so that nothing but the order tells them apart.
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
