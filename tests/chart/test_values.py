"""Which values the chart refuses."""

import json

import jsonschema
import pytest
import yaml

from tests.chart.conftest import CHART, EXTERNAL, Refused

WRONG = [
    ({"typo": 1}, "typo"),
    ({"images": {"trace": "no-tag"}}, "/images/trace"),
    ({"images": {"trace": "repo:tag with space"}}, "/images/trace"),
    ({"images": {"pullPolicy": "Sometimes"}}, "/images/pullPolicy"),
    ({"config": {"lease_secods": 3}}, "lease_secods"),
    ({"config": {"lease_seconds": 0}}, "/config/lease_seconds"),
    ({"config": {"lease_seconds": "soon"}}, "/config/lease_seconds"),
    ({"config": {"state_dsn": "postgresql://u:p@h/d"}}, "state_dsn"),
    ({"config": {"s3_secret_access_key": "x"}}, "s3_secret_access_key"),
    ({"fullnameOverride": "Upper"}, "/fullnameOverride"),
    ({"dispatcher": {"replicas": 0}}, "/dispatcher/replicas"),
    ({"dispatcher": {"replicas": 1.5}}, "/dispatcher/replicas"),
    ({"controller": {"replicas": 2}}, "replicas"),
    ({"query": {"mode": "Daemon"}}, "/query/mode"),
    ({"query": {"replicas": 0}}, "/query/replicas"),
    ({"query": {"s3": {"accessKeyId": "x"}}}, "accessKeyId"),
    ({"networkPolicies": {"issuerPorts": []}}, "/networkPolicies/issuerPorts"),
    ({"networkPolicies": {"storePorts": []}}, "/networkPolicies/storePorts"),
    ({"networkPolicies": {"rpcPorts": [0]}}, "/networkPolicies/rpcPorts/0"),
    ({"ingress": {"enabled": True, "host": "https://x"}}, "/ingress/host"),
    ({"postgres": {"persistence": {"enabled": True, "size": "much"}}}, "/postgres/persistence/size"),
    ({"postgres": {"password": "x"}}, "password"),
    ({"s3": {"bucket": "Not_A_Bucket"}}, "/s3/bucket"),
    ({"s3": {"endpoint": "minio:9000"}}, "/s3/endpoint"),
    ({"s3": {"roleArn": "me"}}, "/s3/roleArn"),
    ({"s3": {"addressing": "virtual"}}, "/s3/addressing"),
    ({"s3": {"addressing": "VirtualHosted"}}, r"s3\.addressing: the embedded store"),
    ({"s3": {"checksums": "when_required"}}, "/s3/checksums"),
    ({"s3": {"credentials": "None"}}, "/s3/credentials"),
    ({"s3": {"credentials": "Static"}}, r"s3\.tasks\.existingSecret: s3\.credentials is Static"),
    ({"s3": {"tasks": {"existingSecret": "mine"}}}, r"s3\.tasks\.existingSecret: s3\.credentials is Sts"),
    ({"oidc": {"issuer": "http://plain"}}, "/oidc/issuer"),
    ({"firstAdmin": {"identity": "no-issuer"}}, "/firstAdmin/identity"),
    ({"exampleChain": {"blockSeconds": 0}}, "/exampleChain/blockSeconds"),
    ({"crds": {"install": "yes"}}, "/crds/install"),
    ({"state": {"dsn": "x"}}, "dsn"),
    ({"monitoring": {"interval": "often"}}, "/monitoring/interval"),
    ({"monitoring": {"runbooks": "https://wiki.example.org/runbooks/"}}, "/monitoring/runbooks"),
    ({"monitoring": {"thresholds": {"queueAge": 1}}}, "queueAge"),
    ({"monitoring": {"thresholds": {"queueAgeSeconds": 0}}}, "/monitoring/thresholds/queueAgeSeconds"),
    ({"monitoring": {"thresholds": {"failedPercent": 101}}}, "/monitoring/thresholds/failedPercent"),
]


@pytest.mark.parametrize(("values", "named"), WRONG, ids=[named for _, named in WRONG])
def test_a_wrong_value_is_refused_by_name(render, values, named):
    with pytest.raises(Refused, match=named):
        render(**values)


def test_a_role_of_nobody_is_refused_where_aws_would_be_asked_for_it(render):
    store = EXTERNAL["s3"] | {"endpoint": ""}
    with pytest.raises(Refused, match=r"s3\.roleArn: with AWS"):
        render(**EXTERNAL | {"s3": store})
    render(**EXTERNAL | {"s3": store | {"roleArn": "arn:aws:iam::123456789012:role/trace-task"}})


def test_missing_secrets_are_named_all_at_once(render):
    with pytest.raises(Refused) as refusal:
        render(postgres={"enabled": False}, minio={"enabled": False})
    for name in ("state", "data", "worker", "s3"):
        assert f"{name}.existingSecret" in str(refusal.value)


def test_schema_is_strict_everywhere():
    """A level without `additionalProperties: false` takes a misspelt name without a word."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    open_ended = []

    def visit(node, path):
        if isinstance(node, dict):
            if (
                node.get("type") == "object"
                and "properties" in node
                and node.get("additionalProperties") is not False
            ):
                open_ended.append(path)
            for key, value in node.items():
                visit(value, f"{path}/{key}")

    visit(schema, "")
    assert not open_ended


def test_every_default_is_described_by_the_schema():
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert values.keys() == schema["properties"].keys() - {"global"}
    jsonschema.validate(values, schema)
