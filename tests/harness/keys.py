"""Tenants and api keys made by SQL as the owner, in the key format of the product."""

import hashlib
import secrets
import uuid

# The servers under test get this as auth.pepper, so that tests can make keys of their own.
PEPPER = "5d7c" * 16


def make_text() -> tuple:
    """(key, its public id): sbx_<public id>_<secret>_<checksum>."""
    public_id = secrets.token_hex(8)
    body = f"sbx_{public_id}_{secrets.token_hex(32)}_"
    checksum = hashlib.blake2b(body.encode(), digest_size=16).hexdigest()[:8]
    return body + checksum, public_id


def stored_hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=32, key=bytes.fromhex(PEPPER)).digest()


def first_tenant(server):
    public_id = server.api_key.split("_")[1]
    return server.database().value("select tenant_id from api_keys where public_id = %s", public_id)


def all_scopes(server) -> list:
    """Everything that stays within one tenant: what the first key has, but for operator."""
    public_id = server.api_key.split("_")[1]
    return server.database().value("select array_remove(scopes, 'operator') from api_keys where public_id = %s", public_id)


def make_key(server, tenant=None, scopes=None, lasts_s=None) -> str:
    """A key of `tenant` (default: the first one) with `scopes` (default: all), ending in lasts_s seconds."""
    text, public_id = make_text()
    server.database().execute(
        "insert into api_keys (key_id, tenant_id, public_id, hash, scopes, expires_at)"
        " values (%s, %s, %s, %s, %s, now() + make_interval(secs => %s))",
        uuid.uuid4(), tenant or first_tenant(server), public_id, stored_hash(text),
        all_scopes(server) if scopes is None else scopes, lasts_s,
    )  # fmt: skip
    return text


def make_tenant(server, name) -> str:
    """A key of a new tenant."""
    tenant = uuid.uuid4()
    server.database().execute("insert into tenants (tenant_id, name) values (%s, %s)", tenant, name)
    return make_key(server, tenant)


def revoke(server, key):
    server.database().execute(
        "update api_keys set revoked_at = now() where public_id = %s", key.split("_")[1]
    )
