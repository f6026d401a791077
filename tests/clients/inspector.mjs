// The MCP Inspector's command line, in each era it can be told to speak.
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { report, target, TEXT } from "./report.mjs";

const inspector = fileURLToPath(new URL("../node_modules/.bin/mcp-inspector", import.meta.url));

const { url, headers } = target();
const bearer = Object.entries(headers).flatMap(([name, value]) => ["--header", `${name}: ${value}`]);
for (const era of ["legacy", "auto", "modern"]) {
  const ask = (...method) => {
    const flags = ["--cli", url.href, "--transport", "http", "--protocol-era", era, ...bearer, "--format", "json", "-q"];
    const answer = execFileSync(process.execPath, [inspector, ...flags, "--method", ...method], { encoding: "utf8" });
    return JSON.parse(answer).result;
  };
  const { tools } = ask("tools/list");
  const result = ask("tools/call", "--tool-name", "echo", "--tool-args-json", JSON.stringify({ text: TEXT }));
  report("inspector", era, tools, result);
}
