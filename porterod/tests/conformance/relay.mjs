// Stands in for the client under test: hands a scenario to the test, and ends when the test is done with it.
import net from 'node:net';

const socket = net.connect(Number(process.env.PORTERO_RELAY_PORT), '127.0.0.1');
const context = JSON.parse(process.env.MCP_CONFORMANCE_CONTEXT ?? '{}');
socket.write(JSON.stringify({ scenario: process.env.MCP_CONFORMANCE_SCENARIO, url: process.argv[2], context }) + '\n');
socket.on('error', () => process.exit(1));
socket.on('close', () => process.exit(0));
socket.resume();
