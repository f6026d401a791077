"""The Python SDK 2.x, in each way it can find out a server's era. Usage: client.py URL [KEY]"""

import asyncio
import json
import sys

import httpx2
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

TEXT = "hello from outside"


async def main(url: str, key: str | None = None) -> None:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    for mode in ("auto", "legacy", "2026-07-28"):
        async with httpx2.AsyncClient(headers=headers) as http:
            async with Client(streamable_http_client(url, http_client=http), mode=mode) as client:
                tools = [tool.name for tool in (await client.list_tools()).tools]
                result = await client.call_tool("echo", {"text": TEXT})
                said = result.content[0].text
                if said != TEXT:
                    sys.exit(f"echo answered {result!r}")
                print(json.dumps({"client": "python", "mode": mode, "tools": tools, "result": said}))


asyncio.run(main(*sys.argv[1:]))
