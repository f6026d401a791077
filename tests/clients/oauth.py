"""The Python SDK 2.x signs in by itself, from nothing but the URL. Usage: oauth.py '{"url":…,"cookie":…,"registration":{…}}'"""

import asyncio
import html.parser
import json
import sys
from urllib.parse import parse_qs, urlsplit

import httpx2
from mcp.client import Client
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata

TEXT = "hello from outside"
REDIRECT = "http://127.0.0.1:9/callback"


class Storage:
    def __init__(self, client):
        self.client, self.tokens = client, None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client_info):
        self.client = client_info


class Inputs(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.fields = {}

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        chosen = found.get("type") not in ("checkbox", "radio") or "checked" in found
        if tag == "input" and "name" in found and chosen:
            self.fields[found["name"]] = found.get("value") or ""


async def allow(url: str, cookie: str) -> dict[str, str]:
    """What a person's browser does on the consent page: a person who is signed in says yes."""
    origin = "{0.scheme}://{0.netloc}".format(urlsplit(url))
    async with httpx2.AsyncClient(headers={"cookie": cookie}) as http:
        page = await http.get(url)
        inputs = Inputs()
        inputs.feed(page.text)
        if "request" not in inputs.fields:
            sys.exit(f"{page.status_code}: nobody was asked\n{page.text}")
        answer = await http.post(f"{origin}/authorize", data={**inputs.fields, "decision": "allow"}, headers={"origin": origin})
        back = answer.headers["location"]
    return {name: values[0] for name, values in parse_qs(urlsplit(back).query).items()}


async def main(url: str, cookie: str, registration: dict) -> None:
    came_back = {}

    async def redirect(to: str) -> None:
        came_back.update(await allow(to, cookie))

    async def callback() -> AuthorizationCodeResult:
        return AuthorizationCodeResult(code=came_back["code"], state=came_back["state"], iss=came_back["iss"])

    known = registration.get("clientInformation")
    storage = Storage(OAuthClientInformationFull(**known, redirect_uris=[REDIRECT]) if known else None)
    metadata = OAuthClientMetadata(
        client_name="Python SDK", redirect_uris=[REDIRECT], token_endpoint_auth_method=(known or {}).get("token_endpoint_auth_method", "none"),
        grant_types=["authorization_code", "refresh_token"], response_types=["code"],
    )
    provider = OAuthClientProvider(url, metadata, storage, redirect, callback, client_metadata_url=registration.get("clientMetadataUrl"))
    async with httpx2.AsyncClient(auth=provider) as http:
        async with Client(streamable_http_client(url, http_client=http), mode="auto") as client:
            tools = [tool.name for tool in (await client.list_tools()).tools]
            said = (await client.call_tool("echo", {"text": TEXT})).content[0].text
            if said != TEXT:
                sys.exit(f"echo answered {said!r}")
            print(json.dumps({"client": "python", "mode": next(iter(registration), "dynamic"), "tools": tools, "result": said}))


asyncio.run(main(**json.loads(sys.argv[1])))
