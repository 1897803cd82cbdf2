"""The checker of histories accepts what can be explained, and nothing else."""

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from proof.linearizability import NEVER, UNANSWERED, Call, TooManyConfigurations, violation
from proof.one_key import (
    ABSENT,
    CONFLICT,
    DONE,
    NOT_FOUND,
    RETIRED,
    UNLIMITED,
    Create,
    Delete,
    Key,
    Rename,
    SetEnabled,
    State,
    TopUp,
    Verified,
    Verify,
    apply,
    changes_nothing,
)

KEY = Key("key_1", "old", True, 10)


def explained(calls: Sequence[Call], state: State = KEY) -> bool:
    return violation(calls, state, apply, changes_nothing=changes_nothing) is None


def explained_by_trying_everything(calls: Sequence[Call], state: State) -> bool:
    """The definition itself: some order, with any of the unanswered calls left out, keeps time and fits the answers."""
    unanswered = [call for call in calls if call.answer is UNANSWERED]
    position = {id(call): number for number, call in enumerate(calls)}
    for count in range(len(unanswered) + 1):
        for left_out in itertools.combinations(range(len(unanswered)), count):
            dropped = {id(unanswered[number]) for number in left_out}
            if any(_comes_before(calls, unanswered[number], dropped) for number in left_out):
                continue
            done = [call for call in calls if id(call) not in dropped]
            if any(_fits(order, state, position) for order in itertools.permutations(done)):
                return True
    return False


def _comes_before(calls: Sequence[Call], left_out: Call, dropped: set[int]) -> bool:
    """Whether something that came later on the connection of a call that is left out is not."""
    if left_out.connection is None:
        return False
    on_connection = [call for call in calls if call.connection == left_out.connection]
    behind = on_connection[[id(call) for call in on_connection].index(id(left_out)) + 1 :]
    return any(id(call) not in dropped and call.invoked <= left_out.responded for call in behind)


def _fits(order: Sequence[Call], state: Any, position: dict[int, int]) -> bool:
    for number, call in enumerate(order):
        for later in order[number + 1 :]:
            if later.responded < call.invoked:
                return False
            is_pipelined = call.connection is not None and call.connection == later.connection
            if is_pipelined and position[id(later)] < position[id(call)]:
                return False
        state, answer = apply(state, call.request)
        if call.answer is not UNANSWERED and answer != call.answer:
            return False
    return True


def valid(remaining: int, name: str = "old") -> Verified:
    return Verified("VALID", "key_1", name, remaining)


# Histories whose verdict is known


def test_one_after_the_other() -> None:
    """Calls that do not overlap are explained by their own order, and by no other."""
    spends = [Call(0, 1, Verify(3), valid(7)), Call(2, 3, Verify(3), valid(4))]
    assert explained(spends)
    assert not explained([Call(0, 1, Verify(3), valid(4)), Call(2, 3, Verify(3), valid(7))])


def test_calls_that_overlap_may_be_done_in_either_order() -> None:
    """Which of two calls at the same time came first, only their answers tell."""
    assert explained([Call(0, 5, Verify(3), valid(4)), Call(1, 3, Verify(3), valid(7))])
    assert explained([Call(0, 5, Rename("key_1", "new"), DONE), Call(1, 3, Verify(0), valid(10))])
    assert explained([Call(0, 5, Rename("key_1", "new"), DONE), Call(1, 3, Verify(0), valid(10, "new"))])


def test_of_one_instant_is_at_the_same_time() -> None:
    """A response and an invocation at the same instant have no order."""
    assert explained([Call(0, 1, Delete("key_1", True), DONE), Call(1, 2, Verify(0), valid(10))])


@pytest.mark.parametrize(
    "change", [Delete("key_1", True), Delete("key_1", False), SetEnabled("key_1", False), Rename("key_1", "new")]
)
def test_a_stale_read(change: Any) -> None:
    """A verification that began after the change was acknowledged and knows nothing of it has no explanation."""
    assert explained([Call(0, 2, change, DONE), Call(1, 3, Verify(0), valid(10))])
    assert not explained([Call(0, 2, change, DONE), Call(3, 4, Verify(0), valid(10))])


def test_a_read_that_goes_back() -> None:
    """Once the new name has been seen, the old one can not be, even while the change is still under way."""
    rename = Call(0, 9, Rename("key_1", "new"), DONE)
    assert not explained([rename, Call(1, 2, Verify(0), valid(10, "new")), Call(3, 4, Verify(0), valid(10))])
    assert explained([rename, Call(1, 2, Verify(0), valid(10)), Call(3, 4, Verify(0), valid(10, "new"))])


def test_what_changed_nothing_at_first_may_change_something_later() -> None:
    """A key that is enabled while it is disabled: that the former could come first must not decide that it did."""
    enable, disable = Call(0, 9, SetEnabled("key_1", True), DONE), Call(0, 9, SetEnabled("key_1", False), DONE)
    assert explained([enable, disable, Call(10, 11, Verify(0), valid(10))])
    assert explained([enable, disable, Call(10, 11, Verify(0), Verified("DISABLED", "key_1", "old", None))])
    renames = [Call(0, 9, Rename("key_1", name), DONE) for name in ("old", "new")]
    assert explained([*renames, Call(10, 11, Verify(0), valid(10))])


def test_a_lost_update() -> None:
    """Of two top-ups at the same time both must show."""
    top_ups = [Call(0, 5, TopUp("key_1", 5), 15), Call(1, 4, TopUp("key_1", 5), 20)]
    assert explained([*top_ups, Call(6, 7, Verify(0), valid(20))])
    assert not explained([*top_ups, Call(6, 7, Verify(0), valid(15))])
    assert not explained([Call(0, 5, TopUp("key_1", 5), 15), Call(1, 4, TopUp("key_1", 5), 15)])


def test_a_double_spend() -> None:
    """The last credit is spent once, by whichever of the callers."""
    last = Key("key_1", "old", True, 1)
    exceeded = Verified("USAGE_EXCEEDED", "key_1", "old", 0)
    assert explained([Call(0, 5, Verify(1), exceeded), Call(1, 4, Verify(1), valid(0))], last)
    assert not explained([Call(0, 5, Verify(1), valid(0)), Call(1, 4, Verify(1), valid(0))], last)


def test_one_of_several_creators_wins() -> None:
    """A secret is imported once, and again only when its key was deleted for good."""
    creates = [Call(0, 5, Create(f"key_{n}", "new", None), DONE if n == 2 else CONFLICT) for n in range(4)]
    assert explained(creates, ABSENT)
    assert not explained([*creates, Call(0, 5, Create("key_9", "new", None), DONE)], ABSENT)
    for permanent, answer in ((True, DONE), (False, CONFLICT)):
        story = [
            Call(0, 1, Create("key_1", "new", None), DONE),
            Call(2, 3, TopUp("key_1", 1), UNLIMITED),
            Call(2, 3, SetEnabled("key_1", False), DONE),
            Call(4, 5, Verify(1), Verified("DISABLED", "key_1", "new", None)),
            Call(6, 7, Delete("key_1", permanent), DONE),
            Call(8, 9, Rename("key_1", "late"), NOT_FOUND),
            Call(8, 9, Verify(1), NOT_FOUND),
            Call(10, 11, Create("key_2", "newer", None), answer),
        ]
        assert explained(story, ABSENT)
    assert not explained([Call(0, 1, Create("key_1", "new", None), DONE)], RETIRED)


# Calls without an answer


def test_an_unanswered_call_happened_or_did_not() -> None:
    """What got no answer may show or not show, but not both in turn."""
    spend = Call(0, NEVER, Verify(3))
    assert explained([spend, Call(1, 2, Verify(0), valid(10))])
    assert explained([spend, Call(1, 2, Verify(0), valid(7))])
    assert explained([spend, Call(1, 2, Verify(0), valid(10)), Call(3, 4, Verify(0), valid(7))])
    assert not explained([spend, Call(1, 2, Verify(0), valid(7)), Call(3, 4, Verify(0), valid(10))])
    assert not explained([spend, Call(1, 2, Verify(0), valid(4))])


def test_an_unanswered_call_does_not_outlive_its_process() -> None:
    """What a killed process had not done by its end is never done."""
    spend = Call(0, 5, Verify(3), UNANSWERED)
    before, after = Call(6, 7, Verify(0), valid(10)), Call(8, 9, Verify(0), valid(7))
    assert not explained([spend, before, after])
    assert explained([spend, Call(6, 7, Verify(0), valid(7)), after])
    assert explained([spend, Call(2, 7, Verify(0), valid(10)), after])
    assert explained([spend, before, Call(8, 9, Verify(0), valid(10))])


def test_nothing_is_done_before_it_is_asked_for() -> None:
    """An effect that shows before the call that would explain it began has no explanation."""
    assert not explained([Call(0, 1, Verify(0), valid(15)), Call(2, NEVER, TopUp("key_1", 5))])
    assert explained([Call(0, 3, Verify(0), valid(15)), Call(2, NEVER, TopUp("key_1", 5))])


# What is said about a violation, and how far the search goes


def test_a_violation_says_where_it_is() -> None:
    """The report ends with the state reached and the calls that can not follow."""
    found = violation([Call(0, 1, Verify(3), valid(7)), Call(2, 3, Verify(3), valid(3))], KEY, apply)
    assert found is not None
    assert [call.answer for call in found.explained] == [valid(7)]
    assert [call.answer for call in found.stuck] == [valid(3)]
    assert "remaining=7" in str(found)
    assert str(found).splitlines()[-1].startswith("  2..3 Verify(cost=3)")


def test_the_search_is_bounded() -> None:
    """A history that would take too long raises instead of hanging."""
    calls = [Call(n / 100, 5, Rename("key_1", str(n)), DONE) for n in range(30)]
    calls.append(Call(6, 7, Verify(0), valid(10, "never")))
    with pytest.raises(TooManyConfigurations):
        violation(calls, KEY, apply, max_configurations=1000)


def test_long_histories_with_a_few_at_a_time_are_quick() -> None:
    """What makes the search feasible is that no configuration is tried twice: 10,000 calls, 16 at a time."""
    calls = []
    state: Any = KEY._replace(remaining=10**6)
    for number in range(10_000):
        request = Rename("key_1", str(number % 7)) if number % 3 else Verify(1)
        state, answer = apply(state, request)
        calls.append(Call(number - 8, number + 8, request, answer))
    assert explained(calls, KEY._replace(remaining=10**6))


# Against the definition


REQUESTS = st.one_of(
    st.builds(Create, st.sampled_from(["key_1", "key_2"]), st.sampled_from(["a", "b"]), st.sampled_from([None, 2])),
    st.builds(Rename, st.just("key_1"), st.sampled_from(["a", "b"])),
    st.builds(SetEnabled, st.just("key_1"), st.booleans()),
    st.builds(TopUp, st.just("key_1"), st.integers(1, 2)),
    st.builds(Delete, st.just("key_1"), st.booleans()),
    st.builds(Verify, st.integers(0, 2)),
)
STATES = st.sampled_from([ABSENT, RETIRED, Key("key_1", "a", True, 1), Key("key_1", "b", False, None)])


@st.composite
def done_in_order(draw: st.DrawFn, *, max_size: int) -> tuple[State, list[Call]]:
    """A history made by doing calls one after the other, each at some instant inside its interval."""
    first = draw(STATES)
    state: Any = first
    calls = []
    for number, request in enumerate(draw(st.lists(REQUESTS, min_size=1, max_size=max_size))):
        invoked, responded = number - draw(st.floats(0, 4)), number + draw(st.floats(0, 4))
        kind = draw(st.sampled_from(["answered"] * 4 + ["lost", "never done"]))
        if kind == "never done":
            calls.append(Call(invoked, draw(st.sampled_from([responded, NEVER])), request))
            continue
        state, answer = apply(state, request)
        calls.append(Call(invoked, responded, request, answer if kind == "answered" else UNANSWERED))
    return first, draw(st.permutations(calls))


@given(done_in_order(max_size=40))
@settings(max_examples=150, deadline=None)
def test_what_was_done_in_some_order_is_accepted(history: tuple[State, list[Call]]) -> None:
    """A history that a sequential execution produced is explained, however its calls overlap."""
    state, calls = history
    assert explained(calls, state)


@given(done_in_order(max_size=40), st.integers(0, 39))
@settings(max_examples=150, deadline=None)
def test_an_answer_that_nothing_gives_is_rejected(history: tuple[State, list[Call]], which: int) -> None:
    """One answer changed to what no order of the calls can give is noticed."""
    state, calls = history
    answered = [number for number, call in enumerate(calls) if call.answer is not UNANSWERED]
    if not answered:
        return
    number = answered[which % len(answered)]
    wrong = Verified("VALID", "key_1", "a name nobody gave", 1)
    calls[number] = Call(calls[number].invoked, calls[number].responded, calls[number].request, wrong)
    assert not explained(calls, state)


@given(done_in_order(max_size=5), st.data())
@settings(max_examples=250, deadline=None)
def test_the_search_decides_as_the_definition_does(history: tuple[State, list[Call]], data: st.DataObject) -> None:
    """On small histories, half of them with exchanged answers, the verdict is that of trying every order."""
    state, calls = history
    if data.draw(st.booleans()):
        answers = data.draw(st.permutations([call.answer for call in calls]))
        calls = [Call(c.invoked, c.responded, c.request, a) for c, a in zip(calls, answers, strict=True)]
    assert explained(calls, state) == explained_by_trying_everything(calls, state)


KILLED = 100


@st.composite
def over_a_kill(draw: st.DrawFn) -> tuple[State, list[Call]]:
    """Two connections with a few calls one behind the other, of which a kill leaves some unanswered; then two reads."""
    first = draw(STATES)
    state: Any = first
    chains = {name: draw(st.lists(REQUESTS, max_size=3)) for name in ("one", "two")}
    names = draw(st.permutations([name for name, chain in chains.items() for _ in chain]))[:4]
    dead: set[str] = set()
    calls = []
    for number, name in enumerate(names):
        request = chains[name].pop(0)
        fate = draw(st.sampled_from(["answered", "answered", "not answered", "not done"]))
        if name in dead and fate == "answered":
            fate = "not answered"
        if fate != "answered":
            dead.add(name)
        if fate == "not done" or f"{name} stands still" in dead:
            dead.add(f"{name} stands still")
            calls.append(Call(number, KILLED, request, UNANSWERED, name))
            continue
        state, answer = apply(state, request)
        responded = KILLED if fate == "not answered" else number + draw(st.integers(0, 5)) + 0.5
        told = UNANSWERED if fate == "not answered" else answer
        calls.append(Call(draw(st.integers(0, number)), responded, request, told, name))
    for number in range(2):
        state, answer = apply(state, Verify(0))
        calls.append(Call(KILLED + 1 + 2 * number, KILLED + 2 + 2 * number, Verify(0), answer))
    return first, calls


@given(over_a_kill(), st.data())
@settings(max_examples=300, deadline=None)
def test_the_search_decides_as_the_definition_does_over_a_kill(
    history: tuple[State, list[Call]], data: st.DataObject
) -> None:
    """So it is with calls sent one behind the other, and those a kill left unanswered; unchanged they are accepted."""
    state, calls = history
    assert explained(calls, state)
    answered = [number for number, call in enumerate(calls) if call.answer is not UNANSWERED]
    answers = data.draw(st.permutations([calls[number].answer for number in answered]))
    for number, answer in zip(answered, answers, strict=True):
        calls[number] = Call(
            calls[number].invoked, calls[number].responded, calls[number].request, answer, calls[number].connection
        )
    assert explained(calls, state) == explained_by_trying_everything(calls, state)
