"""The official client library for Node, unmodified, over the queue resources: a second reader of the same contract."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from harness.rest_server import served_rest

pytestmark = pytest.mark.real
SCRIPT = Path(__file__).parent / "sdk_node.js"
LIBRARY = "twilio@6.2.0"
INSTALL_S, RUN_S = 120, 30


@pytest.fixture(scope="module")
def node_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library in a folder of its own, from the registry that npm is set up for."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node or npm is not installed: sudo apt-get install -y nodejs npm")
    folder = tmp_path_factory.mktemp("node")
    install = ["npm", "install", "--no-audit", "--no-fund", "--no-save", "--prefer-offline", "--loglevel=error", LIBRARY]
    try:
        done = subprocess.run(install, cwd=folder, capture_output=True, text=True, timeout=INSTALL_S)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm could not get {LIBRARY} within {INSTALL_S} s")
    if done.returncode:
        pytest.skip(f"npm could not get {LIBRARY}: {done.stderr.strip()[-300:]}")
    return folder / "node_modules"


def test_the_node_library_finds_queues_members_pages_and_codes_as_the_contract_has_them(node_path: Path) -> None:
    with served_rest() as served:
        queue = served.do(lambda api: api.queue("members"))
        calls = [served.do(lambda api: api.enqueue(queue)) for _ in range(3)]
        seen = _run(
            node_path,
            BASE_URL=served.base_url,
            ACCOUNT_SID=queue.account_sid,
            AUTH_TOKEN=served.rest.account.auth_token,
            QUEUE_SID=queue.sid,
        )
    sids = [call.sid for call in calls]
    assert (seen["created"], seen["fetched"], seen["updated"], seen["removed"]) == (["from node", 7, 0, True], True, 9, True)
    assert (seen["twice"], seen["gone"]) == ([400, 22003], [404, 20404])
    assert sorted(seen["names"]) == ["members", *(f"page {number}" for number in range(5))]
    assert seen["waiting"] == [[sid, position] for position, sid in enumerate(sids, 1)]
    assert (seen["front"], seen["dequeued"], seen["updated_call"], seen["left"]) == (sids[0], sids[0], sids[1], sids[2:])
    assert calls[0].heard == ["GET http://tenant.test/next"]
    assert calls[1].heard == ["POST http://tenant.test/other"]


def _run(node_path: Path, **environment: str) -> Any:
    done = subprocess.run(
        ["node", str(SCRIPT)], env=os.environ | {"NODE_PATH": str(node_path)} | environment, capture_output=True, text=True, timeout=RUN_S
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
