// A provider of accounts that is not ours: `oidc-provider`, certified by the OpenID Foundation, with short-lived access tokens, refresh
// tokens that rotate at every use, detection of their reuse, and revocation (RFC 7009). Prints its issuer when it is ready.
import { createServer } from "node:http";
import Provider from "oidc-provider";

const [redirectUri] = process.argv.slice(2);
const server = createServer();
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: "ambit-at-provider",
        client_secret: "p r:o%v+/=",
        grant_types: ["authorization_code", "refresh_token"],
        redirect_uris: [redirectUri],
      },
    ],
    claims: { openid: ["sub"], email: ["email"] },
    features: { revocation: { enabled: true } },
    rotateRefreshToken: true,
    ttl: { AccessToken: 5 },
    findAccount: (_context, id) => ({ accountId: id, claims: () => ({ sub: id, email: `${id}@there.example` }) }),
  });
  server.on("request", provider.callback());
  console.log(JSON.stringify({ issuer }));
});
