//! Debian's docker-registry as a target.

use fake_registry::Client;
use fake_registry::Corpus;
use fake_registry::DockerRegistry;
use fake_registry::need;
use tidegate::oci::media;

use crate::rig::NAME;
use crate::rig::Rig;
use crate::rig::config;
use crate::shelf::shelf;

#[tokio::test]
async fn a_corpus_ends_in_docker_registry() {
    if !need(&["docker-registry"]) {
        return;
    }
    todo!()
}
