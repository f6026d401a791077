// Runs the official suite's scenarios about authorization servers, with a person who says yes.
//
//   authorization.mjs ISSUER COOKIE RESOURCE
//
// Prints the suite's own report, then one line of JSON: {passed, failed}.
import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";
import { allow } from "../clients/browser.mjs";

const [issuer, cookie, resource] = process.argv.slice(2);
if (!resource) throw new Error("usage: authorization.mjs ISSUER COOKIE RESOURCE");

const registration = await fetch(`${issuer}/register`, {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ client_name: "Conformance", redirect_uris: ["http://127.0.0.1/callback"], token_endpoint_auth_method: "none" }),
});
const { client_id: client } = await registration.json();
const port = await new Promise((resolve) => {
  const server = createServer().listen(0, "127.0.0.1", () => {
    const { port } = server.address();
    server.close(() => resolve(port));
  });
});

const suite = fileURLToPath(new URL("../node_modules/.bin/conformance", import.meta.url));
const flags = ["authorization", "--url", issuer, "--client-id", client, "--resource", resource, "--port", port];
const child = spawn(process.execPath, [suite, ...flags], { stdio: ["ignore", "pipe", "inherit"] });
let output = "";
let visited = false;
child.stdout.setEncoding("utf8").on("data", async (text) => {
  output += text;
  const url = output.match(/^https?:\S+\/authorize\?\S+$/m);
  if (url && !visited) {
    visited = true;
    await fetch(await allow(url[0], cookie));
  }
});
const status = await new Promise((resolve) => child.on("close", resolve));
console.log(output);
const named = (mark) => [...output.matchAll(new RegExp(`^${mark} ([a-z-]+)`, "gm"))].map(([, name]) => name);
console.log(JSON.stringify({ passed: named("✓"), failed: named("✗") }));
process.exitCode = status;
