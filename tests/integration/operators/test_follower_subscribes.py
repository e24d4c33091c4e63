"""Heads that a node announces are followed at once; polling alone would take hours here."""

from __future__ import annotations

import pytest

from tests.integration.operators.following import follow
from tests.services import Chain, Databases

pytestmark = pytest.mark.services


def test_a_head_that_is_announced_is_followed_without_waiting_for_the_next_poll(
    databases: Databases, chain: Chain
) -> None:
    chain.mine()
    following = follow(databases, [chain.url, chain.url.replace("http", "ws")], pollSeconds=600)
    run = following.run()
    run.reaches(1)
    run.logged("subscribed to heads")
    for _ in range(3):
        run.reaches(chain.mine())
    run.stop()
    following.equals(chain)


def test_a_subscription_begins_when_the_secret_names_one(
    databases: Databases, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("operators.block_follower.urls.URLS_SECONDS", 0.05)
    following = follow(databases, [chain.url], pollSeconds=0.05)
    run = following.run()
    run.reaches(0)
    assert not any(event == "subscribed to heads" for event, _ in run.events)
    following.urls.append(chain.url.replace("http", "ws"))
    run.logged("subscribed to heads")
    run.stop()
