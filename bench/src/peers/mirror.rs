//! What is known of a system that clients pull through, and how it is started.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use super::Certificate;
use super::Install;
use super::MIRRORS;
use super::Running;
use super::Upstream;
use super::folder;
use super::free_port;
use super::tidegate;

/// A system that clients pull through, as its file describes it.
#[derive(Debug)]
pub(crate) struct Mirror {
    /// Its column's head.
    pub(crate) name: &'static str,
    /// How it is installed.
    pub(crate) install: Install,
    /// What makes it say its version.
    pub(crate) version: &'static [&'static str],
    /// How it is set up, and why so.
    pub(crate) settings: &'static str,
    /// What it can't do, or does otherwise than the others.
    pub(crate) limits: &'static str,
    /// It is set up to speak TLS to its clients where it is to.
    pub(crate) tls: bool,
    /// It fetches a whole image before it answers the first request for the manifest, and nothing
    /// at a request for a blob. What is asked of cold blobs can't be asked of it.
    pub(crate) by_image: bool,
    /// The command that serves until it is told to end; `None` where nothing is to be started.
    pub(crate) command: Option<Start>,
}

/// The program, and where it is to run.
pub(crate) type Start = fn(&Path, &Place<'_>) -> anyhow::Result<Command>;

/// What a system's start needs to know.
pub(crate) struct Place<'a> {
    /// An empty folder of its own.
    pub(crate) dir: &'a Path,
    /// The port to listen on.
    pub(crate) port: u16,
    /// Where the content is.
    pub(crate) origin: &'a Upstream,
    /// With what it is to speak TLS to its clients; `None` for plain HTTP.
    pub(crate) certificate: Option<&'a Certificate>,
}

/// One of the systems, on this machine.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    about: &'static Mirror,
    /// The tidegate that is measured.
    own: Option<PathBuf>,
}

impl Peer {
    /// The name of tidegate that writes a journal besides.
    pub(crate) const JOURNALLED: &'static str = tidegate::JOURNALLED.name;

    /// All systems, in the order of the table's columns, those that are absent too: of them
    /// [`Peer::version`] says why. tidegate is among them where there is one.
    pub(crate) fn all(tidegate: Option<PathBuf>) -> Vec<Self> {
        let mut all: Vec<_> = MIRRORS
            .into_iter()
            .map(|about| Self {
                about,
                own: tidegate.clone(),
            })
            .collect();
        all.retain(|peer| peer.own.is_some() || peer.about.install != Install::Own);
        all
    }

    /// Its column's head.
    pub(crate) fn name(&self) -> &'static str {
        self.about.name
    }

    /// What it is, and in which version. Builds it first where Go has to.
    ///
    /// # Errors
    /// When it is absent: why, and how to install it.
    pub(crate) fn version(&self) -> anyhow::Result<String> {
        let install = &self.about.install;
        match install {
            Install::Here => Ok(self.about.settings.to_owned()),
            _ => install.version(&self.program()?, self.about.version),
        }
    }

    /// What it can't do, or does otherwise than the others.
    pub(crate) fn limits(&self) -> &'static str {
        self.about.limits
    }

    /// How it is set up, and why so.
    pub(crate) fn settings(&self) -> &'static str {
        self.about.settings
    }

    /// Whether it is no proxy at all.
    pub(crate) fn is_direct(&self) -> bool {
        self.about.command.is_none()
    }

    /// Whether it is tidegate, with or without a journal.
    pub(crate) fn is_tidegate(&self) -> bool {
        self.about.install == Install::Own
    }

    /// Whether it is tidegate with a journal.
    pub(crate) fn is_journalled(&self) -> bool {
        self.name() == Self::JOURNALLED
    }

    /// Whether it can speak TLS to its clients: see [`Mirror::tls`].
    pub(crate) fn speaks_tls(&self) -> bool {
        self.about.tls
    }

    /// Whether it fetches whole images, and nothing for a blob alone: see [`Mirror::by_image`].
    pub(crate) fn is_by_image(&self) -> bool {
        self.about.by_image
    }

    fn program(&self) -> anyhow::Result<PathBuf> {
        self.about.install.program(self.own.as_deref())
    }

    /// Starts it with an empty cache in a new folder below `parent`, and waits until it listens.
    ///
    /// # Errors
    /// When it does not start; what it said is part of the error.
    pub(crate) fn start(
        &self,
        parent: &Path,
        origin: &Upstream,
        certificate: Option<&Certificate>,
    ) -> anyhow::Result<Running> {
        let dir = folder(parent)?;
        let program = self.program()?;
        let Some(command) = self.about.command else {
            return Ok(Running::none(origin.addr, dir));
        };
        let port = free_port()?;
        let place = Place {
            dir: dir.path(),
            port,
            origin,
            certificate,
        };
        let command = command(&program, &place)?;
        Running::start(self.name(), command, (dir, port))
    }
}
