"""Tokens of an identity provider against a running server; every way around is in tests/unit/runtime/jwt_test.c."""

import uuid

import pytest
from harness.client import assert_problem, custom
from harness.keys import first_tenant, make_key
from harness.sse import StreamEnded
from harness.tokens import AUDIENCE, ISSUER, Provider
from harness.waiting import wait_until


class Realm:
    """A server that trusts one provider."""

    def __init__(self, own_box):
        self.provider = Provider()
        self.box = own_box({"auth.jwt_issuer": ISSUER, "auth.jwt_audience": AUDIENCE, "auth.cache_ms": 1000,
                            "auth.jwt_leeway_s": 0}, started=False)  # fmt: skip
        self.path = self.box.home / "jwks.json"
        self.write(self.provider)
        self.box.settings["auth.jwks_file"] = self.path
        self.box.start()
        self.tenant = first_tenant(self.box)

    def write(self, provider):
        self.path.write_text(provider.jwks())
        self.path.chmod(0o644)

    def client(self, **token):
        return self.box.client(self.provider.token(token.pop("tenant", self.tenant), **token))


@pytest.fixture
def realm(own_box):
    return Realm(own_box)


@pytest.mark.requirement("R172")
def test_tokens_open_what_their_scopes_say(realm):
    for kid in ("rsa", "ec", "ed", "shared"):
        client = realm.client(kid=kid)
        run_id = client.new_run()
        client.append(run_id, "CUSTOM", custom(1)["payload"])
        assert client.run(run_id)["last_seq"] == 2
    actors = realm.box.database().rows("select distinct created_by from runs")
    assert actors == [("user:ann",)]
    # The longest names fit into what events say of who did it, and stay different.
    wanted = ["u" * 242, "u" * 254 + "1", "u" * 254 + "2", "\u6f22" * 85]
    for name in wanted:
        client = realm.client(sub=name)
        run_id = client.new_run()
        assert client.post(f"/api/v1/runs/{run_id}/cancel", {}).status_code == 202
        (page,) = [e for e in client.get(f"/api/v1/runs/{run_id}/events").json()["events"] if "CANCEL" in e["type"]]
        assert page["payload"]["by"].startswith("user:" + name[:60]) and len(page["payload"]["by"].encode()) <= 255
    said = realm.box.database().rows("select distinct payload->>'by' from run_events where payload->>'by' is not null")
    assert len(said) == len(wanted)
    reader = realm.client(scope="read profile openid")
    assert reader.get("/api/v1/runs").status_code == 200
    assert_problem(reader.post("/api/v1/runs", {}), 403, "forbidden")
    assert_problem(realm.client(scope=None).get("/api/v1/runs"), 403, "forbidden")
    assert realm.client(scope=["read"]).get("/api/v1/runs").status_code == 200
    # Tenants are not the provider's to make, whatever it says.
    assert_problem(realm.client(scope="admin operator").post("/api/v1/tenants", {"name": "x"}), 403, "forbidden")
    who = realm.client().get("/api/v1/session").json()
    assert (who["kind"], who["user"], who["tenant_id"]) == ("token", "ann", str(realm.tenant))

    # And what must not open anything.
    good = realm.provider.token(realm.tenant)
    head, claims, signature = good.split(".")
    stranger = Provider()
    bad = {
        "other provider": stranger.token(realm.tenant), "expired": realm.provider.token(realm.tenant, lasts_s=-5),
        "no tenant": realm.provider.token(uuid.uuid4()), "audience": realm.provider.token(realm.tenant, aud="else"),
        "unsigned": f"{head}.{claims}.", "cut": good[:-4], "none": realm.provider.token(realm.tenant, header={"alg": "none"}),
        "confused": realm.provider.token(realm.tenant, kid="shared", header={"kid": "rsa"}),
        "jwk": realm.provider.token(realm.tenant, header={"jwk": {"kty": "oct", "k": "AA"}}),
        "swapped": f"{head}.{realm.provider.token(realm.tenant, sub='eve').split('.')[1]}.{signature}",
    }  # fmt: skip
    for name, text in bad.items():
        answer = realm.box.client(text).get("/api/v1/runs")
        assert answer.status_code == 401, name
        assert_problem(answer, 401, "unauthenticated")
    log = realm.box.log.text(whole=True)
    assert good not in log and claims not in log


@pytest.mark.slow
def test_a_token_ends_with_its_streams(realm):
    token = realm.provider.token(realm.tenant, lasts_s=4)
    brief = realm.box.client(token)
    run_id = realm.client().new_run()
    with realm.box.stream(run_id, key=token) as stream, realm.box.stream(run_id, key=realm.client().key) as kept:
        assert stream.take(1)[0][1] == kept.take(1)[0][1] == "RUN_STARTED"
        wait_until(lambda: brief.get("/api/v1/runs").status_code == 401, "the end of the token", 10)
        with pytest.raises(StreamEnded) as end:
            while True:
                stream.next_frame(10)
        assert not end.value.tidy
        realm.client().append(run_id, "CUSTOM", custom(1)["payload"])
        assert kept.next_event(5).seq == 2


def test_keys_of_a_provider_change_by_reload(realm):
    old, fresh = realm.client(), Provider()
    assert old.get("/api/v1/runs").status_code == 200
    realm.write(fresh)
    realm.box.command("reload")
    new = realm.box.client(fresh.token(realm.tenant))
    wait_until(lambda: new.get("/api/v1/runs").status_code == 200, "the new keys", 10)
    wait_until(lambda: old.get("/api/v1/runs").status_code == 401, "the end of the old ones", 10)
    # A file that is no key set changes nothing.
    realm.path.write_text("{")
    realm.box.allow_error("reload failed")
    assert realm.box.command("reload", check=False).returncode != 0
    assert new.get("/api/v1/runs").status_code == 200
    # Nor does one whose keys cannot be used; the log says so.
    realm.path.write_text('{"keys":[{"kty":"oct","k":"AA"}]}')
    realm.box.allow_error("keys for tokens are not taken")
    realm.box.command("reload", check=False)
    wait_until(lambda: "keys for tokens are not taken" in realm.box.log.text(whole=True), "the complaint", 10)
    assert new.get("/api/v1/runs").status_code == 200
    assert realm.box.client(make_key(realm.box)).get("/api/v1/runs").status_code == 200


def test_without_keys_there_are_no_tokens(box, client):
    token = Provider().token(first_tenant(box))
    assert_problem(box.client(token).get("/api/v1/runs"), 401, "unauthenticated")
