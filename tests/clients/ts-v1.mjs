// The TypeScript SDK 1.x: the legacy era, as most clients out there speak it.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { report, target, TEXT } from "./report.mjs";

const { url, headers } = target();
const client = new Client({ name: "ts-v1", version: "1.0.0" });
await client.connect(new StreamableHTTPClientTransport(url, { requestInit: { headers } }));
const { tools } = await client.listTools();
const result = await client.callTool({ name: "echo", arguments: { text: TEXT } });
report("ts-v1", "legacy", tools, result);
await client.close();
