"""Scan the template with checkov and the packages with pip-audit, as `make scan` does.

By default, checkov skips resources whose condition is false, and it checks the resources that SAM
generates only where it knows SAM. So it gets template.yaml itself and a template of every resource
that can be generated from it. It runs without downloads: otherwise it would ask for newer versions
of itself and for a platform's rules.

pip-audit asks PyPI for advisories. If PyPI cannot be reached, or a proxy answers that it knows no
package, nothing has been audited. The scan says so and does not fail.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .local_world.aws_emulator import ROOT
from .local_world.packaging import captured
from .local_world.template import EVERYTHING, resolved, transformed

Json = dict[str, Any]

SCANNERS = ROOT / ".venv-scan/bin"
TEMPLATE = ROOT / "template.yaml"
#: The packages that are deployed, and those that the tests run with.
REQUIREMENTS = tuple(
    ROOT / name
    for name in (
        "shared/requirements.txt",
        "tests/requirements.txt",
        "tests/runtime-requirements.txt",
    )
)
#: checkov's text for an exception without a reason.
_NO_REASON = "No comment provided"
#: pip-audit's error if PyPI did not answer, or answered without advisories.
_UNREACHABLE = re.compile(r"^requests\.exceptions\..*|Could not connect to .*", re.MULTILINE)


@dataclass(frozen=True)
class Verdict:
    """A scanner's result.

    Attributes:
        passed: Whether the scan passes.
        text: One line for each finding, or one line that sums up.
    """

    passed: bool
    text: str


def everything() -> Json:
    """Return a template of all resources that template.yaml can create, without conditions.

    SAM copies a function's metadata to that function only. Here the version, alias and URL that are
    generated from it get the metadata too, so its exceptions apply to them.
    """
    template = resolved(transformed(EVERYTHING), EVERYTHING)
    resources = template["Resources"]
    for function in [n for n, each in resources.items() if each["Type"] == "AWS::Lambda::Function"]:
        for name, resource in resources.items():
            if name.startswith(function):
                resource.setdefault("Metadata", resources[function].get("Metadata", {}))
    return {"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources}


def checkov_verdict(report: Json, files: set[str]) -> Verdict:
    """Evaluate checkov's JSON report.

    Args:
        report: The report that checkov printed.
        files: Names of the files to scan. checkov silently skips a file that it does not recognise.
    """
    results = report.get("results", {})
    passed, skipped = results.get("passed_checks", []), results.get("skipped_checks", [])
    unread = files - {Path(check["file_path"]).name for check in passed}
    findings = [
        f"checkov: {check['resource']}: {check['check_id']} {check['check_name']}"
        for check in results.get("failed_checks", [])
    ]
    findings += [
        f"checkov: {check['resource']}: the exception from {check['check_id']} has no reason"
        for check in skipped
        if check["check_result"].get("suppress_comment", _NO_REASON) in ("", _NO_REASON)
    ]
    findings += [f"checkov: {name} was not scanned" for name in sorted(unread)]
    if findings:
        return Verdict(passed=False, text="\n".join(findings))
    return Verdict(
        passed=True,
        text=f"checkov: no finding; checks passed: {len(passed)}, excepted with a reason:"
        f" {len(skipped)}.",
    )


def audit_verdict(output: str, errors: str) -> Verdict:
    """Evaluate pip-audit's output; its exit code is 1 for findings and for any error.

    Args:
        output: Its standard output: JSON, or nothing after an error.
        errors: Its standard error.
    """
    try:
        packages = json.loads(output)["dependencies"]
    except ValueError:
        if unreachable := _UNREACHABLE.search(errors):
            return Verdict(passed=True, text=f"pip-audit: NOT AUDITED: {unreachable[0]}")
        return Verdict(passed=False, text=f"pip-audit failed:\n{output}{errors}")
    findings = [
        f"pip-audit: {package['name']} {package['version']}: {found['id']}"
        f" (fixed in {', '.join(found['fix_versions']) or 'no version'})"
        for package in packages
        for found in package.get("vulns", [])
    ]
    if findings:
        return Verdict(passed=False, text="\n".join(findings))
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    known = len(packages) - len(unknown)
    if not known:
        return Verdict(
            passed=True,
            text="pip-audit: NOT AUDITED: the package index answers, but knows none of"
            f" {len(unknown)} packages.",
        )
    text = f"pip-audit: no advisory; packages audited: {known}."
    if unknown:
        text += f" NOT AUDITED, because PyPI does not know them: {', '.join(unknown)}."
    return Verdict(passed=True, text=text)


def scan_template(directory: Path) -> Verdict:
    """Run checkov with its working files in a directory."""
    made = directory / "everything.json"
    made.write_text(json.dumps(everything(), indent=1))
    done = captured(
        [
            *(str(SCANNERS / "checkov"), "--framework", "cloudformation", "--skip-download"),
            *("--output", "json", "--file", str(TEMPLATE), str(made)),
        ],
        # Without the account or platform that the environment or the home directory may name.
        {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "TMPDIR": str(directory),
            "CKV_SKIP_PACKAGE_UPDATE_CHECK": "true",
        },
    )
    try:
        report = json.loads(done.stdout)
    except ValueError:
        return Verdict(passed=False, text=f"checkov failed:\n{done.stdout}{done.stderr}")
    return checkov_verdict(report, {TEMPLATE.name, made.name})


def scan_packages(directory: Path) -> Verdict:
    """Run pip-audit with its cache in a directory."""
    done = captured(
        [
            *(str(SCANNERS / "pip-audit"), "--disable-pip", "--require-hashes"),
            *("--format", "json", "--progress-spinner", "off"),
            *("--cache-dir", str(directory / "advisories")),
            *(part for path in REQUIREMENTS for part in ("--requirement", str(path))),
        ],
        dict(os.environ),
    )
    return audit_verdict(done.stdout, done.stderr)


def main() -> None:
    """Run both scanners; exit with 1 if either has a finding."""
    with tempfile.TemporaryDirectory() as directory:
        verdicts = [scan_template(Path(directory)), scan_packages(Path(directory))]
    for verdict in verdicts:
        sys.stdout.write(verdict.text + "\n")
    sys.exit(not all(verdict.passed for verdict in verdicts))


if __name__ == "__main__":
    main()
