"""Whether requirements.lock has known vulnerabilities, by pip-audit.

Where their database gives no answer, that is said, and is no failure: a build needs no more than the package index.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

LIMIT_S = 120


def report() -> "list[dict[str, object]]":
    """A dependency each. Empty where there was no answer."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.json"
        options = ["--require-hashes", "--disable-pip", "--progress-spinner", "off", "--timeout", "10"]
        argv = [sys.executable, "-m", "pip_audit", *options, "-r", "requirements.lock", "-f", "json", "-o", str(path)]
        try:
            subprocess.run(argv, capture_output=True, check=False, timeout=LIMIT_S)
            return list(json.loads(path.read_text())["dependencies"])
        except (subprocess.TimeoutExpired, FileNotFoundError):
            return []


def main() -> None:
    dependencies = report()
    vulnerable = [dependency for dependency in dependencies if dependency.get("vulns")]
    asked = sum("skip_reason" not in dependency for dependency in dependencies)
    for dependency in vulnerable:
        print(json.dumps(dependency, indent=2))
    print(
        f"audit: {asked} dependencies compared, {len(vulnerable)} vulnerable" if asked else "audit: no database answers"
    )
    sys.exit(bool(vulnerable))


main()
