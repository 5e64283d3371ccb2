use std::collections::HashSet;
use std::io::Read;
use std::io::Seek as _;
use std::io::SeekFrom;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;
use serde_json::json;
use tar::EntryType;
use tar::Header;
use tempfile::NamedTempFile;

use super::Error;
use super::error::At as _;
use super::packing;
use super::saved;
use super::saved::Config;
use super::writer;
use crate::oci::Digest;
use crate::oci::Hasher;

/// A docker-archive that is being written: `finish` publishes it, a drop leaves nothing.
///
/// Layers are written once, whatever images have them. The same images in the same order give the
/// same bytes.
#[derive(Debug)]
pub struct ArchiveWriter {
    path: PathBuf,
    temp: NamedTempFile,
    there: HashSet<String>,
    images: Vec<Value>,
}

/// What of an image goes into an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layers {
    /// The config's blob.
    pub config: Digest,
    /// The layers, the lowest first.
    pub layers: Vec<Step>,
}

/// A layer, as it comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its blob.
    pub digest: Digest,
    /// Its length as it comes, in bytes.
    pub size: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    config: Option<Entry>,
    #[serde(default)]
    layers: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    media_type: String,
    digest: String,
    size: u64,
}

/// Configs of images that docker can load.
const CONFIGS: [&str; 2] = [
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
];

impl Layers {
    /// Of an image's manifest.
    ///
    /// # Errors
    /// [`Error::Unfit`] when it is an index, or an artifact that is no image.
    pub fn of(manifest: &[u8]) -> Result<Self, Error> {
        let unfit = |why: &str| {
            Error::Unfit(format!(
                "a docker-archive holds images only, and this {why}; copy it to oci:DIR"
            ))
        };
        let fields = serde_json::from_slice::<Fields>(manifest);
        let fields = fields.map_err(|_| unfit("is none"))?;
        let config = fields.config.ok_or_else(|| unfit("has no config"))?;
        if !CONFIGS.contains(&config.media_type.as_str()) {
            return Err(unfit("is an artifact"));
        }
        let digest = |text: &str| {
            let digest = text.parse::<Digest>();
            digest.map_err(|error| Error::Unfit(error.to_string()))
        };
        let step = |layer: &Entry| {
            Ok(Step {
                digest: digest(&layer.digest)?,
                size: layer.size,
            })
        };
        Ok(Self {
            config: digest(&config.digest)?,
            layers: fields
                .layers
                .iter()
                .map(step)
                .collect::<Result<_, Error>>()?,
        })
    }

    /// The digests of the layers before compression, as `config` says, one for each.
    ///
    /// # Errors
    /// [`Error::Unfit`] when the config has more or fewer.
    pub fn diff_ids(&self, config: &[u8]) -> Result<Vec<Digest>, Error> {
        let ids = Config::diff_ids(config).map_err(Error::Unfit)?;
        if ids.len() != self.layers.len() {
            let (layers, said) = (self.layers.len(), ids.len());
            let why = format!("the image has {layers} layers where its config has {said}");
            return Err(Error::Unfit(why));
        }
        Ok(ids)
    }
}

impl ArchiveWriter {
    /// An archive that will be at `path`, in place of what is there.
    ///
    /// # Errors
    /// When its folder can't be written.
    pub fn create(path: &Path) -> Result<Self, Error> {
        if path.is_dir() {
            return Err(Error::wrong(path, "this is a folder; name a file"));
        }
        Ok(Self {
            temp: writer::temp(folder(path))?,
            path: path.to_path_buf(),
            there: HashSet::new(),
            images: Vec::new(),
        })
    }

    /// Whether the layer is in it already.
    pub fn has(&self, diff_id: &Digest) -> bool {
        self.there.contains(&layer_name(diff_id))
    }

    /// Adds a layer of `size` bytes, which are decompressed. It must have the digest `diff_id` then.
    ///
    /// # Errors
    /// When `layer` fails, is something else, or the disk refuses. Nothing can be done with this
    /// writer then.
    pub fn layer(&mut self, diff_id: &Digest, layer: impl Read, size: u64) -> Result<(), Error> {
        let name = layer_name(diff_id);
        let header = self.temp.stream_position().at(&self.path)?;
        self.temp.write_all(&[0; BLOCK]).at(&self.path)?;
        let mut plain = packing::unpacked(layer, size).at(&self.path)?;
        let mut hasher = Hasher::new(diff_id.algorithm());
        let mut buffer = vec![0; 256 << 10];
        let mut length = 0;
        loop {
            let read = plain.read(&mut buffer).map_err(|error| {
                Error::Unfit(format!(
                    "the layer {diff_id} can't be decompressed: {error}"
                ))
            })?;
            if read == 0 {
                break;
            }
            hasher.update(&buffer[..read]);
            self.temp.write_all(&buffer[..read]).at(&self.path)?;
            length += read as u64;
        }
        let found = hasher.finish();
        if found != *diff_id {
            let why = format!("a layer that its config calls {diff_id} is {found}");
            return Err(Error::Unfit(why));
        }
        self.pad(length)?;
        self.temp.seek(SeekFrom::Start(header)).at(&self.path)?;
        self.header(&name, length)?;
        self.temp.seek(SeekFrom::End(0)).at(&self.path)?;
        self.there.insert(name);
        Ok(())
    }

    /// Adds an image, all of whose layers were added, under `names`, such as `nginx:1.27`.
    ///
    /// # Errors
    /// When a layer was not added, or the disk refuses.
    pub fn image(&mut self, config: &[u8], names: &[String]) -> Result<(), Error> {
        let layers = Config::diff_ids(config).map_err(Error::Unfit)?;
        if let Some(missing) = layers.iter().find(|layer| !self.has(layer)) {
            return Err(Error::Unfit(format!("the layer {missing} was not added")));
        }
        let layers: Vec<String> = layers.iter().map(layer_name).collect();
        let name = format!("{}.json", Digest::of(config).hex());
        if self.there.insert(name.clone()) {
            self.file(&name, config)?;
        }
        let names = match names {
            [] => Value::Null,
            names => json!(names),
        };
        let image = json!({"Config": name, "RepoTags": names, "Layers": layers});
        self.images.push(image);
        Ok(())
    }

    /// Publishes it. Durable when this returns.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn finish(mut self) -> Result<(), Error> {
        let list = Value::Array(std::mem::take(&mut self.images)).to_string();
        self.file(saved::FILE, list.as_bytes())?;
        self.temp.write_all(&[0; 2 * BLOCK]).at(&self.path)?;
        self.temp.as_file().sync_data().at(&self.path)?;
        writer::persist(self.temp, &self.path)?;
        writer::sync(folder(&self.path))
    }

    fn file(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.header(name, bytes.len() as u64)?;
        self.temp.write_all(bytes).at(&self.path)?;
        self.pad(bytes.len() as u64)
    }

    fn header(&mut self, name: &str, size: u64) -> Result<(), Error> {
        let mut header = Header::new_gnu();
        header.set_path(name).at(&self.path)?;
        header.set_entry_type(EntryType::Regular);
        header.set_size(size);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_cksum();
        self.temp.write_all(header.as_bytes()).at(&self.path)
    }

    fn pad(&mut self, length: u64) -> Result<(), Error> {
        let over = (length % BLOCK as u64) as usize;
        let padding = &[0; BLOCK][..(BLOCK - over) % BLOCK];
        self.temp.write_all(padding).at(&self.path)
    }
}

const BLOCK: usize = 512;

fn layer_name(diff_id: &Digest) -> String {
    // A longer name would need an extended header.
    format!("{}.tar", &diff_id.hex()[..64])
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}
