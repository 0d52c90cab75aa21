from __future__ import annotations

import asyncio
import random

import pytest
from harness.virtual_time import run
from unit.queues.kit import ACCOUNT, AGENT, OTHER_ACCOUNT, MemoryStore, World

from waitline.bridge.queues.authority import QueueDeleted
from waitline.bridge.queues.directory import QueueDirectory, QueueNotFound, QueueStore
from waitline.bridge.sids import CallSid, QueueSid, SidFactory, is_sid
from waitline.bridge.store.store import Store
from waitline.errors import ApiError, DocumentError


class Town:
    """A directory over a store in memory."""

    def __init__(self) -> None:
        self.world = World()
        self.store = MemoryStore()
        sids = SidFactory(random.Random(7).randbytes)
        self.directory = QueueDirectory(store=self.store, authority=self.world.authority, sids=sids, clock=self.world.clock)

    def names(self) -> list[str]:
        return sorted(queue.friendly_name for queue in self.store.image.queues.by_sid.values())


def the_real_store_is_one(store: Store) -> QueueStore:
    return store  # read by mypy alone


def test_an_unknown_name_creates_the_queue_and_the_next_caller_finds_it():
    async def story() -> None:
        town = Town()
        queue = await town.directory.resolve(ACCOUNT, "  support\n")
        assert (queue.friendly_name, queue.max_size, queue.account_sid) == ("support", 1000, ACCOUNT)
        assert is_sid(queue.sid, "QU")
        assert await town.directory.resolve(ACCOUNT, "support") == queue
        assert town.directory.find(ACCOUNT, queue.sid) == queue

    run(story())


def test_names_are_case_sensitive_and_belong_to_one_account():
    async def story() -> None:
        town = Town()
        queues = [await town.directory.resolve(*key) for key in ((ACCOUNT, "a"), (ACCOUNT, "A"), (OTHER_ACCOUNT, "a"))]
        assert len({queue.sid for queue in queues}) == 3

    run(story())


def test_an_identifier_is_looked_up_in_its_own_account_only_and_creates_nothing():
    async def story() -> None:
        town = Town()
        queue = await town.directory.create(ACCOUNT, "support")
        assert await town.directory.resolve(ACCOUNT, queue.sid) == queue
        assert await town.directory.resolve(ACCOUNT, "QU" + queue.sid[2:].upper()) == queue
        for account, sid in ((OTHER_ACCOUNT, queue.sid), (ACCOUNT, "QU" + "f" * 32)):
            with pytest.raises(QueueNotFound):
                await town.directory.resolve(account, sid)
            assert town.directory.find(account, sid) is None
        assert town.names() == ["support"]

    run(story())


def test_a_dial_does_not_create_a_queue():
    assert Town().directory.find(ACCOUNT, "nobody") is None


@pytest.mark.parametrize(("given", "kept"), [(None, 1000), (7, 7), (0, 1), (9999, 5000)])
def test_the_size_of_a_queue_created_on_demand(given: int | None, kept: int):
    async def story() -> None:
        assert (await Town().directory.resolve(ACCOUNT, "q", max_size=given)).max_size == kept

    run(story())


@pytest.mark.parametrize(("body", "code"), [("  ", 14204), ("x" * 65, 14205)])
def test_a_name_too_short_or_too_long_in_a_document(body: str, code: int):
    async def story() -> None:
        with pytest.raises(DocumentError) as caught:
            await Town().directory.resolve(ACCOUNT, body)
        assert caught.value.code == code

    run(story())


def test_calls_that_name_a_new_queue_at_once_share_one():
    async def story() -> None:
        town = Town()
        queues = await asyncio.gather(*(town.directory.resolve(ACCOUNT, "rush") for _ in range(50)))
        assert len({queue.sid for queue in queues}) == 1
        assert town.names() == ["rush"]

    run(story())


def test_creating_a_name_that_is_being_created_is_refused():
    async def story() -> None:
        town = Town()
        results = await asyncio.gather(
            town.directory.resolve(ACCOUNT, "rush"), town.directory.create(ACCOUNT, "rush"), return_exceptions=True
        )  # fmt: skip
        assert isinstance(results[1], ApiError)
        assert (results[1].status, results[1].code, str(results[1])) == (400, 22003, "A queue with the name rush already exists")

    run(story())


@pytest.mark.parametrize(
    ("name", "size", "code"),
    [("", 1, 20002), (" ", 1, 20002), ("x" * 65, 1, 20002), ("QU" + "0" * 32, 1, 20002), ("q", 0, 20422), ("q", 5001, 20422)],
)
def test_bad_names_and_sizes_are_refused(name: str, size: int, code: int):
    async def story() -> None:
        with pytest.raises(ApiError) as caught:
            await Town().directory.create(ACCOUNT, name, max_size=size)
        assert (caught.value.status, caught.value.code) == (400, code)

    run(story())


def test_renaming_and_resizing():
    async def story() -> None:
        town = Town()
        queue = await town.directory.create(ACCOUNT, "old")
        await town.directory.create(ACCOUNT, "taken")
        town.world.now = 60
        changed = await town.directory.update(queue, friendly_name="new", max_size=5)
        assert (changed.friendly_name, changed.max_size, changed.sid) == ("new", 5, queue.sid)
        assert changed.date_updated > changed.date_created
        with pytest.raises(ApiError, match="taken already exists"):
            await town.directory.update(changed, friendly_name="taken")
        assert (await town.directory.update(changed, friendly_name="new")).max_size == 5
        assert (await town.directory.update(queue, max_size=9)).friendly_name == "old"  # the record given is what is kept
        assert town.directory.find(ACCOUNT, "new") is None

    run(story())


def test_two_renames_that_swap_names_do_not_wait_for_each_other():
    async def story() -> None:
        town = Town()
        one, two = await town.directory.create(ACCOUNT, "one"), await town.directory.create(ACCOUNT, "two")
        results = await asyncio.gather(
            town.directory.update(one, friendly_name="two"), town.directory.update(two, friendly_name="one"), return_exceptions=True
        )  # fmt: skip
        assert [type(result) for result in results] == [ApiError, ApiError]

    run(story())


def test_only_a_queue_without_seats_is_deleted():
    async def story() -> None:
        town = Town()
        queue = await town.directory.create(ACCOUNT, "support")
        sid = QueueSid(queue.sid)
        town.world.join("A", queue=sid)
        await town.world.authority.claim(sid, by=AGENT)
        with pytest.raises(ApiError) as caught:
            await town.directory.delete(queue)
        assert (caught.value.status, caught.value.code) == (400, 22002)
        assert town.names() == ["support"]

    run(story())


def test_a_caller_who_comes_while_its_queue_is_deleted_gets_a_new_one():
    async def story() -> None:
        town = Town()
        old = await town.directory.create(ACCOUNT, "support")
        deletion = asyncio.create_task(town.directory.delete(old))
        await asyncio.sleep(0.01)
        with pytest.raises(QueueDeleted):
            town.world.join("A", queue=QueueSid(old.sid))
        new = await town.directory.resolve(ACCOUNT, "support")
        await deletion
        assert new.sid != old.sid
        town.world.join("A", queue=QueueSid(new.sid))
        assert town.world.authority.position(CallSid("A")) == 1
        with pytest.raises(ApiError) as caught:
            await town.directory.delete(old)
        assert caught.value.status == 404

    run(story())


def test_a_deletion_that_the_store_refuses_leaves_the_queue_usable():
    async def story() -> None:
        town = Town()
        queue = await town.directory.create(ACCOUNT, "support")
        town.store.failure = OSError("disk")
        with pytest.raises(OSError, match="disk"):
            await town.directory.delete(queue)
        town.world.join("A", queue=QueueSid(queue.sid))
        town.store.failure = None

    run(story())


def test_a_creation_that_the_store_refuses_lets_the_next_one_try():
    async def story() -> None:
        town = Town()
        town.store.failure = OSError("disk")
        with pytest.raises(OSError, match="disk"):
            await town.directory.resolve(ACCOUNT, "support")
        town.store.failure = None
        assert (await town.directory.resolve(ACCOUNT, "support")).friendly_name == "support"

    run(story())
