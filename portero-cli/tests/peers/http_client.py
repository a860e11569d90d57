"""http_client.py KIND URL [anna]: a client over Streamable HTTP, driven by lines of JSON on stdin.

KIND is `fastmcp`, or the mode of the official SDK's client: `legacy`, `auto`, or a revision to insist on. The token is in the
variable TOKEN, the certificate authority in CA_FILE. With a name the client has no token: it logs in at the issuer that the
server names, and browser.py plays the person of that name.

Prints {"protocol": REVISION} once it is connected, or {"error": TEXT}. A line {"list": true} is answered with the names of the
tools, {"tool": NAME, "arguments": {...}} with the result, or {"error": TEXT}."""

import asyncio
import json
import os
import ssl
import subprocess
import sys
import urllib.parse

import httpx2
from fastmcp import Client as FastMcpClient
from fastmcp.client.transports import StreamableHttpTransport
from mcp import Client
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider, TokenStorage
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientMetadata

KIND, URL, *NAME = sys.argv[1:]
REDIRECT_URI = "http://127.0.0.1:9/callback"
TIMEOUT = 120


def trusted():
    return ssl.create_default_context(cafile=os.environ["CA_FILE"]) if "CA_FILE" in os.environ else True


class MemoryStorage(TokenStorage):
    tokens = client = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


def login(name):
    """The SDK's own login, with a script in the place of the browser."""
    answer = {}

    async def browse(url):
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "browser.py")
        command = [sys.executable, script, url, name, "--away"]
        browsed = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
        if browsed.returncode:
            raise RuntimeError(f"the browser failed: {browsed.stderr}")
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(browsed.stdout.strip()).query)
        answer.update({name: values[0] for name, values in query.items()})

    async def take_answer():
        return AuthorizationCodeResult(code=answer["code"], state=answer.get("state"), iss=answer.get("iss"))

    metadata = OAuthClientMetadata(client_name="agent", redirect_uris=[REDIRECT_URI], token_endpoint_auth_method="none")
    return OAuthClientProvider(
        server_url=URL, client_metadata=metadata, storage=MemoryStorage(), redirect_handler=browse, callback_handler=take_answer
    )


def headers():
    return {"Authorization": f"Bearer {os.environ['TOKEN']}"} if "TOKEN" in os.environ else {}


def open_client():
    if KIND == "fastmcp":
        return FastMcpClient(StreamableHttpTransport(URL, headers=headers(), verify=trusted()))
    auth = login(NAME[0]) if NAME else None
    http = httpx2.AsyncClient(headers=headers(), verify=trusted(), auth=auth, timeout=httpx2.Timeout(30, read=TIMEOUT))
    return Client(streamable_http_client(URL, http_client=http), mode=KIND)


def say(value):
    print(json.dumps(value), flush=True)


def innermost(error):
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


async def answer(client, line):
    command = json.loads(line)
    if "list" in command:
        listed = await client.list_tools()
        return [tool.name for tool in getattr(listed, "tools", listed)]
    if KIND == "fastmcp":
        result = await client.call_tool_mcp(command["tool"], command["arguments"])
    else:
        result = await client.call_tool(command["tool"], command["arguments"])
    return result.model_dump(mode="json", by_alias=True, exclude_none=True)


async def main():
    async with open_client() as client:
        say({"protocol": getattr(client, "protocol_version", None)})
        while line := await asyncio.to_thread(sys.stdin.readline):
            try:
                say(await answer(client, line))
            except Exception as error:  # The test reads what the client was told.
                say({"error": innermost(error)})


try:
    asyncio.run(asyncio.wait_for(main(), TIMEOUT))
except Exception as error:
    say({"error": innermost(error)})
