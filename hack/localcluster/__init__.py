"""A real Kubernetes node on one Linux machine, from package registries alone.

Tests that mock the API server prove nothing about an operator, and the machines this project is built on have
no container engine. So the cluster is made here: Kubernetes, etcd, CoreDNS, Helm and MinIO are compiled from
pinned Go modules, the container runtime comes from Debian, and every component runs in a network and a mount
namespace of its own, so that nothing it does to routes, firewall rules or mounts touches the machine.

Standard library only: these commands run before the project's own environment exists.

Reading order: ``layout`` (where everything lives), ``toolchain`` (the binaries), ``apiserver`` (only etcd and
kube-apiserver, for fast tests), then ``lifecycle`` (the whole node) with ``namespaces``, ``components``,
``addons`` and ``teardown``; ``imagebuild`` makes the container images, ``runtime`` loads them.
"""
