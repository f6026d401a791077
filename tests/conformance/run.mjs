// Runs the official conformance suite against a server.
//
//   run.mjs URL KEY REVISION [BASELINE]     KEY `-`: the server asks for none
//
// Prints the suite's own report, then one line of JSON: {revision, required, passed, expected, failed}. Exits non-zero when
// a required scenario fails that the baseline does not name, or when one passes that it does name.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { shim } from "./shim.mjs";

const [url, key, revision, baseline] = process.argv.slice(2);
if (!revision) throw new Error("usage: run.mjs URL KEY REVISION [BASELINE]");

const suite = fileURLToPath(new URL("../node_modules/.bin/conformance", import.meta.url));
const run = (...flags) => new Promise((resolve, reject) => {
  const child = spawn(process.execPath, [suite, ...flags], { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text) => { output += text; });
  child.on("error", reject).on("close", (status) => resolve({ status, output }));
});

/** The scenarios that count for this revision: the suite's own frozen list. */
async function requiredScenarios() {
  const { output } = await run("list", "--server", "--requirements", revision);
  const section = output.match(/^Server scenarios[^\n]*\n((?:\s+- .*\n)+)/m);
  if (!section) throw new Error(`the suite knows no required scenarios for ${revision}`);
  return section[1].trim().split("\n").map((line) => line.replace(/^\s*- /, ""));
}

/** A baseline's scenarios: the list items of a file that holds nothing else. */
const expected = baseline
  ? readFileSync(baseline, "utf8").split("\n").filter((line) => /^\s*- /.test(line)).map((line) => line.trim().slice(2))
  : [];

const proxy = key === "-" ? { url, stop() {} } : await shim(url, key);
const flags = ["server", "--url", proxy.url, "--requirements", revision];
const { status, output } = await run(...flags, ...(baseline ? ["--expected-failures", baseline] : []));
proxy.stop();
console.log(output);

const required = await requiredScenarios();
const isGreen = (scenario) => new RegExp(`^✓ ${scenario}: [1-9]`, "m").test(output);
const passed = required.filter(isGreen);
const failed = required.filter((scenario) => !isGreen(scenario) && !expected.includes(scenario));
const summary = { revision, required: required.length, passed: passed.length, expected, failed };
console.log(JSON.stringify(summary));
process.exitCode = status || failed.length > 0 ? 1 : 0;
