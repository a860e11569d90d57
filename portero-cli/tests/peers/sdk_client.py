"""sdk_client.py MODE TOOL ARGUMENTS COMMAND...: one conversation of the official SDK's client, printed as JSON.

MODE is `legacy`, `auto`, or a revision to insist on. The tool is called once it is listed."""
import asyncio
import json
import os
import sys

from mcp import Client, StdioServerParameters

mode, tool, arguments, *command = sys.argv[1:]


async def main():
    server = StdioServerParameters(command=command[0], args=command[1:], env=dict(os.environ))
    async with Client(server, mode=mode) as client:
        names = []
        while tool not in names:
            names = [listed.name for listed in (await client.list_tools()).tools]
        result = await client.call_tool(tool, json.loads(arguments))
        print(json.dumps({"protocol": client.protocol_version, "tools": names, "result": result.model_dump(mode="json")}))


asyncio.run(asyncio.wait_for(main(), 60))
