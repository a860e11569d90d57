// sdk_pending.mjs NODE_MODULES TOOL ASKED PORTERO: lists a tool while it is allowed, lets it ask, and calls it with the
// official TypeScript SDK's client; prints the result as JSON.
import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";

const [modules, tool, asked, portero] = process.argv.slice(2);
const require = createRequire(`${modules}/`);
const { Client } = require("@modelcontextprotocol/sdk/client/index.js");
const { StdioClientTransport } = require("@modelcontextprotocol/sdk/client/stdio.js");

const client = new Client({ name: "typescript", version: "1" });
await client.connect(new StdioClientTransport({ command: portero, args: ["mcp"], env: process.env }));
let tools = [];
while (!tools.includes(tool)) tools = (await client.listTools()).tools.map((listed) => listed.name);
const before = await client.callTool({ name: tool, arguments: {} });
execFileSync(portero, ["ask", asked]);
const result = await client.callTool({ name: tool, arguments: {} });
console.log(JSON.stringify({ before: before.structuredContent, result }));
await client.close();
