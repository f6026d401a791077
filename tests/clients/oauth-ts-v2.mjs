// The TypeScript SDK 2.x signs in by itself, from nothing but the URL. Usage: oauth-ts-v2.mjs '{"url":…,"cookie":…,"registration":{…}}'
// `registration` is {} (it registers itself), {"clientMetadataUrl"} or {"clientInformation"}.
import { Client, StreamableHTTPClientTransport, UnauthorizedError } from "@modelcontextprotocol/client";
import { allow } from "./browser.mjs";
import { report, TEXT } from "./report.mjs";

const { url, cookie, registration } = JSON.parse(process.argv[2]);
const REDIRECT = "http://127.0.0.1:9/callback";

class Provider {
  redirectUrl = REDIRECT;
  clientMetadataUrl = registration.clientMetadataUrl;
  #client = registration.clientInformation;
  #tokens;
  #verifier;
  #state = crypto.randomUUID();
  get clientMetadata() {
    return { client_name: "TypeScript SDK", redirect_uris: [REDIRECT], token_endpoint_auth_method: "none", grant_types: ["authorization_code", "refresh_token"], response_types: ["code"] };
  }
  state = () => this.#state;
  clientInformation = () => this.#client;
  saveClientInformation = (client) => { this.#client = client; };
  tokens = () => this.#tokens;
  saveTokens = (tokens) => { this.#tokens = tokens; };
  saveCodeVerifier = (verifier) => { this.#verifier = verifier; };
  codeVerifier = () => this.#verifier;
  redirectToAuthorization = async (to) => {
    this.callback = (await allow(to, cookie)).searchParams;
    if (this.callback.get("state") !== this.#state) throw new Error("another state came back");
  };
  expire = () => { this.#tokens = { ...this.#tokens, access_token: "expired" }; };
}

const provider = new Provider();
const connect = async () => {
  const client = new Client({ name: "ts-v2", version: "1.0.0" }, { versionNegotiation: { mode: "auto" } });
  const transport = new StreamableHTTPClientTransport(new URL(url), { authProvider: provider });
  try {
    await client.connect(transport);
  } catch (error) {
    if (!(error instanceof UnauthorizedError) || !provider.callback) throw error;
    await transport.finishAuth(provider.callback);
    provider.callback = undefined;
    return connect();
  }
  return client;
};
const client = await connect();
const { tools } = await client.listTools();
await client.callTool({ name: "echo", arguments: { text: TEXT } });
// Its access token is refused from here on: it refreshes without asking anybody.
provider.expire();
const result = await client.callTool({ name: "echo", arguments: { text: TEXT } });
report("ts-v2", Object.keys(registration)[0] ?? "dynamic", tools, result);
await client.close();
