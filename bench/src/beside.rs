//! Clients beside a prefetch: how long they wait for the first byte of what is not stored, with and
//! without one at full speed.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use fake_registry::Client;
use fake_registry::Tidegate;
use fake_registry::Upstream;
use futures_util::future::join_all;

use crate::machine::Machine;
use crate::measure::quantile;
use crate::peers;
use crate::stop;

/// How many clients, how often.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// How often each of both is measured, in turn.
    #[arg(long, value_name = "N", default_value_t = 3)]
    iterations: usize,
    /// How many clients pull at the same time.
    #[arg(long, value_name = "N", default_value_t = 16)]
    clients: usize,
    /// How long each is measured.
    #[arg(long, value_name = "SECONDS", default_value_t = 8)]
    seconds: u64,
    /// The tidegate to measure [default: the release build, built first where run by cargo].
    #[arg(long, value_name = "PATH")]
    tidegate: Option<PathBuf>,
    /// Where the store is put.
    #[arg(long, value_name = "DIR", default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
}

/// What a client pulls, in bytes.
const PULLED: u64 = 128 << 10;
/// How long it thinks before the next pull.
const THOUGHT: Duration = Duration::from_millis(25);
/// The layers of a prefetch: how many, and their length in bytes.
const LAYERS: usize = 400;
const LAYER: u64 = 4 << 20;

struct World {
    source: Upstream,
    tidegate: Tidegate,
    client: Client,
    /// What no client has pulled yet.
    blobs: Mutex<Vec<String>>,
    seed: AtomicUsize,
}

/// Lets clients pull with and without a prefetch beside them, and lays out how long they waited.
///
/// # Errors
/// When tidegate is not there, or a pull fails.
pub(crate) fn run(options: &Options) -> anyhow::Result<String> {
    stop::listen()?;
    let program = peers::tidegate::wanted(options.tidegate.as_deref())?;
    let machine = Machine::look(&options.dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let folder = peers::folder(&options.dir)?;
    let world = Arc::new(runtime.block_on(World::start(&program, folder.path(), options)));
    let mut waits = [Vec::new(), Vec::new()];
    let mut fetched = Vec::new();
    for iteration in 0..options.iterations {
        for (beside, waits) in waits.iter_mut().enumerate() {
            stop::check()?;
            let (found, bytes) =
                runtime.block_on(world.measure(options, (iteration, beside == 1)))?;
            eprintln!(
                "{}: median {:.2} ms of {} pulls, {:.0} MB/s prefetched",
                ["alone", "beside a prefetch"][beside],
                quantile(&found, 0.5).unwrap_or(f64::NAN),
                found.len(),
                bytes,
            );
            if beside == 1 {
                fetched.push(bytes);
            }
            waits.extend(found);
        }
    }
    drop(world);
    runtime.shutdown_background();
    let mut text = format!(
        "{} cores of {}, {}; {}\n\n{} clients, blobs of {} KiB that are not stored; a prefetch of \
         layers of {} MiB, {:.0} MB/s while they pull\n\n| time to first byte, ms | alone | beside | \
         ratio |\n|---|---:|---:|---:|\n",
        machine.cores,
        machine.cpu,
        machine.kernel,
        machine.commit,
        options.clients,
        PULLED >> 10,
        LAYER >> 20,
        quantile(&fetched, 0.5).unwrap_or(f64::NAN),
    );
    for (name, at) in [("median", 0.5), ("90 %", 0.9), ("99 %", 0.99)] {
        let [alone, beside] = [0, 1].map(|it| quantile(&waits[it], at).unwrap_or(f64::NAN));
        let ratio = beside / alone;
        let _ = writeln!(text, "| {name} | {alone:.2} | {beside:.2} | {ratio:.2} |");
    }
    Ok(text)
}

impl World {
    async fn start(program: &std::path::Path, folder: &std::path::Path, options: &Options) -> Self {
        let source = Upstream::start().await;
        let mut sets = String::new();
        for iteration in 0..options.iterations {
            let _ = write!(
                sets,
                "\n[[prefetch]]\nname = \"bulk{iteration}\"\nfrom = \"up.test/bulk{iteration}/*\"\n\
                 referrers = false\n"
            );
        }
        let config = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n[store]\npath = \"store\"\n\n\
             [[upstream]]\nname = \"up.test\"\ndefault = true\nurl = {:?}\nplain_http = true\n\
             credentials = \"anonymous\"\n{sets}",
            source.url()
        );
        let tidegate = Tidegate::builder(program, &config).folder(folder);
        Self {
            tidegate: tidegate.start().await,
            source,
            client: Client::new(),
            blobs: Mutex::default(),
            seed: AtomicUsize::new(0),
        }
    }

    /// How long clients waited, in milliseconds each, and how much was prefetched meanwhile, in MB a
    /// second.
    async fn measure(
        self: &Arc<Self>,
        options: &Options,
        (iteration, beside): (usize, bool),
    ) -> anyhow::Result<(Vec<f64>, f64)> {
        let length = Duration::from_secs(options.seconds);
        let pulls = length.as_millis() / THOUGHT.as_millis() + 1;
        self.stock(options.clients * usize::try_from(pulls)?);
        if beside {
            self.prefetch(iteration).await?;
        }
        self.source.clear_log();
        let deadline = Instant::now() + length;
        let clients = (0..options.clients).map(|_| {
            let world = self.clone();
            tokio::spawn(async move { world.pull(deadline).await })
        });
        let mut waits = Vec::new();
        for client in join_all(clients).await {
            waits.extend(client??);
        }
        let ended = self.source.take_ended();
        let bulk = ended
            .iter()
            .filter(|it| it.path.contains("/bulk") && it.path.contains("/blobs/"));
        let bytes = bulk.count() as f64 * LAYER as f64;
        Ok((waits, bytes / 1e6 / length.as_secs_f64()))
    }

    /// Puts blobs into the source that nobody has pulled.
    fn stock(&self, count: usize) {
        let mut blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        blobs.extend((0..count).map(|_| {
            let seed = self.seed.fetch_add(1, Ordering::Relaxed) as u64;
            self.source.put_generated_blob("clients/app", PULLED, seed)
        }));
    }

    /// Begins a prefetch that takes longer than the measurement.
    async fn prefetch(&self, iteration: usize) -> anyhow::Result<()> {
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        for number in 0..LAYERS {
            let name = format!("bulk{iteration}/app{}", number % 20);
            let seed = 1_000_000 + (iteration * LAYERS + number) as u64;
            let digest = self.source.put_generated_blob(&name, LAYER, seed);
            let layer = serde_json::json!({"mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": digest, "size": LAYER});
            let manifest = serde_json::json!({"schemaVersion": 2, "mediaType": media_type,
                "layers": [layer]});
            let tag = format!("v{number}");
            self.source
                .put_manifest(&name, &tag, media_type, manifest.to_string());
        }
        let url = format!("{}/api/v1/prefetch/bulk{iteration}", self.tidegate.admin());
        let begun = self.client.request("POST".parse()?, url).send().await?;
        anyhow::ensure!(
            begun.status.is_success(),
            "the prefetch does not begin: {}",
            begun.status
        );
        let is_bulk = |path: &str| path.contains("/bulk") && path.contains("/blobs/");
        self.source
            .wait_for(|log| log.iter().any(|it| is_bulk(&it.path)))
            .await;
        Ok(())
    }

    async fn pull(&self, deadline: Instant) -> anyhow::Result<Vec<f64>> {
        let mut waits = Vec::new();
        while Instant::now() < deadline {
            let next = self
                .blobs
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop();
            let Some(digest) = next else { break };
            let url = format!("{}/v2/clients/app/blobs/{digest}", self.tidegate.url());
            let begun = Instant::now();
            let mut reply = self.client.get(url).send().await?;
            anyhow::ensure!(reply.status.is_success(), "{digest}: {}", reply.status);
            reply.read_exactly(1).await?;
            waits.push(begun.elapsed().as_secs_f64() * 1000.0);
            drop(reply.bytes().await?);
            tokio::time::sleep(THOUGHT).await;
        }
        Ok(waits)
    }
}
