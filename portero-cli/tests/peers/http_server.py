"""A server of the Python SDK over Streamable HTTP, which takes only calls with a bearer token.

Usage: http_server.py PORT TOKEN [json|stream] [session|stateless]
       http_server.py PORT issuer=URL [json|stream] [session|stateless]

With an issuer, it takes the tokens that the issuer vouches for, and says where they are to be had (RFC 9728).
"""

import sys
import urllib.error
import urllib.request

import anyio
import uvicorn
from mcp.server import MCPServer
from starlette.responses import JSONResponse, Response

PORT, TOKEN = int(sys.argv[1]), sys.argv[2]
ISSUER = TOKEN.removeprefix("issuer=") if TOKEN.startswith("issuer=") else None
IS_JSON = "json" in sys.argv[3:]
IS_STATELESS = "stateless" in sys.argv[3:]
RESOURCE = f"http://127.0.0.1:{PORT}/mcp"
METADATA_PATH = "/.well-known/oauth-protected-resource/mcp"

server = MCPServer("bank", instructions="Amounts are in cents.")


@server.tool(description="Adds to the balance.")
def deposit(amount: int) -> str:
    with open("deposits.txt", "a", encoding="utf-8") as deposits:
        deposits.write(f"{amount}\n")
    return f"deposited {amount}"


@server.tool(description="Says the token that the server was reached with.")
def tell_token() -> str:
    return f"the token is {TOKEN}"


def is_vouched_for(authorization):
    request = urllib.request.Request(f"{ISSUER}/holder", headers={"Authorization": authorization})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60):
            return True
    except urllib.error.HTTPError:
        return False


class TokenRequired:
    """Refuses a request without a token that counts, before its body is read."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            if ISSUER and scope["path"] == METADATA_PATH:
                metadata = {"resource": RESOURCE, "authorization_servers": [ISSUER], "scopes_supported": ["deposit"]}
                await JSONResponse(metadata)(scope, receive, send)
                return
            authorization = dict(scope["headers"]).get(b"authorization", b"").decode()
            if ISSUER:
                is_right = await anyio.to_thread.run_sync(is_vouched_for, authorization)
            else:
                is_right = authorization == f"Bearer {TOKEN}"
            if not is_right:
                challenge = "Bearer"
                if ISSUER:
                    challenge += f' resource_metadata="http://127.0.0.1:{PORT}{METADATA_PATH}"'
                await Response(status_code=401, headers={"WWW-Authenticate": challenge})(scope, receive, send)
                return
        await self.app(scope, receive, send)


app = TokenRequired(server.streamable_http_app(json_response=IS_JSON, stateless_http=IS_STATELESS))
uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning")
