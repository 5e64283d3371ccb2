use super::Asked;
use super::UpstreamName;

/// Tells what a Quay has, by its API.
pub(super) async fn discover(asked: Asked<'_>, upstream: &UpstreamName, pattern: &str) {
    let what = format!("{upstream}/{pattern}");
    asked
        .failed(what, "Quay's API is not asked yet".to_owned())
        .await;
}
