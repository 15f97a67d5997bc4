"""The OpenAPI document against the server: requests that Schemathesis makes of it are answered as it says."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app.api import openapi
from benchmarks.server import running
from tests.app.api.test_endpoints import ANSWER_SECONDS

EXAMPLES = 40
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
OPERATION = schemathesis.openapi.from_dict(openapi.document())["/api/v1/analyse"]["POST"]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Address of a running server."""
    with running(tmp_path_factory.mktemp("server") / "server.log") as port:
        yield f"http://127.0.0.1:{port}"


@pytest.mark.slow
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=OPERATION.as_strategy())
def test_requests_made_of_the_document_are_answered_as_it_says(address, case):
    case.validate_response(case.call(base_url=address, timeout=ANSWER_SECONDS), checks=CHECKS)
