// What a person's browser does on the consent page, without one: it shows who asks, and a person who is signed in says yes.
// Answers the address that the browser is sent to, which is the client's.
export async function allow(url, cookie) {
  const page = await fetch(url, { headers: { cookie }, redirect: "manual" });
  const html = await page.text();
  const fields = new URLSearchParams();
  for (const [input] of html.matchAll(/<input [^>]*>/g)) {
    const attribute = (name) => input.match(new RegExp(`\\b${name}="([^"]*)"`))?.[1];
    const chosen = !["checkbox", "radio"].includes(attribute("type")) || /\bchecked\b/.test(input);
    if (attribute("name") && chosen) fields.append(attribute("name"), attribute("value") ?? "");
  }
  if (!fields.has("request")) throw new Error(`${page.status} ${page.headers.get("location") ?? ""}: nobody was asked\n${html}`);
  fields.append("decision", "allow");
  const answer = await fetch(new URL("/authorize", url), {
    method: "POST",
    headers: { cookie, origin: new URL(url).origin, "content-type": "application/x-www-form-urlencoded" },
    body: fields.toString(),
    redirect: "manual",
  });
  const back = answer.headers.get("location");
  if (!back) throw new Error(`${answer.status}: no way back\n${await answer.text()}`);
  return new URL(back);
}
