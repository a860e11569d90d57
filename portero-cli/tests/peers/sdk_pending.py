"""sdk_pending.py MODE TOOL ASKED PORTERO: lists a tool while it is allowed, lets it ask, and calls it with the official
Python SDK's client in this mode; prints the result as JSON."""

import asyncio
import json
import os
import subprocess
import sys

from mcp import Client, StdioServerParameters

mode, tool, asked, portero = sys.argv[1:]


async def main():
    server = StdioServerParameters(command=portero, args=["mcp"], env=dict(os.environ))
    async with Client(server, mode=mode) as client:
        names = []
        while tool not in names:
            names = [listed.name for listed in (await client.list_tools()).tools]
        before = await client.call_tool(tool, {})
        subprocess.run([portero, "ask", asked], check=True, capture_output=True)
        result = await client.call_tool(tool, {})
        content = [block.model_dump(mode="json") for block in result.content]
        result = {"isError": result.is_error, "structuredContent": result.structured_content, "content": content}
        print(json.dumps({"before": before.structured_content, "result": result}))


asyncio.run(asyncio.wait_for(main(), 60))
