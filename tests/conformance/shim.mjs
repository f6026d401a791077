// The conformance suite cannot send a key, so it talks to this: a reverse proxy on loopback that adds one.
//
// All else passes as it came, streaming both ways: the Host header too, so that the checks against DNS rebinding reach
// the server behind.
import http from "node:http";

/** Starts the proxy before `url`; resolves to its own URL and a way to stop it. */
export async function shim(url, key) {
  const { protocol, hostname, port, pathname } = new URL(url);
  if (protocol !== "http:") throw new Error(`the shim speaks plain http only, not ${protocol}`);
  const server = http.createServer((request, response) => {
    const headers = { ...request.headers, authorization: `Bearer ${key}` };
    const onward = http.request({ hostname, port, path: request.url, method: request.method, headers });
    onward.on("response", (answer) => {
      response.writeHead(answer.statusCode, answer.rawHeaders);
      response.flushHeaders();
      answer.pipe(response);
    });
    onward.on("error", (error) => response.headersSent ? response.destroy(error) : response.writeHead(502).end(`${error}`));
    response.on("close", () => onward.destroy());
    request.pipe(onward);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const stop = () => { server.close(); server.closeAllConnections(); };
  return { url: `http://127.0.0.1:${server.address().port}${pathname}`, stop };
}
