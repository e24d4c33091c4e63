"""Generated configuration of containerd, the CNI plugins and the kubelet.

Pure: facts in, text out. The paths are those inside the node's mount namespace, where ``/run`` and ``/var/lib`` are
the cluster's own.
"""

from __future__ import annotations

import json
from pathlib import Path

POD_CIDR = "10.244.0.0/24"
CLUSTER_DNS = "10.96.0.10"
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"


def containerd_toml(*, pause_image: str, cni_programs: Path, cni_config: Path) -> str:
    """containerd's configuration (version 2 of its format, read by 1.6 and later)."""
    return f"""\
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
oom_score = 0
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper"]

[grpc]
  address = "{CONTAINERD_SOCKET}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause_image}"
  # Lowering the score is not permitted everywhere; without this the first sandbox fails.
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  max_concurrent_downloads = 1

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni_programs}"
    conf_dir = "{cni_config}"
"""


def cni_conflist() -> str:
    """One bridge for all pods, addresses from a local file, host ports; no masquerading: there is no uplink."""
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isDefaultGateway": True,
        "hairpinMode": True,
        "ipMasq": False,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": POD_CIDR}]], "dataDir": "/var/lib/cni/networks"},
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}, "snat": False}
    return json.dumps({"cniVersion": "0.4.0", "name": "trace", "plugins": [bridge, portmap]}, indent=2) + "\n"


def kubelet_config(*, cgroup_root: str, pki: Path, resolv_conf: Path) -> str:
    """The kubelet's configuration; certificates are ``kubelet.crt`` and ``kubelet.key`` in ``pki``."""
    document = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(pki / "kubelet.crt"),
        "tlsPrivateKeyFile": str(pki / "kubelet.key"),
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroup_root}",
        # Many machines still have the hybrid layout of control groups.
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "clusterDNS": [CLUSTER_DNS],
        "clusterDomain": "cluster.local",
        # The machine's own file may name a resolver on loopback, which in a pod would be the pod itself.
        "resolvConf": str(resolv_conf),
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
        # Images come from archives, not from a registry: one that is collected would be gone for good.
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "2%", "imagefs.available": "2%"},
        "maxPods": 110,
        "nodeStatusUpdateFrequency": "5s",
        "nodeLeaseDurationSeconds": 20,
        "syncFrequency": "10s",
        "configMapAndSecretChangeDetectionStrategy": "Watch",
        "logging": {"flushFrequency": "5s"},
    }
    return json.dumps(document, indent=2) + "\n"
