"""An identity provider for tests: keys of every kind, their JWK set, tokens signed with any of them."""

import base64
import hashlib
import hmac
import json
import time

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

ISSUER, AUDIENCE = "https://id.example", "signalbox"


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int, size: int | None = None) -> str:
    return b64(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


class Provider:
    def __init__(self):
        self.rsa = rsa.generate_private_key(65537, 2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.ed = ed25519.Ed25519PrivateKey.generate()
        self.secret = hashlib.sha256(b"a shared secret of 32 bytes").digest()

    def jwks(self) -> str:
        n, e = self.rsa.public_key().public_numbers(), self.ec.public_key().public_numbers()
        raw = self.ed.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return json.dumps({"keys": [
            {"kty": "RSA", "kid": "rsa", "alg": "RS256", "use": "sig", "n": number(n.n), "e": number(n.e)},
            {"kty": "EC", "kid": "ec", "crv": "P-256", "x": number(e.x, 32), "y": number(e.y, 32)},
            {"kty": "OKP", "kid": "ed", "crv": "Ed25519", "x": b64(raw)},
            {"kty": "oct", "kid": "shared", "k": b64(self.secret)},
        ]}, indent=1)  # fmt: skip

    def sign(self, kid, text: bytes) -> bytes:
        if kid == "rsa":
            return self.rsa.sign(text, padding.PKCS1v15(), hashes.SHA256())
        if kid == "ec":
            r, s = decode_dss_signature(self.ec.sign(text, ec.ECDSA(hashes.SHA256())))
            return r.to_bytes(32, "big") + s.to_bytes(32, "big")
        if kid == "ed":
            return self.ed.sign(text)
        return hmac.new(self.secret, text, "sha256").digest()

    def token(self, tenant, kid="rsa", header=None, lasts_s=600, **claims) -> str:
        algorithm = {"rsa": "RS256", "ec": "ES256", "ed": "EdDSA", "shared": "HS256"}[kid]
        head = {"alg": algorithm, "kid": kid, "typ": "JWT"} | (header or {})
        body = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "tenant_id": str(tenant), "exp": int(time.time()) + lasts_s,
                "scope": "read append admin"} | claims  # fmt: skip
        text = f"{b64(json.dumps(head).encode())}.{b64(json.dumps({k: v for k, v in body.items() if v is not None}).encode())}"
        return f"{text}.{b64(self.sign(kid, text.encode()))}"
