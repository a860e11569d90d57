"""sdk_day.py SCRIPT PORTERO: runs a script of tool calls with the official Python SDK's client.

SCRIPT is a JSON file with a list of turns: {"calls": [{"tool": name, "input": {...}}]}. The calls of a turn are made at
once. Prints JSON: the listed `tools`, and of each turn its `seconds` and the texts of its `results`."""
import asyncio
import json
import os
import sys
import time

from mcp import Client, StdioServerParameters

from turns import fill

script, portero = sys.argv[1:]


async def main():
    turns = json.load(open(script))
    server = StdioServerParameters(command=portero, args=["mcp"], env=dict(os.environ))
    async with Client(server, mode="auto") as client:
        wanted = {call["tool"] for turn in turns for call in turn["calls"]}
        listed = []
        while not wanted <= {tool.name for tool in listed}:
            listed = (await client.list_tools()).tools
        seen, done = "", []
        for turn in turns:
            began = time.monotonic()
            results = await asyncio.gather(*(client.call_tool(call["tool"], fill(call["input"], seen)) for call in turn["calls"]))
            seconds = time.monotonic() - began
            texts = ["\n".join(getattr(block, "text", "") for block in result.content) for result in results]
            seen += "\n".join(texts)
            done.append({"seconds": seconds, "results": texts})
        tools = [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in listed]
        print(json.dumps({"tools": tools, "turns": done}))


asyncio.run(asyncio.wait_for(main(), 600))
