// The TypeScript SDK 2.x, in each way it can find out a server's era.
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { report, target, TEXT } from "./report.mjs";

const MODES = { legacy: "legacy", auto: "auto", "2026-07-28": { pin: "2026-07-28" } };

const { url, headers } = target();
for (const [name, mode] of Object.entries(MODES)) {
  const client = new Client({ name: "ts-v2", version: "1.0.0" }, { versionNegotiation: { mode } });
  await client.connect(new StreamableHTTPClientTransport(url, { requestInit: { headers } }));
  const { tools } = await client.listTools();
  const result = await client.callTool({ name: "echo", arguments: { text: TEXT } });
  report("ts-v2", name, tools, result);
  await client.close();
}
