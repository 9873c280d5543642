"""Addresses of boards."""

import pytest

from fewstep.devices.address import Address
from fewstep.devices.ssh import Remote
from fewstep.errors import FewstepError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ssh://pi@raspberrypi.local", Address("raspberrypi.local", "pi")),
        ("ssh://orin:2222", Address("orin", None, 2222)),
        ("ssh://u@[fe80::1]:22", Address("fe80::1", "u", 22)),
    ],
)
def test_an_address_is_read_and_written(text: str, address: Address) -> None:
    assert Address.parse(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("ssh://pi:secret@board", "without a password"),
        ("board", "expected ssh://USER@HOST"),
        ("http://board", "expected ssh://USER@HOST"),
        ("ssh://board/folder", "expected ssh://USER@HOST"),
        ("ssh://-oProxyCommand=x", "the host '-oproxycommand=x'"),
        ("ssh://-oProxyCommand=x@board", "the user '-oProxyCommand=x'"),
        ("ssh://board:0", "expected a port from 1 to 65535, found 0"),
        ("ssh://board:x", "expected ssh://USER@HOST"),
    ],
)
def test_what_is_no_address_is_refused(text: str, part: str) -> None:
    with pytest.raises(FewstepError) as refused:
        Address.parse(text)
    assert part in str(refused.value)
    assert "secret" not in str(refused.value)


def test_words_are_quoted_for_the_far_shell() -> None:
    command = Remote(Address("board", "pi", 22)).command(["echo", "a b; rm -rf ~"])
    assert command[-2:] == ["board", "echo 'a b; rm -rf ~'"]
    assert "-oStrictHostKeyChecking=yes" in command
    assert "-oBatchMode=yes" in command
