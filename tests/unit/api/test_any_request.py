"""Requests made up from the OpenAPI document, right and wrong: each answer is one that the document allows, and none is a 5xx."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests
from harness.rest_server import ServedRest, served_rest
from harness.rest_things import Things, possessions, variables
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from waitline.api import openapi, operating, resources

DOCUMENT = openapi.document(resources.ALL, operating.ROUTES)
OPERATIONS = [(path, method, operation) for path, methods in DOCUMENT["paths"].items() for method, operation in methods.items()]
REQUESTS_EACH = 4
SETTINGS = settings(
    max_examples=REQUESTS_EACH, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


@pytest.fixture(scope="module")
def served() -> Iterator[ServedRest]:
    with served_rest() as server:
        yield server


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    """One connection for all: to open one for each request takes as long as the request."""
    with requests.Session() as session:
        yield session


@pytest.fixture(scope="module")
def things(served: ServedRest) -> Things:
    made: Things = served.do(possessions)
    return made


@dataclass(frozen=True)
class Library:
    """What is taken of a library that is slow to import: only by who asks, not by who collects tests."""

    schema: Any
    modes: Any
    checks: list[Any]
    not_a_server_error: Any

    def checks_of(self, path, method):
        """An outbound call answers 501: what the document says, and what the check for 5xx would refuse."""
        outbound = (path, method) == ("/2010-04-01/Accounts/{account_sid}/Calls.json", "post")
        return [check for check in self.checks if not (outbound and check is self.not_a_server_error)]


@pytest.fixture(scope="module")
def library() -> Library:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library's own imports warn
        import schemathesis
        from schemathesis.checks import not_a_server_error
        from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance
    checks = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
    return Library(schemathesis.openapi.from_dict(DOCUMENT), schemathesis.GenerationMode, checks, not_a_server_error)


def _modes(path, operation):
    """An operation without parameters cannot be asked wrongly."""
    takes = "{sid}" in path or "PageSize" in str(operation) or "requestBody" in operation
    return ["positive", "negative"] if takes else ["positive"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("path", "method", "mode"),
    [
        pytest.param(path, method, mode, id=f"{mode} {method.upper()} {path}")
        for path, method, it in OPERATIONS
        for mode in _modes(path, it)
    ],
)
def test_any_request_gets_an_answer_of_the_document(served, session, things, library, path, method, mode):
    account, operation = served.rest.account, library.schema[path][method]

    @SETTINGS
    @given(case=operation.as_strategy(generation_mode=library.modes(mode)), existing=st.booleans())
    def ask(case, existing):
        if "{account_sid}" in path:
            known = variables(path, things)
            case.path_parameters = {**case.path_parameters, **(known if existing else {"account_sid": account.sid})}
        credentials, checks = (account.sid, account.auth_token), library.checks_of(path, method)
        case.call_and_validate(base_url=served.base_url, session=session, auth=credentials, checks=checks)

    ask()
