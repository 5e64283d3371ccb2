//! What special sources tell a prefetch set: a Quay's namespaces by its API, OpenShift's releases,
//! asked of scripted registries at the wire.

mod openshift;
#[path = "../premises/mod.rs"]
mod premises;
mod quay;
mod rig;
