// The only script there is: it asks the browser for a passkey and puts the answer into the form that asked. Without it, without
// passkeys, or without a device that has any, the forms stay hidden and everything else works.
"use strict";

const decode = (text) =>
  Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
const encode = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");

const create = ({ challenge, party, user, name }) =>
  navigator.credentials.create({
    publicKey: {
      challenge: decode(challenge),
      rp: { id: party, name: "Ambit" },
      user: { id: new TextEncoder().encode(user), name, displayName: name },
      pubKeyCredParams: [-7, -8].map((alg) => ({ type: "public-key", alg })),
      authenticatorSelection: { residentKey: "required", userVerification: "required" },
      attestation: "none",
    },
  });
const get = ({ challenge, party }) =>
  navigator.credentials.get({
    publicKey: { challenge: decode(challenge), rpId: party, userVerification: "required" },
  });

for (const form of document.querySelectorAll("form[data-passkey]")) {
  if (!window.PublicKeyCredential) continue;
  form.hidden = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const asks = form.dataset;
      const made = await (asks.passkey === "create" ? create(asks) : get(asks));
      const { response } = made;
      const answer = { id: made.id, client_data: encode(response.clientDataJSON) };
      if (asks.passkey === "create") {
        answer.authenticator_data = encode(response.getAuthenticatorData());
        answer.public_key = encode(response.getPublicKey());
      } else {
        answer.authenticator_data = encode(response.authenticatorData);
        answer.signature = encode(response.signature);
      }
      for (const [field, value] of Object.entries(answer)) form.elements[field].value = value;
      form.submit();
    } catch (error) {
      form.querySelector("output").textContent = `That did not work: ${error.message}`;
    }
  });
}
