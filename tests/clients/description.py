"""Holds schemas/openapi.yaml to the gateway: the same operations, and answers that fit. Reads both from standard input."""

import json
import pathlib
import re
import sys

import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

FOLDER = pathlib.Path(__file__).parents[2] / "schemas"
HOME = FOLDER.as_uri() + "/openapi.yaml"
METHODS = {"get", "put", "post", "patch", "delete"}

description = yaml.safe_load((FOLDER / "openapi.yaml").read_text())
given = json.load(sys.stdin)


def retrieve(uri):
    return Resource.from_contents(json.loads((FOLDER / uri.rsplit("/", 1)[1]).read_text()), DRAFT202012)


registry = Registry(retrieve=retrieve).with_resource(HOME, Resource(description, DRAFT202012))
wrong = []


def resolve(node):
    while "$ref" in node:
        place = description
        for part in node["$ref"].removeprefix("#/").split("/"):
            place = place[part]
        node = place
    return node


# The same operations, both ways.
described = {}
for path, item in description["paths"].items():
    for method, operation in item.items():
        if method in METHODS:
            described[(method.upper(), path.removeprefix("/"))] = operation
done = {(method, path): name for method, path, name in given["operations"]}
wrong += [f"{method} {path} is not described" for method, path in done.keys() - described.keys()]
wrong += [f"{method} {path} is described and not there" for method, path in described.keys() - done.keys()]
for key, name in done.items():
    if key in described and described[key]["operationId"] != name:
        wrong.append(f"{key}: `{described[key]['operationId']}` is `{name}`")
for (method, path), operation in described.items():
    names = [resolve(parameter)["name"] for parameter in description["paths"]["/" + path].get("parameters", [])]
    if sorted(names) != sorted(re.findall(r"\{(\w+)\}", path)):
        wrong.append(f"{path}: its parameters are {names}")

# Answers.
patterns = [(re.compile("^" + re.sub(r"\{\w+\}", "[^/]+", path) + "$"), method, path) for method, path in described]
patterns.sort(key=lambda pattern: pattern[2].count("{"))
validators = {}
used = set()
for seen in given["seen"]:
    path = seen["path"].split("?")[0].removeprefix("/")
    found = next((p for pattern, method, p in patterns if method == seen["method"] and pattern.match(path)), None)
    if found is None:
        if seen["status"] not in (404, 405, 401):
            wrong.append(f"{seen['method']} {path}: {seen['status']} where nothing is described")
        continue
    place = f"{seen['method']} {found}: {seen['status']}"
    used.add((seen["method"], found))
    answers = described[(seen["method"], found)]["responses"]
    if str(seen["status"]) not in answers:
        wrong.append(f"{place} is not described: {seen['body'][:200]}")
        continue
    answer = resolve(answers[str(seen["status"])])
    content = answer.get("content")
    if not content:
        if seen["body"]:
            wrong.append(f"{place} has a body: {seen['body'][:200]}")
        continue
    kind = (seen["type"] or "").split(";")[0]
    if kind not in content:
        wrong.append(f"{place} is of type `{kind}`")
        continue
    headers = answer.get("headers", {})
    for name, member in (("ETag", "etag"), ("Location", "location"), ("Retry-After", "retryAfter")):
        if name in headers and not seen[member]:
            wrong.append(f"{place} lacks {name}")
    key = (seen["method"], found, seen["status"])
    if key not in validators:
        schema = json.dumps(content[kind]["schema"]).replace('"#/', f'"{HOME}#/')
        validators[key] = Draft202012Validator(json.loads(schema), registry=registry)
    for error in validators[key].iter_errors(json.loads(seen["body"])):
        wrong.append(f"{place}: {error.json_path}: {error.message[:300]}")

if wrong:
    print("\n".join(sorted(set(wrong))))
    sys.exit(1)
print(f"{len(given['seen'])} answers of {len(used)} of {len(described)} operations are as described")
