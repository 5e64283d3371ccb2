//! `tidegate client`: what a client needs to be told to pull through us.

use std::io::Write as _;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::path::Path;
use std::path::PathBuf;

use clap::Args;
use clap::ValueEnum;
use url::Host;
use url::Url;

use super::exit::Exit;
use super::exit::Failure;
use crate::config::Config;
use crate::config::Source;
use crate::oci::UpstreamName;

mod buildkit;
mod containerd;
mod daemon_json;
mod docker;
mod k3s;
mod podman;
mod write;

/// Arguments of `tidegate client`.
#[derive(Args, Debug)]
pub(super) struct ClientArgs {
    /// The client
    #[arg(value_enum)]
    kind: Kind,
    /// Where the client reaches tidegate [default: the first address of `listen`]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Write the files in place of printing them; a file that changes is kept as *.bak-<n>
    #[arg(long)]
    write: bool,
    /// Write below this folder in place of /
    #[arg(long, value_name = "DIR", default_value = "/", requires = "write")]
    root: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// dockerd (Docker Hub only: its `registry-mirrors` serve nothing else)
    Docker,
    /// containerd, nerdctl, ctr, CRI, and dockerd with the containerd image store
    Containerd,
    /// podman, buildah, skopeo, CRI-O
    Podman,
    /// buildkitd
    Buildkit,
    /// k3s, RKE2
    K3s,
}

/// What the recipes are made from.
struct Mirror {
    /// Where clients reach us: scheme, host and port.
    url: Url,
    upstreams: Vec<Upstream>,
    default: Option<UpstreamName>,
}

struct Upstream {
    name: UpstreamName,
    url: Url,
}

/// A client's configuration.
struct Recipe {
    files: Vec<Piece>,
    /// What else to do, and to know.
    notes: Vec<String>,
}

/// A file, or what must be merged into one.
struct Piece {
    /// Where it belongs, from the root.
    path: PathBuf,
    text: String,
    form: Form,
}

/// How a file is shared with others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// It is ours alone, and says so in its first line.
    Whole,
    /// Docker's `daemon.json`: our entries are added to the others.
    DaemonJson,
}

/// The first line of each file that is ours alone.
const MARK: &str = "# Written by `tidegate client`; run it again rather than changing this.\n";

/// Runs `tidegate client`.
pub(super) fn run(args: &ClientArgs, source: &Source) -> Result<Exit, Failure> {
    let mirror = Mirror::new(args, &source.load()?)?;
    let recipe = match args.kind {
        Kind::Docker => docker::recipe(&mirror),
        Kind::Containerd => containerd::recipe(&mirror),
        Kind::Podman => podman::recipe(&mirror),
        Kind::Buildkit => buildkit::recipe(&mirror),
        Kind::K3s => k3s::recipe(&mirror),
    };
    let exit = if args.write {
        write::all(&recipe.files, &args.root)?
    } else {
        print(&recipe.files)?;
        Exit::Done
    };
    for note in &recipe.notes {
        eprintln!("{note}");
    }
    Ok(exit)
}

/// To stdout, where each file can be told from the next by a comment with its path. JSON has no
/// comments, and no second file.
fn print(files: &[Piece]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for file in files {
        match file.form {
            Form::Whole => writeln!(out, "# {}\n{}", file.path.display(), file.text)?,
            Form::DaemonJson => {
                eprintln!("Into {}:", file.path.display());
                write!(out, "{}", file.text)?;
            }
        }
    }
    Ok(())
}

impl Mirror {
    fn new(args: &ClientArgs, config: &Config) -> Result<Self, Failure> {
        let url = match &args.url {
            Some(text) => given(text)?,
            None => own(config)?,
        };
        let upstreams = config.upstreams.iter().map(|upstream| Upstream {
            name: upstream.registry.name.clone(),
            url: upstream.registry.url.clone(),
        });
        Ok(Self {
            url,
            upstreams: upstreams.collect(),
            default: config.front.default_upstream.clone(),
        })
    }

    /// `http://host:port`, as clients write it: without a slash at the end.
    fn origin(&self) -> String {
        format!("{}://{}", self.url.scheme(), self.authority())
    }

    /// `host:port`, or `host` where the port is the scheme's own.
    fn authority(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        match self.url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    fn is_plain(&self) -> bool {
        self.url.scheme() == "http"
    }

    fn is_loopback(&self) -> bool {
        match self.url.host() {
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        }
    }

    /// What to do where TLS needs an authority that the system does not know.
    fn trust(&self, how: &str) -> Option<String> {
        (!self.is_plain())
            .then(|| format!("Where tidegate's certificate is of a private authority: {how}"))
    }
}

impl Upstream {
    fn is_plain(&self) -> bool {
        self.url.scheme() == "http"
    }

    fn url_text(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }
}

impl Piece {
    /// A file that is ours alone.
    fn whole(path: impl AsRef<Path>, text: &str) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            text: format!("{MARK}{text}"),
            form: Form::Whole,
        }
    }
}

fn given(text: &str) -> Result<Url, Failure> {
    let wrong = |why: &str| {
        Failure::misused(anyhow::anyhow!(
            "--url {text}: {why}; write it as http://HOST:PORT or https://HOST"
        ))
    };
    let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong("this is no address of a web server"));
    }
    let bare = url.path() == "/" && url.query().is_none() && url.username().is_empty();
    if bare {
        Ok(url)
    } else {
        Err(wrong("only a host and a port can stand here"))
    }
}

/// The first address that we listen on, as it is reached from this machine.
fn own(config: &Config) -> Result<Url, Failure> {
    let unknown = || Failure::misused(anyhow::anyhow!("give --url: `listen` has no fixed address"));
    let mut address = *config.front.listen.first().ok_or_else(unknown)?;
    if address.port() == 0 {
        return Err(unknown());
    }
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    let scheme = if config.front.tls.is_some() {
        "https"
    } else {
        "http"
    };
    Url::parse(&format!("{scheme}://{address}")).map_err(Failure::misused)
}
