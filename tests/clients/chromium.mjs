// Chromium, by its own protocol (CDP): only what the tests need of it.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export async function chromium() {
  const profile = mkdtempSync(join(tmpdir(), "chromium-"));
  const options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"];
  const child = spawn("chromium", [...options, `--user-data-dir=${profile}`, "about:blank"], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  child.on("error", (error) => {
    console.error(`Chromium is missing (${error.message}): apt-get install chromium, or \`cargo verify\``);
    process.exit(1);
  });
  const browser = await new Promise((found, failed) => {
    let said = "";
    child.stderr.on("data", (text) => {
      said += text;
      const address = /ws:\/\/[^/]+/.exec(said);
      if (address) found(address[0].replace("ws:", "http:"));
    });
    child.on("exit", () => failed(new Error(`Chromium did not start: ${said}`)));
  });
  const pages = await (await fetch(`${browser}/json`)).json();
  const socket = new WebSocket(pages.find((page) => page.type === "page").webSocketDebuggerUrl);
  await new Promise((open) => socket.addEventListener("open", open));
  const waiting = new Map();
  let last = 0;
  socket.addEventListener("message", ({ data }) => {
    const { id, result, error } = JSON.parse(data);
    const [resolve, reject] = waiting.get(id) ?? [];
    if (error) reject?.(new Error(error.message));
    else resolve?.(result);
  });
  const send = (method, params = {}) =>
    new Promise((...settle) => {
      waiting.set((last += 1), settle);
      socket.send(JSON.stringify({ id: last, method, params }));
    });
  await send("Page.enable");

  const evaluate = async (expression) => {
    const { result, exceptionDetails } = await send("Runtime.evaluate", { expression, awaitPromise: true });
    if (exceptionDetails) throw new Error(`${expression}: ${exceptionDetails.text}`);
    return result.value;
  };
  // While a page loads there may be nothing to ask.
  const until = async (expression) => {
    for (let attempt = 0; attempt < 100; attempt += 1) {
      if (await evaluate(expression).catch(() => false)) return;
      await new Promise((later) => setTimeout(later, 100));
    }
    throw new Error(`not in ten seconds: ${expression}; ${await evaluate("document.body.innerText")}`);
  };
  const text = () => evaluate("document.body.innerText");
  return {
    send,
    text,
    until,
    async open(url) {
      await send("Page.navigate", { url });
      await until(`location.href === ${JSON.stringify(url)} && document.readyState === "complete"`);
    },
    async press(label) {
      const find = `[...document.querySelectorAll("button")].find((b) => b.innerText.startsWith(${JSON.stringify(label)}))`;
      await until(`Boolean(${find}?.checkVisibility())`);
      await evaluate(`${find}.click()`);
    },
    async close() {
      const gone = new Promise((exit) => child.removeAllListeners("exit").on("exit", exit));
      child.kill();
      await gone;
      rmSync(profile, { recursive: true, force: true });
    },
  };
}
