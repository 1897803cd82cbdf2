"""The pages of the ledger: for each kind of object what clients do with it, and what must be true of it.

Shared objects change by amounts, so that any order of what several clients did is right. Objects of a slot are changed
by that connection alone, so that after each answer it is known what they are.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from keystead.testing.connection import Connection
from proof.crash.books import Books, Deed, ask_all, everything_listed, expect_told
from proof.crash.undecided import Count, Step, Thing, expect

_GRANTED = 100_000_000
_LONG_MS = 100 * 365 * 86_400_000
"""A window that began in 1970 and ends with the century: what it admitted is not forgotten while anybody looks."""

_FAR_MS = 4_000_000_000_000
_PAST_MS = 1_000_000_000_000
_SAMPLE = 30
_MOST_KEYS_OF_A_SLOT = 12


class SharedBalance:
    """A key with plenty of credits that all clients spend, top up and take from."""

    def __init__(self, books: Books, client: Connection, api_id: str) -> None:
        self._books = books
        self._api_id = api_id
        self._key = books.create_key(client, api_id, remaining=_GRANTED)
        self.balance = Count(_GRANTED)

    def deed(self, slot: int) -> Deed:
        """A verification that costs something, or a change of the balance."""
        draw = self._books.random
        if draw.random() < 0.6:
            return self._spend(draw.randint(0, 3))
        op, sign = draw.choice([("increment", 1), ("decrement", -1)])
        value = draw.randint(1, 5)
        return Deed(
            "keys.updateRemaining",
            {"keyId": self._key["keyId"], "op": op, "value": value},
            lambda _: self.balance.add(sign * value),
            lambda is_repeated: self.balance.lose(sign * value, is_repeated=is_repeated),
            audit=[("key.update", self._key["keyId"], 1)],
            is_repeatable=True,
        )

    def _spend(self, cost: int) -> Deed:
        event = self._books.event(self._api_id, self._key["keyId"], "VALID")

        def acknowledged(answer: Any) -> None:
            expect_told(answer, valid=True)
            self.balance.add(-cost)
            event.add(1)

        def lost(_: bool) -> None:
            self.balance.lose(-cost)
            event.lose(1)

        return Deed("keys.verifyKey", {"key": self._key["key"], "remaining": {"cost": cost}}, acknowledged, lost)

    def compare(self, client: Connection, *, is_clean: bool) -> None:
        """The balance is what was granted, less what was spent."""
        found = client.get("keys.getKey", keyId=self._key["keyId"]).json["remaining"]
        self.balance.settle(found, "the shared balance", is_clean=is_clean)


class ScarceBalance:
    """A key whose last credits everybody wants; what is refused costs nothing, and nothing is spent twice."""

    def __init__(self, books: Books, client: Connection, api_id: str) -> None:
        self._books = books
        self._api_id = api_id
        self._key = books.create_key(client, api_id, remaining=20)
        self.balance = Count(20)

    def deed(self, slot: int) -> Deed:
        """A verification, or now and then a few credits more."""
        draw = self._books.random
        if draw.random() < 0.15:
            value = draw.randint(1, 9)
            return Deed(
                "keys.updateRemaining",
                {"keyId": self._key["keyId"], "op": "increment", "value": value},
                lambda _: self.balance.add(value),
                lambda is_repeated: self.balance.lose(value, is_repeated=is_repeated),
                audit=[("key.update", self._key["keyId"], 1)],
                is_repeatable=True,
            )
        cost = draw.randint(1, 3)
        event = partial(self._books.event, self._api_id, self._key["keyId"])

        def acknowledged(answer: Any) -> None:
            event(answer["code"]).add(1)
            if answer["valid"]:
                self.balance.add(-cost)
            else:
                expect_told(answer, code="USAGE_EXCEEDED")
                expect(answer["remaining"] < cost, f"refused {cost} with {answer['remaining']} credits left")

        def lost(_: bool) -> None:
            self.balance.lose(-cost)
            event("VALID").lose(1)
            event("USAGE_EXCEEDED").lose(1)

        return Deed("keys.verifyKey", {"key": self._key["key"], "remaining": {"cost": cost}}, acknowledged, lost)

    def compare(self, client: Connection, *, is_clean: bool) -> None:
        """The balance is what was granted, less what was spent, and never below nothing."""
        found = client.get("keys.getKey", keyId=self._key["keyId"]).json["remaining"]
        expect(found >= 0, f"the scarce balance is {found}")
        self.balance.settle(found, "the scarce balance", is_clean=is_clean)


class OwnKey(NamedTuple):
    """What updateKey can change of a key; JSON texts for what is an object there."""

    name: str | None = None
    meta: str | None = None
    enabled: bool = True
    expires: int | None = None
    external_id: str | None = None
    remaining: int | None = 50
    ratelimit: tuple[int, int] | None = None
    permissions: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()

    @property
    def outcome(self) -> str:
        """How it verifies at no cost."""
        return "DISABLED" if not self.enabled else "EXPIRED" if self.expires == _PAST_MS else "VALID"


class OwnKeys:
    """A key for each slot, of which everything is changed all the time."""

    def __init__(self, books: Books, client: Connection, api_id: str, slots: int) -> None:
        self._books = books
        self._api_id = api_id
        self._keys = [books.create_key(client, api_id, remaining=50) for _ in range(slots)]
        self.things = [Thing(OwnKey()) for _ in range(slots)]

    def deed(self, slot: int) -> Deed:
        """An update of some members, a change of the balance, or a verification that sees both."""
        kind = self._books.random.choices([self._update, self._change_balance, self._verify], [3, 2, 3])[0]
        return kind(slot, self._keys[slot], self.things[slot])

    def _changing(
        self,
        operation: str,
        members: dict[str, Any],
        key: dict[str, str],
        thing: Thing[OwnKey],
        step: Step[OwnKey],
        *,
        is_repeatable: bool = True,
    ) -> Deed:
        thing.begin(step)
        balance = thing.expected.remaining

        def acknowledged(answer: Any) -> None:
            if operation == "keys.updateRemaining":
                expect(answer == {"remaining": balance}, f"told {answer}, the balance must be {balance}")
            thing.acknowledge()

        return Deed(
            operation,
            {"keyId": key["keyId"], **members},
            acknowledged,
            lambda is_repeated: thing.lose(is_repeated=is_repeated),
            audit=[("key.update", key["keyId"], 1)],
            is_repeatable=is_repeatable,
        )

    def _update(self, _slot: int, key: dict[str, str], thing: Thing[OwnKey]) -> Deed:
        draw = self._books.random
        name, meta = draw.choice([None, f"name {draw.random()}"]), draw.choice([None, {"a": draw.random()}])
        expires, person = draw.choice([None, _FAR_MS, _PAST_MS]), draw.choice([None, f"person {draw.randint(1, 9)}"])
        limit, duration = draw.randint(10**6, 10**7), draw.choice([1000, 60_000])
        permissions = draw.sample([f"document.{n}" for n in range(6)], draw.randint(0, 3))
        roles = draw.sample([f"role {n}" for n in range(4)], draw.randint(0, 2))
        enabled, remaining = draw.random() < 0.7, draw.choice([None, draw.randint(0, 50)])
        choices: dict[str, tuple[Any, Any]] = {
            "name": (name, name),
            "meta": (meta, meta and json.dumps(meta, sort_keys=True)),
            "enabled": (enabled, enabled),
            "expires": (expires, expires),
            "externalId": (person, person),
            "remaining": (remaining, remaining),
            "ratelimit": draw.choice([(None, None), ({"limit": limit, "duration": duration}, (limit, duration))]),
            "permissions": ([{"slug": slug, "create": True} for slug in permissions], tuple(sorted(permissions))),
            "roles": ([{"name": role, "create": True} for role in roles], tuple(sorted(roles))),
        }
        chosen = draw.sample(sorted(choices), draw.randint(1, 4))
        values = {"external_id" if name == "externalId" else name: choices[name][1] for name in chosen}
        members = {name: choices[name][0] for name in chosen}
        return self._changing("keys.updateKey", members, key, thing, lambda state: state._replace(**values))

    def _change_balance(self, slot: int, key: dict[str, str], thing: Thing[OwnKey]) -> Deed:
        draw = self._books.random
        value = draw.randint(0, 40)
        op = "set" if thing.expected.remaining is None else draw.choice(["set", "increment", "decrement"])

        def step(state: OwnKey) -> OwnKey:
            before = state.remaining or 0
            after = {"set": value, "increment": before + value, "decrement": max(before - value, 0)}[op]
            # What is unlimited refuses to be changed by an amount.
            return state if state.remaining is None and op != "set" else state._replace(remaining=after)

        # Repeated alone it could be refused: what made the key limited may not have been done.
        is_repeatable = op == "set"
        members = {"op": op, "value": value}
        return self._changing("keys.updateRemaining", members, key, thing, step, is_repeatable=is_repeatable)

    def _verify(self, _slot: int, key: dict[str, str], thing: Thing[OwnKey]) -> Deed:
        cost = self._books.random.randint(0, 4)
        before = thing.expected
        outcome = before.outcome
        if outcome == "VALID" and before.remaining is not None and before.remaining < cost:
            outcome = "USAGE_EXCEEDED"
        event = self._books.event(self._api_id, key["keyId"], outcome)

        def step(state: OwnKey) -> OwnKey:
            if state.outcome != "VALID" or state.remaining is None or state.remaining < cost:
                return state
            return state._replace(remaining=state.remaining - cost)

        thing.begin(step)
        balance = thing.expected.remaining if outcome in ("VALID", "USAGE_EXCEEDED") else None

        def acknowledged(answer: Any) -> None:
            expect_told(answer, code=outcome, name=before.name, remaining=balance, ownerId=before.external_id)
            expect(sorted(answer["permissions"]) == list(before.permissions), f"{answer} must be of {before}")
            thing.acknowledge()
            event.add(1)

        def lost(_: bool) -> None:
            thing.lose()
            event.lose(1)

        return Deed("keys.verifyKey", {"key": key["key"], "remaining": {"cost": cost}}, acknowledged, lost)

    def compare(self, client: Connection, *, is_clean: bool) -> None:
        """Every member is as it was last set."""
        answers = ask_all(client, [("keys.getKey", {"keyId": key["keyId"]}, False) for key in self._keys])
        for key, thing, answer in zip(self._keys, self.things, answers, strict=True):
            thing.settle(_own_key(answer.json), f"key {key['keyId']}", is_clean=is_clean)


def _own_key(told: dict[str, Any]) -> OwnKey:
    limit = told.get("ratelimit")
    return OwnKey(
        name=told.get("name"),
        meta=json.dumps(told["meta"], sort_keys=True) if "meta" in told else None,
        enabled=told["enabled"],
        expires=told.get("expires"),
        external_id=told["identity"]["externalId"] if "identity" in told else None,
        remaining=told.get("remaining"),
        ratelimit=(limit["limit"], limit["duration"]) if limit else None,
        permissions=tuple(sorted(told["permissions"])),
        roles=tuple(sorted(told["roles"])),
    )


@dataclass(frozen=True)
class Kept:
    """A key of the keyring; `is_live` says whether it is there."""

    key_id: str
    secret: str
    name: str
    is_recoverable: bool
    is_live: Thing[bool]


class Keyring:
    """Keys that come and go; some can be decrypted."""

    def __init__(self, books: Books, client: Connection, slots: int) -> None:
        self._books = books
        self.api_id = books.create_api(client, "keyring", storeEncryptedKeys=True)
        # What the books themselves made there.
        self._others = {key["id"] for key in everything_listed(client, "apis.listKeys", "keys", apiId=self.api_id)}
        self._live: list[list[Kept]] = [[] for _ in range(slots)]
        self._dead: list[Kept] = []
        self._undecided: list[Kept] = []
        self._news: list[Kept] = []
        self._names_perhaps: set[str] = set()
        self._names = 0

    def deed(self, slot: int) -> Deed:
        """Create a key, delete one, or verify one that is there or no more."""
        draw, live = self._books.random, self._live[slot]
        kind = draw.random()
        if live and kind < len(live) / (2 * _MOST_KEYS_OF_A_SLOT):
            return self._delete(live.pop(draw.randrange(len(live))))
        if live and kind < 0.7:
            return self._verify(draw.choice([*live, *self._dead[-3:]]))
        return self._create(slot)

    def adopt(self, key_id: str, secret: str, name: str) -> None:
        """Take charge of a key that was made beside the slots."""
        self._books.audit["key.create", key_id].add(1)
        kept = Kept(key_id, secret, name, False, Thing(True))
        self._live[0].append(kept)
        self._news.append(kept)

    def _create(self, slot: int) -> Deed:
        self._names += 1
        name = f"created {self._names}"
        is_recoverable = self._books.random.random() < 0.4

        def acknowledged(answer: Any) -> None:
            kept = Kept(answer["keyId"], answer["key"], name, is_recoverable, Thing(True))
            self._books.audit["key.create", kept.key_id].add(1)
            self._live[slot].append(kept)
            self._news.append(kept)

        def lost(is_repeated: bool) -> None:
            if not is_repeated:
                self._names_perhaps.add(name)

        members = {"apiId": self.api_id, "name": name, "recoverable": is_recoverable, "prefix": self._books.prefix}
        return Deed("keys.createKey", members, acknowledged, lost, is_repeatable=True, repeated=acknowledged)

    def _delete(self, kept: Kept) -> Deed:
        def acknowledged(_: Any) -> None:
            kept.is_live.acknowledge()
            self._dead.append(kept)
            self._news.append(kept)

        def lost(is_repeated: bool) -> None:
            kept.is_live.lose(is_repeated=is_repeated)
            self._undecided.append(kept)

        kept.is_live.begin(lambda _: False)
        return Deed(
            "keys.deleteKey",
            {"keyId": kept.key_id, "permanent": self._books.random.random() < 0.5},
            acknowledged,
            lost,
            audit=[("key.delete", kept.key_id, 1)],
            is_repeatable=True,
        )

    def _verify(self, kept: Kept) -> Deed:
        is_live = kept.is_live.expected
        event = self._books.event(self.api_id, kept.key_id, "VALID")

        def acknowledged(answer: Any) -> None:
            expect_told(answer, code="VALID" if is_live else "NOT_FOUND", keyId=kept.key_id if is_live else None)
            event.add(is_live)

        return Deed("keys.verifyKey", {"key": kept.secret}, acknowledged, lambda _: event.lose(int(is_live)))

    def compare(self, client: Connection, *, is_clean: bool) -> None:
        """The listing has what was created and not deleted, once; secrets verify, and are decrypted, accordingly."""
        listed = {
            key["id"]: key
            for key in everything_listed(client, "apis.listKeys", "keys", apiId=self.api_id, decrypt="true")
            if key["id"] not in self._others
        }
        for kept in self._undecided:
            kept.is_live.settle(kept.key_id in listed, f"whether key {kept.key_id} is there", is_clean=is_clean)
            (self._live[0] if kept.is_live.expected else self._dead).append(kept)
        live = {kept.key_id: kept for keys in self._live for kept in keys}
        self._remove_strays(client, [key for key_id, key in listed.items() if key_id not in live], is_clean=is_clean)
        for key_id, kept in live.items():
            expect(key_id in listed, f"key {key_id} is gone")
            told = listed[key_id]
            plaintext = kept.secret if kept.is_recoverable else None
            expect(told.get("plaintext") == plaintext, f"the plaintext of key {key_id} is another one")
            expect(told["name"] == kept.name, f"key {key_id} is called {told['name']}")
        self._verify_some(client, [*self._news, *self._undecided, *self._sample(list(live.values()) + self._dead)])
        self._news, self._undecided, self._names_perhaps = [], [], set()

    def _remove_strays(self, client: Connection, strays: Sequence[dict[str, Any]], *, is_clean: bool) -> None:
        """Delete the keys whose creation got no answer; there is at most one of each."""
        perhaps = set() if is_clean else set(self._names_perhaps)
        for key in strays:
            expect(key["name"] in perhaps, f"key {key['id']} ({key['name']}) should not be there")
            perhaps.remove(key["name"])
            expect(client.post("keys.deleteKey", {"keyId": key["id"]}).status == 200, f"{key['id']} can't be deleted")
            self._books.audit["key.create", key["id"]].add(1)
            self._books.audit["key.delete", key["id"]].add(1)

    def _sample(self, keys: list[Kept]) -> list[Kept]:
        return self._books.random.sample(keys, min(len(keys), _SAMPLE))

    def _verify_some(self, client: Connection, keys: Sequence[Kept]) -> None:
        for kept, answer in zip(
            keys, ask_all(client, [("keys.verifyKey", {"key": kept.secret}, True) for kept in keys]), strict=True
        ):
            is_live = kept.is_live.expected
            expect_told(answer.json, code="VALID" if is_live else "NOT_FOUND")
            self._books.event(self.api_id, kept.key_id, "VALID").add(is_live)


class Identity(NamedTuple):
    """What there is of an identity: JSON of its meta, its limits by name."""

    meta: str
    limits: tuple[tuple[str, int, int], ...]


class Identities:
    """An identity for each slot, made, changed and deleted again and again."""

    def __init__(self, books: Books, slots: int) -> None:
        self._books = books
        self.things: list[Thing[Identity | None]] = [Thing(None) for _ in range(slots)]
        self._ids: list[str] = [""] * slots

    def deed(self, slot: int) -> Deed | None:
        """Its creation while there is none; else an update or its deletion."""
        thing = self.things[slot]
        if thing.is_waiting:  # its id may be on the way
            return None
        if thing.expected is None:
            return self._create(slot, thing)
        if self._books.random.random() < 0.3:
            return self._delete(slot, thing)
        return self._update(slot, thing)

    def _drawn(self) -> tuple[Identity, dict[str, Any]]:
        draw = self._books.random
        meta = {"n": draw.randint(0, 10**9)}
        limits = [(name, draw.randint(1, 99), 60_000) for name in draw.sample(["a", "b", "c"], draw.randint(0, 3))]
        members = {
            "meta": meta,
            "ratelimits": [dict(zip(("name", "limit", "duration"), lim, strict=True)) for lim in limits],
        }
        return Identity(json.dumps(meta), tuple(sorted(limits))), members

    def _create(self, slot: int, thing: Thing[Identity | None]) -> Deed:
        made, members = self._drawn()
        thing.begin(lambda _: made)

        def acknowledged(answer: Any) -> None:
            thing.acknowledge()
            self._ids[slot] = answer["identityId"]
            self._books.audit["identity.create", answer["identityId"]].add(1)

        def repeated(answer: Any) -> None:
            self._books.audit["identity.create", answer["identityId"]].add(1)

        return Deed(
            "identities.createIdentity",
            {"externalId": _external_id(slot), **members},
            acknowledged,
            lambda is_repeated: thing.lose(is_repeated=is_repeated),
            is_repeatable=True,
            repeated=repeated,
        )

    def _update(self, slot: int, thing: Thing[Identity | None]) -> Deed:
        changed, members = self._drawn()
        thing.begin(lambda state: state and changed)

        def acknowledged(answer: Any) -> None:
            expect(_identity(answer) == changed, f"told {answer}, it must be {changed}")
            thing.acknowledge()

        return Deed(
            "identities.updateIdentity",
            {"identityId": self._ids[slot], **members},
            acknowledged,
            lambda is_repeated: thing.lose(is_repeated=is_repeated),
            audit=[("identity.update", self._ids[slot], 1)],
            is_repeatable=True,
        )

    def _delete(self, slot: int, thing: Thing[Identity | None]) -> Deed:
        thing.begin(lambda _: None)
        return Deed(
            "identities.deleteIdentity",
            {"identityId": self._ids[slot]},
            lambda _: thing.acknowledge(),
            lambda is_repeated: thing.lose(is_repeated=is_repeated),
            audit=[("identity.delete", self._ids[slot], 1)],
            is_repeatable=True,
        )

    def compare(self, client: Connection, *, is_clean: bool) -> None:
        """It is there as it was last made or changed, or not there."""
        queries = [("identities.getIdentity", {"externalId": _external_id(s)}, False) for s in range(len(self.things))]
        for slot, (thing, answer) in enumerate(zip(self.things, ask_all(client, queries), strict=True)):
            found = _identity(answer.json) if answer.status == 200 else None
            thing.settle(found, f"identity {_external_id(slot)}", is_clean=is_clean)
            self._ids[slot] = answer.json["id"] if found else ""


def _external_id(slot: int) -> str:
    return f"identity of slot {slot}"


def _identity(told: dict[str, Any]) -> Identity:
    limits = [(limit["name"], limit["limit"], limit["duration"]) for limit in told["ratelimits"]]
    return Identity(json.dumps(told["meta"]), tuple(sorted(limits)))


class Overrides:
    """A namespace for each slot with one override that is set and deleted, and in force at once."""

    def __init__(self, books: Books, client: Connection, slots: int) -> None:
        self._books = books
        for slot in range(slots):
            client.post("ratelimits.limit", _limit(f"namespace {slot}", "somebody", 1, 60_000, cost=0))
        found = everything_listed(client, "ratelimits.listNamespaces", "namespaces")
        ids = {namespace["name"]: namespace["id"] for namespace in found}
        self._namespaces = [ids[f"namespace {slot}"] for slot in range(slots)]
        for namespace_id in self._namespaces:
            books.audit["ratelimitNamespace.create", namespace_id].add(1)
        self.things: list[Thing[tuple[int, int] | None]] = [Thing(None) for _ in range(slots)]

    def deed(self, slot: int) -> Deed:
        """Set it, delete it if it is there, or ask for a limit that it decides."""
        thing, kind = self.things[slot], self._books.random.random()
        if kind < 0.4:
            return self._ask(slot, thing)
        if kind < 0.6 and thing.expected is not None:
            return self._change(slot, thing, "ratelimits.deleteOverride", "ratelimit.delete_override", None)
        value = (self._books.random.randint(1, 10**6), self._books.random.choice([1000, 60_000]))
        return self._change(slot, thing, "ratelimits.setOverride", "ratelimit.set_override", value)

    def _change(
        self,
        slot: int,
        thing: Thing[tuple[int, int] | None],
        operation: str,
        event: str,
        value: tuple[int, int] | None,
    ) -> Deed:
        thing.begin(lambda _: value)
        members: dict[str, Any] = {"namespaceId": self._namespaces[slot], "identifier": "somebody"}
        if value is not None:
            members |= {"limit": value[0], "duration": value[1]}
        return Deed(
            operation,
            members,
            lambda _: thing.acknowledge(),
            lambda is_repeated: thing.lose(is_repeated=is_repeated),
            audit=[(event, self._namespaces[slot], 1)],
            # A deletion repeated alone could be refused: what set it may not have been done.
            is_repeatable=value is not None,
        )

    def _ask(self, slot: int, thing: Thing[tuple[int, int] | None]) -> Deed:
        limit, _ = thing.expected or (10**7, 1000)
        members = _limit(f"namespace {slot}", "somebody", 10**7, 1000, cost=0)
        return Deed("ratelimits.limit", members, lambda answer: expect_told(answer, limit=limit), lambda _: None)

    def compare(self, client: Connection, *, is_clean: bool) -> None:
        """It is there as it was last set, or not there."""
        queries = [
            ("ratelimits.getOverride", {"namespaceId": namespace_id, "identifier": "somebody"}, False)
            for namespace_id in self._namespaces
        ]
        for slot, (thing, answer) in enumerate(zip(self.things, ask_all(client, queries), strict=True)):
            found = (answer.json["limit"], answer.json["duration"]) if answer.status == 200 else None
            thing.settle(found, f"the override of slot {slot}", is_clean=is_clean)


class Limits:
    """A key and an identifier with a limit for a long window: what they admit never exceeds it, over any restarts.

    Once both are used up, they stay so for some comparisons; then others take their place.
    """

    _LIMIT = 150
    _USED_UP_FOR = 3

    def __init__(self, books: Books, client: Connection, api_id: str) -> None:
        self._books = books
        self._api_id = api_id
        self._generation = 0
        self._begin(client)

    def _begin(self, client: Connection) -> None:
        self._generation += 1
        self._used_up = 0
        self._identifier = f"user {self._generation}"
        limit = {"limit": self._LIMIT, "duration": _LONG_MS}
        self._key = self._books.create_key(client, self._api_id, ratelimit=limit)
        self.passed = Count()
        self.verified = Count()

    def deed(self, slot: int) -> Deed:
        """A verification of the key or a request of the identifier."""
        return self._verify() if self._books.random.random() < 0.5 else self._pass()

    def _verify(self) -> Deed:
        verified, event = self.verified, partial(self._books.event, self._api_id, self._key["keyId"])

        def acknowledged(answer: Any) -> None:
            expect(answer["code"] in ("VALID", "RATE_LIMITED"), f"{answer}")
            event(answer["code"]).add(1)
            self._admitted(verified, is_admitted=answer["valid"], remaining=answer["ratelimit"]["remaining"])

        def lost(_: bool) -> None:
            verified.lose(1)
            event("VALID").lose(1)
            event("RATE_LIMITED").lose(1)

        return Deed("keys.verifyKey", {"key": self._key["key"]}, acknowledged, lost)

    def _pass(self) -> Deed:
        passed = self.passed

        def acknowledged(answer: Any) -> None:
            self._admitted(passed, is_admitted=answer["success"], remaining=answer["remaining"])

        members = _limit("the limited", self._identifier, self._LIMIT, _LONG_MS, cost=1)
        return Deed("ratelimits.limit", members, acknowledged, lambda _: passed.lose(1))

    def _admitted(self, count: Count, *, is_admitted: bool, remaining: int) -> None:
        if is_admitted:
            count.add(1)
            expect(count.acknowledged <= self._LIMIT, f"{count.acknowledged} admitted, {self._LIMIT} are allowed")
        else:
            expect(remaining == 0, f"refused with {remaining} left")

    def compare(self, client: Connection, *, is_clean: bool) -> None:
        """Each counter stands at what it admitted."""
        for name, count, remaining in (
            ("passed", self.passed, self._remaining_of_identifier(client)),
            ("verified", self.verified, self._remaining_of_key(client)),
        ):
            low, high = count.bounds(is_clean=is_clean)
            found = self._LIMIT - remaining
            # A call without an answer may have been refused; at the limit nothing more is counted.
            expect(min(low, self._LIMIT) <= found <= high, f"{name}: {found} counted, {low} to {high} were admitted")
            count.settle(found, f"the number {name}", is_clean=is_clean)
        self._used_up += self.passed.acknowledged == self.verified.acknowledged == self._LIMIT
        if self._used_up == self._USED_UP_FOR:
            self._begin(client)

    def _remaining_of_identifier(self, client: Connection) -> int:
        members = _limit("the limited", self._identifier, self._LIMIT, _LONG_MS, cost=0)
        remaining: int = client.post("ratelimits.limit", members).json["remaining"]
        return remaining

    def _remaining_of_key(self, client: Connection) -> int:
        members = {"key": self._key["key"], "ratelimits": [{"name": "default", "cost": 0}]}
        answer = client.post("keys.verifyKey", members).json
        self._books.event(self._api_id, self._key["keyId"], answer["code"]).add(1)
        remaining: int = answer["ratelimit"]["remaining"]
        return remaining


class Roles:
    """A role for each slot whose permissions are replaced, seen at once by a key that has it."""

    def __init__(self, books: Books, client: Connection, api_id: str, slots: int) -> None:
        self._books = books
        self._api_id = api_id
        self._ids = [
            client.post("permissions.createRole", {"name": f"role of slot {slot}"}).json["roleId"]
            for slot in range(slots)
        ]
        self._keys = [books.create_key(client, api_id, roles=[f"role of slot {slot}"]) for slot in range(slots)]
        for role_id in self._ids:
            books.audit["role.create", role_id].add(1)
        self.things: list[Thing[tuple[str, ...]]] = [Thing(()) for _ in range(slots)]

    def deed(self, slot: int) -> Deed:
        """Replace the permissions, or look at them through the key."""
        return self._verify(slot) if self._books.random.random() < 0.5 else self._replace(slot)

    def _replace(self, slot: int) -> Deed:
        draw, thing, role_id = self._books.random, self.things[slot], self._ids[slot]
        before = set(thing.expected)
        after = tuple(sorted(draw.sample([f"file.{n}" for n in range(6)], draw.randint(0, 4))))
        thing.begin(lambda _: after)

        def acknowledged(answer: Any) -> None:
            told = sorted(permission["name"] for permission in answer)
            expect(told == list(after), f"told {told}, it must be {after}")
            thing.acknowledge()

        # Its entries depend on what was there before, so it is not repeated.
        return Deed(
            "permissions.setRolePermissions",
            {"roleId": role_id, "permissions": [{"slug": slug, "create": True} for slug in after]},
            acknowledged,
            lambda _: thing.lose(),
            audit=[
                ("authorization.connect_role_and_permission", role_id, len(set(after) - before)),
                ("authorization.disconnect_role_and_permission", role_id, len(before - set(after))),
            ],
        )

    def _verify(self, slot: int) -> Deed:
        permissions = self.things[slot].expected
        event = self._books.event(self._api_id, self._keys[slot]["keyId"], "VALID")

        def acknowledged(answer: Any) -> None:
            told = sorted(answer["permissions"])
            expect(told == list(permissions), f"told {told}, it must be {permissions}")
            event.add(1)

        return Deed("keys.verifyKey", {"key": self._keys[slot]["key"]}, acknowledged, lambda _: event.lose(1))

    def compare(self, client: Connection, *, is_clean: bool) -> None:
        """It has the permissions that it was last given."""
        asked = ask_all(client, [("keys.verifyKey", {"key": key["key"]}, True) for key in self._keys])
        for slot, (key, thing, answer) in enumerate(zip(self._keys, self.things, asked, strict=True)):
            self._books.event(self._api_id, key["keyId"], "VALID").add(1)
            found = tuple(sorted(answer.json["permissions"]))
            thing.settle(found, f"the permissions of role {slot}", is_clean=is_clean)


class Apis:
    """An api for each slot that is renamed."""

    def __init__(self, books: Books, client: Connection, slots: int) -> None:
        self._books = books
        self._ids = [client.post("apis.createApi", {"name": "first"}).json["apiId"] for _ in range(slots)]
        for api_id in self._ids:
            books.audit["api.create", api_id].add(1)
        self.things = [Thing("first") for _ in range(slots)]

    def deed(self, slot: int) -> Deed:
        """Give it another name."""
        thing, name = self.things[slot], f"name {self._books.random.random()}"
        thing.begin(lambda _: name)
        return Deed(
            "apis.updateApi",
            {"apiId": self._ids[slot], "name": name},
            lambda _: thing.acknowledge(),
            lambda is_repeated: thing.lose(is_repeated=is_repeated),
            audit=[("api.update", self._ids[slot], 1)],
            is_repeatable=True,
        )

    def compare(self, client: Connection, *, is_clean: bool) -> None:
        """It has its last name."""
        asked = ask_all(client, [("apis.getApi", {"apiId": api_id}, False) for api_id in self._ids])
        for api_id, thing, answer in zip(self._ids, self.things, asked, strict=True):
            thing.settle(answer.json["name"], f"the name of {api_id}", is_clean=is_clean)


def _limit(namespace: str, identifier: str, limit: int, duration_ms: int, *, cost: int) -> dict[str, Any]:
    return {"namespace": namespace, "identifier": identifier, "limit": limit, "duration": duration_ms, "cost": cost}
