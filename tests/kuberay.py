"""What KubeRay lets stand in a RayJob: its own part of the custom resource's OpenAPI schema, field by field.

Source: `spec.versions[v1].schema.openAPIV3Schema` of the CRD rayjobs.ray.io, which KubeRay publishes by itself in
clients/python-client/python_client/models/generated_rayjob_schema.json (ray-project/kuberay, commit fde4dad1811e37fc635906bcb330f55e4a96fb80, read 2026-11-21).
All its fields are here, whether our manifests use them or not, with their types and ranges, without their defaults. Where the CRD copies a type of
Kubernetes, this file has `POD`, to be held against the schema that Kubernetes publishes, or `UNCHECKED`, which no manifest may use before a test holds it
against something. A cluster drops fields that a CRD does not have; here they are mistakes.
"""

from typing import Any

TEXT: dict[str, Any] = {"type": "string"}
FLAG: dict[str, Any] = {"type": "boolean"}
INT32: dict[str, Any] = {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1}
WORDS: dict[str, Any] = {"type": "object", "additionalProperties": TEXT}
POD: dict[str, Any] = {"type": "object"}
UNCHECKED = False


def table(*required: str, **properties: Any) -> dict[str, Any]:
    """Return the schema of an object with these fields and no others."""
    return {"type": "object", "required": list(required), "properties": properties, "additionalProperties": False}


def rows(of: Any, least: int = 0) -> dict[str, Any]:
    """Return the schema of a list."""
    return {"type": "array", "items": of, "minItems": least}


def words(*allowed: str) -> dict[str, Any]:
    """Return the schema of one of these words."""
    return {"type": "string", "enum": list(allowed)}


MANAGED_BY = words("ray.io/kuberay-operator", "kueue.x-k8s.io/multikueue")
POLICY = words("DeleteCluster", "DeleteWorkers", "DeleteSelf", "DeleteNone")
ONE_POLICY = table(policy=POLICY)
DELETION = table(
    deletionRules=rows(
        table(
            "condition",
            "policy",
            condition={
                **table(jobDeploymentStatus=words("Failed"), jobStatus=words("SUCCEEDED", "FAILED"), ttlSeconds={**INT32, "minimum": 0}),
                "oneOf": [{"required": ["jobStatus"]}, {"required": ["jobDeploymentStatus"]}],
            },
            policy=POLICY,
        ),
        least=1,
    ),
    onFailure=ONE_POLICY,
    onSuccess=ONE_POLICY,
) | {"oneOf": [{"required": ["onSuccess", "onFailure"]}, {"required": ["deletionRules"]}]}

CLUSTER = table(
    "headGroupSpec",
    authOptions=table(mode=words("disabled", "token")),
    autoscalerOptions=table(
        env=UNCHECKED,
        envFrom=UNCHECKED,
        idleTimeoutSeconds=INT32,
        image=TEXT,
        imagePullPolicy=TEXT,
        resources=UNCHECKED,
        securityContext=UNCHECKED,
        upscalingMode=words("Default", "Aggressive", "Conservative"),
        version=words("v1", "v2"),
        volumeMounts=UNCHECKED,
    ),
    enableInTreeAutoscaling=FLAG,
    gcsFaultToleranceOptions=table("redisAddress", externalStorageNamespace=TEXT, redisAddress=TEXT, redisPassword=UNCHECKED, redisUsername=UNCHECKED),
    headGroupSpec=table(
        "template",
        enableIngress=FLAG,
        headService=UNCHECKED,
        labels=WORDS,
        rayStartParams=WORDS,
        resources=WORDS,
        serviceType=TEXT,
        template=POD,
    ),
    headServiceAnnotations=WORDS,
    managedBy=MANAGED_BY,
    rayVersion=TEXT,
    suspend=FLAG,
    upgradeStrategy=table(type=words("Recreate", "None")),
    workerGroupSpecs=rows(
        table(
            "groupName",
            "maxReplicas",
            "minReplicas",
            "template",
            groupName=TEXT,
            idleTimeoutSeconds=INT32,
            labels=WORDS,
            maxReplicas=INT32,
            minReplicas=INT32,
            numOfHosts=INT32,
            rayStartParams=WORDS,
            replicas=INT32,
            resources=WORDS,
            scaleStrategy=table(workersToDelete=rows(TEXT)),
            suspend=FLAG,
            template=POD,
        )
    ),
)

RAYJOB = table(
    "apiVersion",
    "kind",
    "metadata",
    "spec",
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    # Not in the CRD: what Kubernetes allows a name, and KubeRay's own limit of 47 (rayjob's validation), for it derives names of pods from it.
    metadata=table("name", name={"type": "string", "pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$", "maxLength": 47}),
    spec=table(
        activeDeadlineSeconds=INT32,
        backoffLimit=INT32,
        clusterSelector=WORDS,
        deletionStrategy=DELETION,
        entrypoint=TEXT,
        entrypointNumCpus={"type": "number"},
        entrypointNumGpus={"type": "number"},
        entrypointResources=TEXT,
        jobId=TEXT,
        managedBy=MANAGED_BY,
        metadata=WORDS,
        rayClusterSpec=CLUSTER,
        runtimeEnvYAML=TEXT,
        shutdownAfterJobFinishes=FLAG,
        # The schema says text; the modes are KubeRay's own validation (JobSubmissionMode in ray-operator/apis/ray/v1/rayjob_types.go).
        submissionMode=words("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"),
        submitterConfig=table(backoffLimit=INT32),
        submitterPodTemplate=POD,
        suspend=FLAG,
        ttlSecondsAfterFinished=INT32,
    ),
)
