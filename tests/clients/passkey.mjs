// Registers a passkey in Chromium, with an authenticator that it simulates, and signs in with it.
import { strict as assert } from "node:assert";
import { chromium } from "./chromium.mjs";

const [link, org] = process.argv.slice(2);
const { origin } = new URL(link);
const browser = await chromium();
try {
  await browser.send("WebAuthn.enable");
  const options = { protocol: "ctap2", transport: "internal", hasResidentKey: true };
  const verified = { hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true };
  const made = await browser.send("WebAuthn.addVirtualAuthenticator", { options: { ...options, ...verified } });
  const { authenticatorId } = made;
  const on = (path) => `location.pathname === ${JSON.stringify(path)} && document.readyState === "complete"`;
  const shows = (words) => `document.body.innerText.includes(${JSON.stringify(words)})`;

  await browser.open(link);
  await browser.press("Sign in as owner");
  await browser.until(on("/account"));
  await browser.press("Register a passkey");
  await browser.until(shows("registered just now"));
  await browser.press("Sign out everywhere");
  await browser.until(shows("You are signed out"));

  const { credentials } = await browser.send("WebAuthn.getCredentials", { authenticatorId });
  assert.equal(credentials.length, 1);
  assert.equal(credentials[0].isResidentCredential, true);
  assert.equal(credentials[0].rpId, "localhost");
  for (let round = 0; round < 2; round += 1) {
    await browser.open(`${origin}/sign-in/${org}`);
    await browser.press("Sign in with a passkey");
    await browser.until(on("/account"));
    assert.match(await browser.text(), /signed in with a passkey/);
  }

  // Somebody else holds the device: it does not sign.
  await browser.send("WebAuthn.setUserVerified", { authenticatorId, isUserVerified: false });
  await browser.open(`${origin}/sign-in/${org}`);
  await browser.press("Sign in with a passkey");
  await browser.until(shows("That did not work"));
  await browser.send("WebAuthn.setUserVerified", { authenticatorId, isUserVerified: true });

  await browser.open(`${origin}/account`);
  await browser.press("Remove");
  await browser.until(`${on("/account")} && !${shows("registered just now")}`);
  await browser.open(`${origin}/sign-in/${org}`);
  await browser.press("Sign in with a passkey");
  await browser.until(shows("this passkey signs nobody in here"));
  console.log(JSON.stringify({ passkeys: "ok" }));
} finally {
  await browser.close();
}
