"""`make scan` fails on findings and scanner errors, and names what it could not audit."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.local_world.template import EVERYTHING, transformed
from tests.scan import audit_verdict, checkov_verdict, everything

Json = dict[str, Any]

FILES = {"template.yaml", "everything.json"}
PASSED: list[Json] = [{"file_path": "/template.yaml"}, {"file_path": "/x/everything.json"}]
CLEAN = {"name": "requests", "version": "2.32.5", "vulns": []}
VULNERABLE = {
    "name": "urllib3",
    "version": "2.0.0",
    "vulns": [{"id": "PYSEC-2023-192", "fix_versions": ["2.0.6", "1.26.17"]}],
}
UNKNOWN = {"name": "pydantic", "skip_reason": "Dependency not found on PyPI"}
REFUSED = """\
Traceback (most recent call last):
requests.exceptions.HTTPError: 503 Server Error: None for url: https://index.example/pypi/x/1/json

The above exception was the direct cause of the following exception:
pip_audit._service.interface.ServiceError
"""


def report(**results: list[Json]) -> Json:
    """Build a checkov report."""
    return {"results": {"passed_checks": PASSED} | results}


def audited(*packages: Json) -> str:
    """Build pip-audit's output about packages."""
    return json.dumps({"dependencies": packages, "fixes": []})


@pytest.mark.thorough
def test_every_resource_is_scanned() -> None:
    """No condition leaves a resource out."""
    assert set(everything()["Resources"]) == set(transformed(EVERYTHING)["Resources"])


@pytest.mark.thorough
def test_exceptions_of_a_function_apply_to_its_url() -> None:
    """SAM generates the URL from the function, and only the function can have metadata."""
    resources = everything()["Resources"]

    skipped = resources["ReceiveDeliveryReportFunctionUrl"]["Metadata"]["checkov"]["skip"]

    assert "CKV_AWS_258" in {each["id"] for each in skipped}


def test_exceptions_with_a_reason_pass() -> None:
    """They are counted."""
    excepted = {
        "resource": "AWS::SQS::Queue.SendQueue",
        "check_id": "CKV_AWS_27",
        "check_result": {"suppress_comment": "SqsManagedSseEnabled encrypts it."},
    }

    verdict = checkov_verdict(report(skipped_checks=[excepted]), FILES)

    assert verdict.passed
    assert verdict.text.endswith("excepted with a reason: 1.")


@pytest.mark.parametrize("result", [{}, {"suppress_comment": ""}])
def test_exceptions_need_a_reason(result: Json) -> None:
    excepted = {"resource": "Queue", "check_id": "CKV_AWS_27", "check_result": result}

    verdict = checkov_verdict(report(skipped_checks=[excepted]), FILES)

    assert not verdict.passed
    assert "Queue: the exception from CKV_AWS_27 has no reason" in verdict.text


def test_failed_check_is_a_finding() -> None:
    """A finding names the resource and the check."""
    failed = {"resource": "Queue", "check_id": "CKV_AWS_27", "check_name": "Encrypt it"}

    verdict = checkov_verdict(report(failed_checks=[failed]), FILES)

    assert not verdict.passed
    assert verdict.text == "checkov: Queue: CKV_AWS_27 Encrypt it"


@pytest.mark.parametrize("scanned", [{}, report(passed_checks=PASSED[:1])])
def test_skipped_file_is_a_finding(scanned: Json) -> None:
    """Otherwise a scan of nothing would pass."""
    verdict = checkov_verdict(scanned, FILES)

    assert not verdict.passed
    assert "everything.json was not scanned" in verdict.text


def test_advisory_fails_the_audit() -> None:
    """A known vulnerability is reported with the versions that fix it."""
    verdict = audit_verdict(audited(CLEAN, VULNERABLE, UNKNOWN), "Found 1 known vulnerability")

    assert not verdict.passed
    assert verdict.text == ("pip-audit: urllib3 2.0.0: PYSEC-2023-192 (fixed in 2.0.6, 1.26.17)")


def test_audit_without_advisory_passes() -> None:
    """The number of packages shows that some were audited."""
    verdict = audit_verdict(audited(CLEAN), "No known vulnerabilities found")

    assert verdict.passed
    assert verdict.text == "pip-audit: no advisory; packages audited: 1."


@pytest.mark.parametrize(
    ("output", "errors"),
    [
        pytest.param("", "requests.exceptions.ConnectionError: no address\n", id="no-network"),
        pytest.param("", "ERROR:x:Could not connect to PyPI's feed\nERROR:x:Tip", id="timeout"),
        pytest.param("", REFUSED, id="refused"),
        pytest.param(audited(UNKNOWN), "No known vulnerabilities found", id="no-advisories"),
    ],
)
def test_audit_without_a_source_says_so_in_one_line(output: str, errors: str) -> None:
    """Without advisories the scan passes, but says that it audited nothing."""
    verdict = audit_verdict(output, errors)

    assert verdict.passed
    assert verdict.text.startswith("pip-audit: NOT AUDITED")
    assert "\n" not in verdict.text


def test_packages_unknown_to_the_index_are_named() -> None:
    """They do not count as audited."""
    verdict = audit_verdict(audited(CLEAN, UNKNOWN), "")

    assert verdict.passed
    assert "packages audited: 1. NOT AUDITED" in verdict.text
    assert verdict.text.endswith("pydantic.")


def test_other_errors_of_the_audit_fail() -> None:
    """A broken call of pip-audit is not mistaken for an unreachable network."""
    verdict = audit_verdict("", "ERROR:pip_audit._cli:requirement file not found\n")

    assert not verdict.passed
    assert "requirement file not found" in verdict.text
