#!/usr/bin/python3
"""Who may include and call whom: lower never knows upper, no actor knows another, one file each talks to a service.

An exception is a comment `allows include: why` on the line or the line above it.
"""

import re
import sys

from tree import c_files, is_excepted, read, report, without

# Folder -> beginnings of quoted includes it may use, besides its own files. The longest folder wins.
MAY_INCLUDE = {
    "supervisor/": ["runtime/base/", "proto/child_contract.h"],
    "actors/runtime/base/": [],
    "actors/runtime/": ["runtime/", "proto/", "contracts/"],
    "proto/": [],
    "contracts/": [],
    "ops/": ["runtime/base/", "runtime/api_key.h", "runtime/store_invariants.h", "proto/", "contracts/generated/"],
    "tests/": [""],
}
ACTOR_MAY_INCLUDE = ["runtime/", "proto/", "contracts/"]

# A library's header -> files that may include it; its calls may stand nowhere else either.
LIBRARIES = {
    "zmq": (r"zmq\.h", r"\bzmq_\w+\s*\(", ["actors/runtime/bus.c"]),
    "libpq": (r"libpq-fe\.h", r"\bPQ[a-z]\w+\s*\(", ["actors/runtime/db.c", "actors/runtime/db_result.", "ops/cli/"]),
    "hiredis": (r"hiredis.*\.h", r"\bredis(?:Async|Command|AppendCommand|Connect|Reader|Free)\w*\s*\(",
                ["actors/runtime/redis.c"]),
    "openssl": (r"openssl/.*\.h", r"\bEVP_\w+\s*\(", ["actors/runtime/jwt_key.c", "actors/runtime/ws_accept.c"]),
    "wslay": (r"wslay/.*\.h", r"\bwslay_\w+\s*\(", ["actors/runtime/ws_codec.c"]),
    "jansson": (r"jansson\.h", None, ["actors/runtime/json.", "actors/api/", "ops/cli/"]),
    "libcurl": (r"curl/.*\.h", r"\bcurl_\w+\s*\(", ["actors/runtime/http_client.c", "ops/cli/"]),
    "libconfuse": (r"confuse\.h", r"\bcfg_\w+\s*\(", ["ops/cli/"]),
    "msgpack": (r"msgpack.*\.h", r"\bmsgpack_pack_\w+\s*\(", ["proto/", "actors/", "ops/"]),
    "libevent": (r"event2/.*\.h", None, ["actors/"]),
    "libsodium": (r"sodium.*\.h", None, ["actors/", "ops/"]),
}
NO_LIBRARY = ("supervisor/", "actors/runtime/base/")  # libc only, whatever the table above says


def folder_of(name):
    """The layer a file belongs to: its folder of the table, or actors/NAME/."""
    parts = name.split("/")
    if parts[0] == "actors" and parts[1] != "runtime":
        return f"actors/{parts[1]}/"
    return max((folder for folder in MAY_INCLUDE if name.startswith(folder)), key=len, default=None)


def allowed(folder, included):
    own = folder.removeprefix("actors/")
    if included.startswith(own) or "/" not in included:
        return True
    return any(included.startswith(start) for start in MAY_INCLUDE.get(folder, ACTOR_MAY_INCLUDE))


def check_includes(name, text, offences):
    folder = folder_of(name)
    if folder is None:
        offences.append(f"{name}: C outside the folders of the layers")
        return
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'\s*#\s*include\s+([<"])([^>"]+)[>"]', line)
        if not match or is_excepted(text, number, "include"):
            continue
        if match[1] == '"':
            if not allowed(folder, match[2]):
                offences.append(f"{name}:{number}: {folder} may not include {match[2]}")
        elif not name.startswith("tests/"):
            check_library_header(name, number, match[2], offences)


def check_library_header(name, number, header, offences):
    for library, (pattern, _, places) in LIBRARIES.items():
        if re.fullmatch(pattern, header) and (name.startswith(NO_LIBRARY) or not name.startswith(tuple(places))):
            offences.append(f"{name}:{number}: {library} may be used in {', '.join(places)} only")


def check_calls(name, text, offences):
    clean = without(text)
    for library, (_, calls, places) in LIBRARIES.items():
        if calls is None or name.startswith(tuple(places)) or name.startswith("tests/"):
            continue
        for match in re.finditer(calls, clean):
            number = clean.count("\n", 0, match.start()) + 1
            offences.append(f"{name}:{number}: {match[0].rstrip('( ')} belongs into {', '.join(places)}")


def main():
    offences = []
    for name in c_files():
        text = read(name)
        check_includes(name, text, offences)
        check_calls(name, text, offences)
    return report(offences)


sys.exit(main())
