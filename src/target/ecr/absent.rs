use super::by_hand;
use crate::oci::Name;
use crate::registry;

/// What stands for ECR's API in a build without it.
#[derive(Default)]
pub(super) struct Api;

impl Api {
    /// # Errors
    /// Always: what to do about it.
    pub(super) async fn create(&self, _: &registry::Config, name: &Name) -> Result<(), String> {
        Err(format!(
            "this build of tidegate can't create repositories at ECR: {}, or take a build with the \
             cargo feature `ecr`",
            by_hand(name)
        ))
    }
}
