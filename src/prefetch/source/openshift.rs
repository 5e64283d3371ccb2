use super::Asked;
use super::Release;

/// Tells what a release consists of.
pub(super) async fn discover(asked: Asked<'_>, release: &Release) {
    let what = release.to_string();
    asked
        .failed(what, "releases are not read yet".to_owned())
        .await;
}
