// An OpenID Connect provider that is not ours, for one client: `oidc-provider`, certified by the OpenID Foundation. Prints its issuer
// when it is ready. Whatever name somebody signs in with there is their subject; `+` in it makes the e-mail address unverified.
import { createServer } from "node:http";
import Provider from "oidc-provider";

const [redirectUri, method] = process.argv.slice(2);
const server = createServer();
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: "ambit-gateway",
        ...(method !== "none" && { client_secret: "s e:c%ret+/=" }),
        token_endpoint_auth_method: method,
        redirect_uris: [redirectUri],
      },
    ],
    clientAuthMethods: [method],
    claims: { openid: ["sub"], email: ["email", "email_verified"], groups: ["groups"] },
    scopes: ["openid", "email", "groups"],
    conformIdTokenClaims: false,
    findAccount: (_context, id) => ({
      accountId: id,
      claims: () => ({
        sub: id,
        email: `${id}@acme.example`,
        email_verified: !id.includes("+"),
        groups: id.split("-").slice(1),
      }),
    }),
  });
  server.on("request", provider.callback());
  console.log(JSON.stringify({ issuer }));
});
