"""Parsing of frames: values, refusals and their status."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icey.errors import SignallingError
from icey.signalling.limits import Limits
from icey.signalling.messages import (
    Frame,
    check_room,
    check_rooms,
    decode,
    error_frame,
    extras_of,
    parse_auth,
)

LIMITS = Limits()

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def status_of(function, *arguments):
    with pytest.raises(SignallingError) as caught:
        function(*arguments)
    return caught.value.status


def test_reads_an_object():
    """A JSON object is read as it is."""
    assert decode('{"type":"auth","user":"é"}', LIMITS) == {"type": "auth", "user": "é"}


def refusal_or_value(function, *arguments):
    try:
        return function(*arguments)
    except SignallingError as error:
        return error.status


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "nonsense",
        "[]",
        '"text"',
        "null",
        "17",
        '{"a":NaN}',
        '{"a":-Infinity}',
        '{"a":1e999}',
        "{'a':1}",
        '{"a":1}{"b":2}',
        '{"a":' + "1" * 5000 + "}",
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"a":' + "[" * 32 + "]" * 32 + "}",
    ],
    ids=lambda text: text[:12],
)
def test_refuses_what_is_no_json_object(text):
    """Broken JSON, other values, numbers JSON cannot carry and deep nesting are 400."""
    assert status_of(decode, text, LIMITS) == 400


def test_allows_nesting_up_to_the_limit():
    """A message that nests 32 levels deep is accepted."""
    assert decode('{"a":' + "[" * 31 + "]" * 31 + "}", LIMITS)


@given(st.text())
def test_decode_raises_nothing_else(text):
    """Any text is either an object or a refusal."""
    outcome = refusal_or_value(decode, text, LIMITS)
    assert outcome == 400 or isinstance(outcome, dict)


def test_auth_with_every_field():
    """All fields of the specification's example arrive."""
    auth = parse_auth(
        {
            "type": "auth",
            "user": "alice",
            "name": "Alice",
            "token": "t",
            "data": {"peerType": "browser", "colour": "red", "id": "x", "online": False},
            "rooms": ["public", "den"],
        },
        LIMITS,
    )
    assert (auth.user, auth.name, auth.token, auth.kind) == ("alice", "Alice", "t", "browser")
    assert auth.extras == {"peerType": "browser", "colour": "red"}
    assert auth.rooms == ("public", "den")


def test_auth_does_not_show_its_token():
    """The repr of an auth does not have its token."""
    assert "s3cr3t" not in repr(parse_auth({"user": "alice", "token": "s3cr3t"}, LIMITS))


def test_auth_needs_only_a_user():
    """Everything but the user is optional; a stock client sends an empty name."""
    auth = parse_auth({"user": "bob", "name": "", "token": None}, LIMITS)
    assert (auth.name, auth.token, auth.kind, auth.extras, auth.rooms) == (
        "bob",
        "",
        "peer",
        {},
        (),
    )


@pytest.mark.parametrize(
    "user", [None, "", "   ", 7, ["a"], "a|b", "a\nb", "\x00", "\ud800", "x" * 65, "a\u202eb"]
)
def test_auth_refuses_unusable_users(user):
    """A missing user, or one that cannot be part of an address, is 401."""
    assert status_of(parse_auth, {"user": user}, LIMITS) == 401


@pytest.mark.parametrize(
    "field",
    [
        {"name": 7},
        {"name": "a\nb"},
        {"name": "x" * 129},
        {"token": 7},
        {"data": []},
        {"data": {"peerType": 5}},
        {"data": {"peerType": "x\u0000"}},
        {"data": {"blob": "x" * 2000}},
        {"rooms": "public"},
        {"rooms": [7]},
        {"rooms": [""]},
        {"rooms": ["a|b"]},
        {"rooms": ["x"] * 33},
    ],
    ids=lambda field: str(field)[:24],
)
def test_auth_refuses_other_fields_of_the_wrong_shape(field):
    """A field that is there must be usable: 400."""
    assert status_of(parse_auth, {"user": "alice", **field}, LIMITS) == 400


@given(st.dictionaries(st.sampled_from(["user", "name", "token", "data", "rooms"]), json_values))
def test_auth_raises_nothing_else(message):
    """Any object is either an auth or a refusal, and what comes out can be serialised."""
    outcome = refusal_or_value(parse_auth, message, LIMITS)
    assert outcome in (400, 401) or json.dumps(outcome.extras)


def test_room_names():
    """Rooms are non-empty printable texts without the separator of addresses."""
    assert check_room("den", LIMITS) == "den"
    assert check_rooms(None, LIMITS) == ()
    for bad in (None, "", " ", 3, "a|b", "a\x7f", "x" * 65, ["den"]):
        assert status_of(check_room, bad, LIMITS) == 400


def test_extras_leave_reserved_fields_out():
    """Extras do not hold the fields that the server writes."""
    data = {"id": 1, "user": 2, "name": 3, "type": 4, "online": 5, "mood": "good"}
    assert extras_of(data, LIMITS) == {"mood": "good"}


def test_a_frame_is_serialised_once_in_ascii():
    """A frame is serialised once, compactly, in ASCII."""
    frame = Frame({"a": "é", "b": "\ud800"})
    assert frame.text is frame.text
    assert frame.text == '{"a":"\\u00e9","b":"\\ud800"}'


def test_error_frames_tell_machine_and_person():
    """Status and message stand apart."""
    assert error_frame(429, "slower").message == {
        "type": "error",
        "status": 429,
        "message": "slower",
    }
