//! OpenShift releases: components that share layers, and the release image that names them.

use serde_json::Value;
use serde_json::json;

use crate::image::Image;
use crate::image::ImageBuilder;

/// An OpenShift release for one architecture.
#[derive(Clone, Debug)]
pub struct Release {
    /// Such as `4.20.8`.
    pub version: String,
    /// The release image: its topmost layer has `release-manifests/image-references`.
    pub image: Image,
    /// Its components, by their names; some have the same image.
    pub components: Vec<(String, Image)>,
}

/// What components are for.
const PLATFORMS: [&str; 10] = [
    "aws",
    "azure",
    "gcp",
    "ibm",
    "kubevirt",
    "nutanix",
    "openstack",
    "powervs",
    "vmware",
    "baremetal",
];
/// What each of those has.
const EACH: [&str; 7] = [
    "cloud-controller-manager",
    "cluster-api-controllers",
    "csi-driver",
    "csi-driver-operator",
    "machine-controllers",
    "installer",
    "pod-identity-webhook",
];
/// What else a cluster has.
const OPERATORS: [&str; 40] = [
    "apiserver-network-proxy",
    "cli",
    "cli-artifacts",
    "cloud-credential",
    "cluster-authentication",
    "cluster-autoscaler",
    "cluster-bootstrap",
    "cluster-config",
    "cluster-dns",
    "cluster-etcd",
    "cluster-image-registry",
    "cluster-ingress",
    "cluster-kube-apiserver",
    "cluster-kube-scheduler",
    "cluster-machine-approver",
    "cluster-monitoring",
    "cluster-network",
    "cluster-node-tuning",
    "cluster-samples",
    "cluster-storage",
    "cluster-version",
    "console",
    "coredns",
    "docker-registry",
    "etcd",
    "haproxy-router",
    "hyperkube",
    "hypershift",
    "insights",
    "keepalived-ipfailover",
    "kube-proxy",
    "kube-rbac-proxy",
    "machine-config",
    "multus-cni",
    "must-gather",
    "oauth-proxy",
    "oauth-server",
    "ovn-kubernetes",
    "prometheus",
    "telemeter",
];
const PARTS: [&str; 3] = ["", "-operator", "-tests"];

impl Release {
    /// One of `count` components (190 are as many as a real one has) that were built into
    /// `repository`, such as `quay.io/openshift-release-dev/ocp-v4.0-art-dev`. All are on one base;
    /// each has a small layer of its own, but the last, which is the first under another name.
    pub fn new(version: &str, repository: &str, count: usize) -> Self {
        let mut names: Vec<String> = PLATFORMS
            .iter()
            .flat_map(|platform| EACH.iter().map(move |each| format!("{platform}-{each}")))
            .collect();
        for part in PARTS {
            names.extend(OPERATORS.iter().map(|operator| format!("{operator}{part}")));
        }
        names.truncate(count);
        names.sort();
        assert_eq!(names.len(), count, "there are no more names");
        let mut components: Vec<(String, Image)> = (1..)
            .zip(names)
            .map(|(seed, name)| (name, component(seed)))
            .collect();
        if let [(_, first), .., (_, last)] = &mut components[..] {
            last.clone_from(first);
        }
        let references = references(version, repository, &components);
        let image = ImageBuilder::new(0)
            .docker()
            .base(4, 2)
            .layers(1)
            .layer_size(4000)
            .file(
                "release-manifests/0000_00_cluster-version.yaml",
                "kind: Namespace\n",
                0o644,
            )
            .file(
                "release-manifests/image-references",
                references.to_string(),
                0o644,
            )
            .file("release-manifests/release-metadata", "{}", 0o644);
        Self {
            version: version.to_owned(),
            image: image.build(),
            components,
        }
    }
}

fn component(seed: u64) -> Image {
    let image = ImageBuilder::new(1000 + seed).docker().base(4, 2);
    image.layers(1).layer_size(4000).build()
}

/// The file, as `oc adm release new` writes it.
fn references(version: &str, repository: &str, components: &[(String, Image)]) -> Value {
    let tags = components.iter().map(|(name, image)| {
        json!({
            "name": name,
            "annotations": {
                "io.openshift.build.commit.id": "0123456789abcdef0123456789abcdef01234567",
                "io.openshift.build.commit.ref": "",
                "io.openshift.build.source-location": format!("https://github.com/openshift/{name}"),
            },
            "from": {"kind": "DockerImage", "name": format!("{repository}@{}", image.digest())},
            "generation": null,
            "importPolicy": {},
            "referencePolicy": {"type": ""},
        })
    });
    json!({
        "kind": "ImageStream",
        "apiVersion": "image.openshift.io/v1",
        "metadata": {
            "name": version,
            "creationTimestamp": "2026-01-05T09:12:44Z",
            "annotations": {"release.openshift.io/from-image-stream": "ocp/4.20-art-assembly"},
        },
        "spec": {"lookupPolicy": {"local": false}, "tags": tags.collect::<Vec<_>>()},
        "status": {"dockerImageRepository": ""},
    })
}
