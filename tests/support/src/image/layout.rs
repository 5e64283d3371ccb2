//! An image as an OCI image layout (image spec, image-layout.md).

use std::fs;
use std::io;
use std::path::Path;

use serde_json::json;

use crate::image::Image;
use crate::image::OCI_INDEX;

impl Image {
    /// Writes the image into `folder`, which is created, as an OCI image layout with `tag` as its
    /// name.
    ///
    /// # Errors
    /// Where the folder can't be written.
    pub fn write_oci_layout(&self, folder: impl AsRef<Path>, tag: &str) -> io::Result<()> {
        let folder = folder.as_ref();
        let blobs = folder.join("blobs/sha256");
        fs::create_dir_all(&blobs)?;
        for part in self.blobs.iter().chain(&self.manifests).chain([&self.root]) {
            let hex = part.digest.trim_start_matches("sha256:");
            fs::write(blobs.join(hex), &part.bytes)?;
        }
        let mut root = self.root.descriptor();
        root["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
        let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [root]});
        fs::write(folder.join("index.json"), index.to_string())?;
        fs::write(
            folder.join("oci-layout"),
            "{\"imageLayoutVersion\":\"1.0.0\"}",
        )
    }
}
