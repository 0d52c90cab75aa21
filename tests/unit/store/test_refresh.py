"""A write by another process, such as ``waitline account create``, is seen within a second without anybody asking."""

from __future__ import annotations

import asyncio
from pathlib import Path

from harness.virtual_time import run
from unit.store.kit import Database, Fault, account, queue, sid

from waitline.bridge.store.store import REFRESH_S


def test_a_commands_account_is_in_the_servers_image_within_a_second(tmp_path: Path):
    async def story():
        database = Database(where=tmp_path, folder=tmp_path, inline=True)
        server = await database.open(serve=True, refresh_s=REFRESH_S)
        command = await database.open()
        await command.put(account(7))
        await command.close()
        assert server.image.accounts.get(sid("AC", 7)) is None
        await asyncio.sleep(1)
        assert server.image.accounts.get(sid("AC", 7)) == account(7)
        await server.close()

    run(story())


def test_own_writes_do_not_make_the_server_read_everything_again(tmp_path: Path):
    async def story():
        database, fault = Database(where=tmp_path, folder=tmp_path, inline=True), Fault()
        server = await database.open(serve=True, refresh_s=REFRESH_S, wrap_driver=fault)
        await server.put(queue(1))
        before = fault.connection.statements
        await asyncio.sleep(10)
        assert fault.connection.statements - before == 20  # one question each time, no reading
        await server.close()

    run(story())


def test_looking_goes_on_after_a_failure_that_was_reported(tmp_path: Path):
    async def story():
        database, fault = Database(where=tmp_path, folder=tmp_path, inline=True), Fault()
        server = await database.open(serve=True, refresh_s=REFRESH_S, wrap_driver=fault)
        fault.arm(1, count=3)
        command = await database.open()
        await command.put(account(7))
        await command.close()
        await asyncio.sleep(1.6)
        assert [(failure.kept, failure.lost) for failure in database.failures] == [(0, 0)] * 3
        await asyncio.sleep(1)
        assert len(server.image.accounts) == 1
        await server.close()

    run(story())
