"""The cluster files are what Ray's launcher and KubeRay take, and all of them ask for a token.

KubeRay's own definitions are a megabyte each, so that the fields that our file uses are listed here, with their types
and those required, as in KubeRay 1.7's `ray.io/v1` (ray-operator/config/crd/bases). Where `KUBERAY_CRD` names a
folder with those files the whole definitions are asked too.
"""

import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[1]
LAUNCHED = ("cluster.yaml", "clusters/aws.yaml", "clusters/gcp.yaml")
STARTS = ("head_start_ray_commands", "worker_start_ray_commands")


def launcher(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / name).read_text()))


@pytest.fixture(params=LAUNCHED)
def given(request: pytest.FixtureRequest) -> dict[str, Any]:
    return launcher(request.param)


def test_ray_takes_each_file(given: dict[str, Any]) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(given)
    validate_config(prepared)
    assert prepared["available_node_types"]
    for name in STARTS:
        assert prepared[name] == given[name], "Ray's own start commands have no token"


def test_ray_refuses_a_misspelt_setting(given: dict[str, Any]) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    with pytest.raises(jsonschema.ValidationError, match="setup_comands"):
        validate_config(prepare_config({**given, "setup_comands": []}))


def test_every_start_asks_for_the_token_and_opens_nothing_to_the_world(given: dict[str, Any]) -> None:
    for name in STARTS:
        (start,) = [command for command in given[name] if "ray start" in command]
        assert "RAY_AUTH_MODE=token ray start" in start
        assert "0.0.0.0" not in start
    assert "--dashboard-host=127.0.0.1" in given["head_start_ray_commands"][1]
    assert given["setup_commands"][0].startswith("chmod 600 ~/.ray/auth_token")
    assert given["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"


def test_the_head_trains_nothing(given: dict[str, Any]) -> None:
    if given["provider"]["type"] == "local":
        assert "--num-cpus=0 --num-gpus=0" in given["head_start_ray_commands"][1]
    else:
        assert given["available_node_types"]["head"]["resources"]["CPU"] == 0
        gpu = given["available_node_types"]["gpu"]
        assert (gpu["min_workers"], gpu["resources"]) == (0, {})


def test_clouds_are_installed_as_hosts_are() -> None:
    own = set(launcher("cluster.yaml")["setup_commands"])
    for name in LAUNCHED[1:]:
        assert own <= set(launcher(name)["setup_commands"])


def test_lines_are_explained() -> None:
    for name in (*LAUNCHED, "clusters/kuberay.yaml"):
        lines = (ROOT / name).read_text().splitlines()
        assert len(lines) <= 75, name
        assert sum("#" in line for line in lines) >= len(lines) / 4, name


# A type in words, a list of what is accepted, a mapping of fields (required ones end with "!"), or [one of these] for
# a list of it. Anything else is refused.
QUANTITIES = {"any": "quantity"}
POD: dict[str, Any] = {
    "spec": {
        "automountServiceAccountToken": "boolean",
        "terminationGracePeriodSeconds": "integer",
        "nodeSelector": {"any": "string"},
        "tolerations": [{"key": "string", "operator": "string", "effect": "string"}],
        "containers!": [
            {
                "name!": "string",
                "image": "string",
                "resources": {"requests": QUANTITIES, "limits": QUANTITIES},
                "volumeMounts": [{"name!": "string", "mountPath!": "string"}],
            }
        ],
        "volumes": [
            {
                "name!": "string",
                "persistentVolumeClaim": {"claimName!": "string"},
                "emptyDir": {"medium": "string", "sizeLimit": "quantity"},
            }
        ],
    }
}
HEAD = {"apiVersion": "string", "kind": "string", "metadata": {"name!": "string"}}
FIELDS: dict[str, dict[str, Any]] = {
    "RayCluster": {
        **HEAD,
        "spec": {
            "rayVersion": "string",
            "authOptions": {"mode": ("disabled", "token"), "secretName": "string"},
            "enableInTreeAutoscaling": "boolean",
            "autoscalerOptions": {"version": ("v1", "v2"), "idleTimeoutSeconds": "integer"},
            "headGroupSpec!": {"serviceType": "string", "rayStartParams": {"any": "string"}, "template!": POD},
            "workerGroupSpecs": [
                {
                    "groupName!": "string",
                    "minReplicas!": "integer",
                    "maxReplicas!": "integer",
                    "replicas": "integer",
                    "rayStartParams": {"any": "string"},
                    "template!": POD,
                }
            ],
        },
    },
    "RayJob": {
        **HEAD,
        "spec": {
            "clusterSelector": {"any": "string"},
            "entrypoint": "string",
            "submissionMode": "string",
            "backoffLimit": "integer",
            "shutdownAfterJobFinishes": "boolean",
        },
    },
    "PersistentVolumeClaim": {
        **HEAD,
        "spec": {
            "accessModes": ["string"],
            "storageClassName": "string",
            "resources": {"requests": QUANTITIES, "limits": QUANTITIES},
        },
    },
}


def schema(fields: Any) -> dict[str, Any]:
    if fields == "quantity":
        return {"anyOf": [{"type": "integer"}, {"type": "string", "pattern": r"^\d+(\.\d+)?([munkKMGTP]i?)?$"}]}
    if isinstance(fields, str):
        return {"type": fields}
    if isinstance(fields, tuple):
        return {"enum": list(fields)}
    if isinstance(fields, list):
        return {"type": "array", "items": schema(fields[0])}
    if "any" in fields:
        return {"type": "object", "additionalProperties": schema(fields["any"])}
    return {
        "type": "object",
        "properties": {name.rstrip("!"): schema(below) for name, below in fields.items()},
        "required": [name[:-1] for name in fields if name.endswith("!")],
        "additionalProperties": False,
    }


def documents() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((ROOT / "clusters/kuberay.yaml").read_text()))


def document(kind: str) -> dict[str, Any]:
    (found,) = [each for each in documents() if each["kind"] == kind]
    return found


def test_kubernetes_takes_each_document() -> None:
    assert [each["kind"] for each in documents()] == ["PersistentVolumeClaim", "RayCluster", "RayJob"]
    for each in documents():
        jsonschema.validate(each, schema(FIELDS[each["kind"]]))


@pytest.mark.parametrize(
    "wrong",
    [{"rayversion": "2.60.0"}, {"authOptions": {"mode": "tokens"}}, {"headGroupSpec": {}}, {"workerGroupSpecs": {}}],
)
def test_kubernetes_refuses_what_is_wrong(wrong: dict[str, Any]) -> None:
    changed = document("RayCluster")
    changed["spec"].update(wrong)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(changed, schema(FIELDS["RayCluster"]))


@pytest.mark.parametrize("kind", ["RayCluster", "RayJob"])
def test_kuberays_own_definition_takes_it(kind: str) -> None:
    folder = os.environ.get("KUBERAY_CRD")
    if not folder:
        pytest.skip("KUBERAY_CRD names no folder with KubeRay's definitions: its fields are checked above")
    definition = yaml.safe_load((Path(folder) / f"ray.io_{kind.lower()}s.yaml").read_text())
    (whole,) = [each["schema"]["openAPIV3Schema"] for each in definition["spec"]["versions"] if each["name"] == "v1"]
    jsonschema.validate(document(kind), strict(whole))


def strict(part: Any) -> Any:
    """A definition that refuses fields that it does not name, as `kubectl apply` does."""
    if isinstance(part, list):
        return [strict(each) for each in part]
    if not isinstance(part, dict):
        return part
    below = {name: strict(each) for name, each in part.items() if name not in {"format"}}
    if isinstance(part.get("properties"), dict) and "additionalProperties" not in part and part.get("type") == "object":
        below["additionalProperties"] = not part["properties"] or set(part["properties"]) == {"metadata"}
    return below


def test_kuberay_starts_what_we_pin_behind_a_token() -> None:
    cluster = document("RayCluster")["spec"]
    pinned = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line.startswith("ray==")]
    assert pinned == [f"ray=={cluster['rayVersion']} \\"]
    assert f"ray:{cluster['rayVersion']}-" in (ROOT / "clusters/Dockerfile").read_text()
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert document("RayJob")["spec"]["clusterSelector"] == {
        "ray.io/cluster": document("RayCluster")["metadata"]["name"]
    }
    claims = [
        each["persistentVolumeClaim"]["claimName"] for each in cluster["headGroupSpec"]["template"]["spec"]["volumes"]
    ]
    assert claims == [document("PersistentVolumeClaim")["metadata"]["name"]]


def test_rays_autoscaler_reads_the_cluster() -> None:
    """By the function with which Ray's autoscaler beside the head reads the same document from Kubernetes."""
    from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
    from ray.autoscaler._private.util import validate_config

    cluster = document("RayCluster")
    cluster["metadata"]["namespace"] = "default"
    derived = _derive_autoscaling_config_from_ray_cr(cluster)
    validate_config(derived)
    kinds = derived["available_node_types"]
    assert kinds["headgroup"]["resources"]["CPU"] == 0
    assert {name: kinds["gpu"]["resources"][name] for name in ("CPU", "GPU")} == {"CPU": 7, "GPU": 1}
    assert (kinds["gpu"]["min_workers"], kinds["gpu"]["max_workers"]) == (0, 8)
