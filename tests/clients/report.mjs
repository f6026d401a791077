// What every client script here does: connect to `URL` with the bearer token `KEY`, list the tools, call `echo`, and print
// one line of JSON. Anything that goes wrong ends the script with a message and status 1.

export const TEXT = "hello from outside";

/** `<script> URL KEY`, or `<script> URL` for a server that asks for no key. */
export function target() {
  const [url, key] = process.argv.slice(2);
  if (!url) throw new Error(`usage: ${process.argv[1]} URL [KEY]`);
  return { url: new URL(url), headers: key ? { Authorization: `Bearer ${key}` } : {} };
}

export function report(client, mode, tools, result) {
  const said = result?.content?.[0]?.text;
  if (said !== TEXT) throw new Error(`echo answered ${JSON.stringify(result)}`);
  const names = tools.map((tool) => tool.name);
  console.log(JSON.stringify({ client, mode, tools: names, result: said }));
}
