"""The ConfigMap that Argo CD's own one takes over."""

from __future__ import annotations

from hack.generate import argocd


def test_the_chart_ships_the_health_checks_of_the_snippet_where_they_are_wanted(render):
    found = render(argocd={"health": {"enabled": True}}).one("ConfigMap", "trace-argocd-health")
    assert found["data"] == argocd.data()
    assert len(found["data"]) == 4


def test_the_chart_says_nothing_to_argo_cd_unless_asked(render):
    assert not [config for config in render().kind("ConfigMap") if "argocd" in config["metadata"]["name"]]
