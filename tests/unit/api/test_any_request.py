"""Requests made up from the OpenAPI document, right and wrong: each answer is one that the document allows, and none is a 5xx."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from harness.rest_server import ServedRest, served_rest
from harness.rest_things import Things, possessions, variables
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from waitline.api import openapi, operating, resources

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the library's own imports warn
    import schemathesis
    from schemathesis import GenerationMode
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

SCHEMA = schemathesis.openapi.from_dict(openapi.document(resources.ALL, operating.ROUTES))
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
OPERATIONS: list[Any] = [result.ok() for result in list[Any](SCHEMA.get_all_operations())]
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
def things(served: ServedRest) -> Things:
    made: Things = served.do(possessions)
    return made


def _checks(operation):
    """An outbound call answers 501: what the document says, and what the check for 5xx would refuse."""
    outbound = operation.label.endswith("POST /2010-04-01/Accounts/{account_sid}/Calls.json")
    return [check for check in CHECKS if not (outbound and check is not_a_server_error)]


def _modes(operation):
    """An operation without parameters cannot be asked wrongly."""
    takes = "{sid}" in operation.path or "PageSize" in str(operation.definition.raw) or "requestBody" in operation.definition.raw
    return [GenerationMode.POSITIVE, GenerationMode.NEGATIVE] if takes else [GenerationMode.POSITIVE]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("operation", "mode"), [pytest.param(op, mode, id=f"{mode.value} {op.label}") for op in OPERATIONS for mode in _modes(op)]
)
def test_any_request_gets_an_answer_of_the_document(served, things, operation, mode):
    account = served.rest.account

    @SETTINGS
    @given(case=operation.as_strategy(generation_mode=mode), existing=st.booleans())
    def ask(case, existing):
        if "{account_sid}" in operation.path:
            known = variables(operation.path, things)
            case.path_parameters = {**case.path_parameters, **(known if existing else {"account_sid": account.sid})}
        case.call_and_validate(base_url=served.base_url, auth=(account.sid, account.auth_token), checks=_checks(operation))

    ask()
