"""How each command of the docs is tried. A command that no rule knows fails the tests: docs are not a place for
commands that nobody ran.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from tests.docs.blocks import Command


class Tier(enum.Enum):
    """Where a command is run."""

    LOCAL = "in a copy of the checkout, without a cluster"
    MAKE = "`make -n`: the target is there; a whole run proves it"
    CLUSTER = "on the cluster, in a shell session a page"
    DRY = "on the cluster, with --dry-run=server, since it would change what other tests use"
    TESTED = "by the test named beside it"
    UNTRIED = "not at all, and the page says so"


@dataclass(frozen=True)
class Rule:
    """Commands that match are tried in a tier; `by` is a test's path for TESTED."""

    pattern: str
    tier: Tier
    by: str = ""


LIFECYCLE = "tests/cluster/test_lifecycle.py"
INSTALL = "tests/e2e/test_install.py"
READERS = "tests/apiserver/reconcile/test_other_readers.py"

FOLLOWED = {"docs/howto/token-values.md": "tests/e2e/test_token_values.py"}
"""Pages whose commands for the cluster a test of their own runs, step by step, and looks at what comes of each."""

RULES = (
    Rule(r"make [a-z-]+( MONITORING=1)?", Tier.MAKE),
    Rule(r"(\S*/)?tracectl lint .*", Tier.LOCAL),
    Rule(r"sed .* \| (\S*/)?tracectl lint .*", Tier.LOCAL),
    Rule(r"sed .* > wrong\.yaml", Tier.LOCAL),
    Rule(r"tracectl admin user --help", Tier.LOCAL),
    Rule(r"openssl ecparam .*", Tier.LOCAL),
    Rule(r"(cp \$\(hack/cluster kubeconfig\) kubeconfig && )?export [A-Z_]+=.*", Tier.CLUSTER),
    # Of a staged version, which a page that rebuilds one has for a moment only.
    Rule(
        r"tracectl (diff cold-blocks|query --version staged) .*",
        Tier.TESTED,
        "tests/integration/query/test_named_versions.py",
    ),
    Rule(
        r"(hack/cluster exec -- )?(\S*/)?tracectl (query(?! --version staged)|result|get|logs|lineage|explain) .*",
        Tier.CLUSTER,
    ),
    Rule(r"tracectl diff token-values .*", Tier.CLUSTER),
    Rule(r"kubectl tracedag (version|get|logs|query)( .*)?", Tier.CLUSTER),
    Rule(r"printf '%s\\n' .* > \w+\.csv", Tier.CLUSTER),
    Rule(r"tracectl asset refresh \w+ -n trace", Tier.CLUSTER),
    # Of files that are put beside it.
    Rule(r"tracectl asset refresh prices", Tier.TESTED, "tests/integration/query/test_external_assets.py"),
    Rule(r"kubectl tracedag doctor", Tier.TESTED, "tests/apiserver/cli/test_doctor.py"),
    Rule(r"echo '.*' \| tracectl sql .*", Tier.CLUSTER),
    Rule(r"tracectl sql -n trace", Tier.TESTED, "tests/integration/query/test_sql_prompt.py"),
    Rule(r"(hack/cluster exec -- )?kubectl (?!tracedag|.*argocd|.* patch ).*(get|describe|logs) .*", Tier.CLUSTER),
    Rule(r"(hack/cluster exec -- )?kubectl .*delete pod -l trace\.dev/job=follow", Tier.CLUSTER),
    Rule(r"(hack/cluster exec -- )?kubectl -n (trace|monitoring) port-forward \S+ \d+ &", Tier.CLUSTER),
    Rule(r"python3 docs/examples/\w+\.py( \S+)?", Tier.CLUSTER),
    Rule(r"jupyter lab docs/examples/\w+\.ipynb", Tier.CLUSTER),
    Rule(r"kubectl config set-context .*", Tier.CLUSTER),
    Rule(r"(sed .* \| )?kubectl (-n trace )?apply -f \S+", Tier.CLUSTER),
    Rule(r"kubectl (-n trace )?wait .*", Tier.CLUSTER),
    Rule(r"(sed .* \| )?tracectl (rollout|rollback|plan|gc) .*", Tier.CLUSTER),
    Rule(r"curl -s '?http://127\.0\.0\.1:.*", Tier.CLUSTER),
    Rule(r"helm -n trace test trace", Tier.CLUSTER),
    Rule(r'psql "\$DATA_DSN" -c .*', Tier.TESTED, "tests/integration/dispatch/test_views.py"),
    Rule(r"kubectl (?!.*argocd).*(create (namespace|secret)|label|patch) .*", Tier.DRY),
    Rule(r"kubectl .* patch configmap argocd-cm --patch-file .*", Tier.TESTED, READERS),
    Rule(r"helm -n trace upgrade --install trace charts/trace --values production\.yaml", Tier.TESTED,
         "tests/docs/test_pages.py"),
    Rule(r"helm -n trace upgrade trace charts/trace --reuse-values --values (traces|openlineage)\.yaml",
         Tier.TESTED, "tests/docs/test_pages.py"),
    Rule(r"openssl s_client .* -starttls postgres .*", Tier.TESTED, "tests/integration/store/test_tls.py"),
    Rule(r"helm -n trace uninstall trace", Tier.TESTED, INSTALL),
    Rule(r"hack/setup|hack/cluster (up|down|load)", Tier.TESTED, LIFECYCLE),
    Rule(r"hack/images/build( --print)?", Tier.TESTED, "tests/cluster/conftest.py"),
    Rule(r"(for name in|docker|kind) .*", Tier.UNTRIED),
)  # fmt: skip


def rule(command: Command) -> Rule:
    """The one rule of a command. LookupError where there is none, or several."""
    found = [candidate for candidate in RULES if re.fullmatch(candidate.pattern, command.text)]
    if len(found) != 1:
        raise LookupError(f"{command}: {len(found)} rules; add or narrow one in tests/docs/rules.py")
    return found[0]
