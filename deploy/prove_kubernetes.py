"""The proof of build/proof-kubernetes: rendered manifests against schemas and our own rules."""

from __future__ import annotations

import copy
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

VERSIONS = ("1.30", "1.32", "1.34", kubernetes_validate.latest_version())
CUSTOM = {"ScaledObject", "TriggerAuthentication"}  # KEDA's own kinds: no schema at hand
LOCKED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
Object = dict[str, Any]


def rendered(kubectl: str, overlay: Path) -> list[Object]:
    """Objects of an overlay as kustomize gives them."""
    made = subprocess.run(
        [kubectl, "kustomize", overlay], capture_output=True, check=False, text=True
    )
    if made.returncode or made.stderr.strip():
        raise SystemExit(f"FAILED: kubernetes: {overlay.name}: {made.stderr.strip()}")
    return [each for each in yaml.safe_load_all(made.stdout) if each]


def schema_faults(objects: list[Object]) -> Iterator[str]:
    """Objects that a version of Kubernetes would refuse, unknown fields among them."""
    for each in objects:
        if each["kind"] in CUSTOM:
            continue
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(each, version, strict=True)
            except (
                kubernetes_validate.ValidationError,
                kubernetes_validate.InvalidSchemaError,
                kubernetes_validate.SchemaNotFoundError,
            ) as error:
                text = str(error).splitlines()[0]
                yield f"{each['kind']} {each['metadata']['name']} for {version}: {text}"


def rule_faults(objects: list[Object], settings: set[str]) -> Iterator[str]:
    """What stands against the house's rules: locked pods, closed network, settings that exist."""
    pods = {
        each["metadata"]["name"]: each["spec"]["template"]
        for each in objects
        if each["kind"] in {"Deployment", "StatefulSet"}
    }
    for name, pod in pods.items():
        yield from (f"{name}: {fault}" for fault in pod_faults(pod))
    policies = [each["spec"] for each in objects if each["kind"] == "NetworkPolicy"]
    closed = [each for each in policies if not {"ingress", "egress"} & set(each)]
    for name, pod in pods.items():
        if not any(selects(each["podSelector"], pod) for each in closed):
            yield f"{name}: no policy closes its network"
    rules = (rule for each in policies for rule in each.get("egress", ()))
    for peer in (peer for rule in rules for peer in rule.get("to", [{"ipBlock": "everywhere"}])):
        if "ipBlock" in peer or not peer.get("podSelector"):
            yield f"a policy lets something out: {peer}"
    yield from reference_faults(objects, pods, settings)


def reference_faults(
    objects: list[Object], pods: dict[str, Object], settings: set[str]
) -> Iterator[str]:
    """Services that select no pod, and settings that do not exist."""
    for each in objects:
        if each["kind"] == "Service":
            wanted = {"matchLabels": each["spec"]["selector"]}
            if not any(selects(wanted, pod) for pod in pods.values()):
                yield f"Service {each['metadata']['name']}: selects no pod"
        if each["kind"] == "ConfigMap":
            for key in each["data"]:
                if key.isupper() and key not in settings:
                    yield f"ConfigMap {each['metadata']['name']}: no setting {key}"


def pod_faults(pod: Object) -> Iterator[str]:
    """Rights, budgets and probes that a pod lacks or has too much of."""
    spec = pod["spec"]
    common = spec.get("securityContext", {})
    if not common.get("runAsNonRoot") or common.get("seccompProfile", {}).get("type") is None:
        yield "it may run as root or without seccomp"
    if spec.get("automountServiceAccountToken", True):
        yield "it holds a token of the cluster"
    for each in (*spec.get("initContainers", ()), *spec["containers"]):
        if each.get("securityContext") != LOCKED:
            yield f"{each['name']} is not locked down"
        budget = each.get("resources", {})
        if "memory" not in budget.get("limits", {}) or "cpu" not in budget.get("requests", {}):
            yield f"{each['name']} has no budget"
    for each in spec["containers"]:
        if "livenessProbe" not in each:
            yield f"{each['name']} has no probe"
        for mount in each["volumeMounts"]:
            if mount["name"] == "models" and not mount.get("readOnly"):
                yield f"{each['name']} may write to the models"


def selects(selector: Object, pod: Object) -> bool:
    """Whether a selector takes a pod."""
    labels = pod["metadata"]["labels"]
    plain = selector.get("matchLabels", {}).items()
    listed = selector.get("matchExpressions", ())
    return all(labels.get(key) == value for key, value in plain) and all(
        labels.get(each["key"]) in each["values"] for each in listed
    )


def planted(objects: list[Object], settings: set[str]) -> Iterator[str]:
    """Faults that were planted and not found."""

    def of(found: list[Object], kind: str) -> Object:
        return next(each for each in found if each["kind"] == kind)

    def container(found: list[Object]) -> Object:
        return of(found, "Deployment")["spec"]["template"]["spec"]["containers"][0]

    faults: dict[str, Callable[[list[Object]], Any]] = {
        "a writable root": lambda found: container(found)["securityContext"].pop(
            "readOnlyRootFilesystem"
        ),
        "no budget": lambda found: container(found)["resources"].pop("limits"),
        "writable models": lambda found: container(found)["volumeMounts"][0].pop("readOnly"),
        "an open network": lambda found: [
            each["spec"].update(egress=[{}]) for each in found if each["kind"] == "NetworkPolicy"
        ],
        "a token": lambda found: of(found, "Deployment")["spec"]["template"]["spec"].pop(
            "automountServiceAccountToken"
        ),
        "an unknown setting": lambda found: of(found, "ConfigMap")["data"].update(ASR_NOTHING="1"),
        "a lost service": lambda found: of(found, "Service")["spec"]["selector"].update(a="b"),
        "an unknown field": lambda found: of(found, "Deployment")["spec"].update(replicass=1),
    }
    for name, plant in faults.items():
        spoiled = copy.deepcopy(objects)
        plant(spoiled)
        if not [*schema_faults(spoiled), *rule_faults(spoiled, settings)]:
            yield f"planted and not found: {name}"


def copy_faults(script: Path) -> Iterator[str]:
    """Fill a volume with two copiers at once, kill one, fill it again; files that differ."""
    with tempfile.TemporaryDirectory() as name:
        source, target = Path(name, "store"), Path(name, "models")
        target.mkdir()
        for number in range(40):
            blob = source / "sha256" / f"{number:02d}" / f"{number:064d}"
            blob.parent.mkdir(parents=True)
            blob.write_bytes(bytes([number]) * 4_000_000)
        command = ["sh", script, source, target]
        first, second = subprocess.Popen(command), subprocess.Popen(command)
        time.sleep(0.1)
        first.send_signal(signal.SIGKILL)
        first.wait()
        if second.wait(60) or subprocess.run(command, check=False, timeout=60).returncode:
            yield "models.sh failed beside a copier that was killed"
        for blob in source.rglob("*"):
            copied = target / blob.relative_to(source)
            if blob.is_file() and copied.read_bytes() != blob.read_bytes():
                yield f"models.sh: {copied.name} differs"
        shutil.rmtree(source)


def say(text: str) -> None:
    """One line, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(kubectl: str, root: Path) -> int:
    """Print what was checked and every fault; the exit status."""
    base = root / "deploy" / "kubernetes"
    page = (root / "docs" / "reference" / "settings.md").read_text()
    settings = set(re.findall(r"^\| `([A-Z_]+)` \|", page, re.MULTILINE))
    wrong: list[str] = []
    for overlay in sorted((base / "overlays").iterdir()):
        objects = rendered(kubectl, overlay)
        found = [*schema_faults(objects), *rule_faults(objects, settings)]
        wrong += [f"{overlay.name}: {each}" for each in found]
        custom = sorted({each["kind"] for each in objects} & CUSTOM)
        said = f", without a schema: {', '.join(custom)}" if custom else ""
        say(f"{overlay.name}: {len(objects)} objects, Kubernetes {', '.join(VERSIONS)}{said}")
        if overlay.name == "cpu":
            wrong += planted(objects, settings)
    wrong += copy_faults(base / "base" / "models.sh")
    for each in wrong:
        sys.stderr.write(f"FAILED: kubernetes: {each}\n")
    say("no real cluster was asked")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
