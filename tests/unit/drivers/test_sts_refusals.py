"""What a task is told where STS gives no credentials, and what an operator finds in the log."""

from __future__ import annotations

import pytest
import structlog
from botocore.exceptions import ClientError, ConnectTimeoutError

from traceplane.drivers.task_credentials import TaskCredentials, _no_credentials
from traceplane.errors import Refused, Unavailable
from traceplane.settings import Settings

ROLE = "arn:aws:iam::123456789012:role/trace-task"


def refusal(code: str) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": "secret-of-a-policy"}, "ResponseMetadata": {"HTTPStatusCode": 403}},
        "AssumeRole",
    )


@pytest.mark.parametrize(
    ("error", "code"),
    [(refusal("AccessDenied"), "AccessDenied"), (ConnectTimeoutError(endpoint_url="x"), "ConnectTimeoutError")],
)
def test_a_refusal_that_an_operator_can_mend_is_unavailable_and_in_the_log(error: Exception, code: str) -> None:
    with structlog.testing.capture_logs() as said:
        told = _no_credentials(error, Settings(sts_role_arn=ROLE))  # type: ignore[arg-type]
    assert isinstance(told, Unavailable)
    assert code in told.message
    assert [(line["code"], line["role"]) for line in said] == [(code, ROLE)]
    assert "secret" not in told.message + str(said)


async def test_an_address_that_the_client_does_not_take_is_one_of_them() -> None:
    settings = Settings(sts_endpoint_url="http://no_name:1", s3_access_key_id="key", s3_secret_access_key="canary")
    with structlog.testing.capture_logs() as said, pytest.raises(Unavailable) as told:
        await TaskCredentials(settings).mint("{}", namespace="demo", session="x", seconds=900)
    assert [line["code"] for line in said] == ["InvalidEndpointConfigurationError"]
    assert "canary" not in told.value.message + str(said)


@pytest.mark.parametrize("code", ["MalformedPolicyDocument", "PackedPolicyTooLarge"])
def test_a_policy_that_is_not_taken_never_will_be(code: str) -> None:
    told = _no_credentials(refusal(code), Settings())
    assert isinstance(told, Refused)
    assert told.code == "CredentialsPolicy"
