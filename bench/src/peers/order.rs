//! What a tool is told to bring, and the commands that it answers with.

use std::ffi::OsString;
use std::path::Path;
use std::path::PathBuf;

use fake_registry::Process;
use fake_registry::ProcessBuilder;

/// What is to be brought from where to where. Both registries speak TLS, and let everybody in.
#[derive(Clone, Debug)]
pub(crate) struct Order<'a> {
    /// Host and port that it is at.
    pub(crate) source: String,
    /// Host and port that it goes to.
    pub(crate) target: String,
    /// The authority that vouches for both, as PEM.
    pub(crate) ca: &'a Path,
    /// A folder for whatever the tool needs. It stays as it is between runs that follow each other.
    pub(crate) folder: &'a Path,
    /// Repositories, in the order of their names, and the tags of each that are wanted: all that
    /// the source has, but those that are made of digests.
    pub(crate) images: &'a [(String, Vec<String>)],
    /// Whether signatures and whatever else refers to an image is to come with it.
    pub(crate) referrers: bool,
}

impl Order<'_> {
    /// All images: repository and tag.
    pub(super) fn tags(&self) -> impl Iterator<Item = (&str, &str)> {
        self.images
            .iter()
            .flat_map(|(name, tags)| tags.iter().map(|tag| (name.as_str(), tag.as_str())))
    }
}

/// A command that has not been run yet.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    folder: Option<PathBuf>,
}

impl Job {
    /// A program without arguments.
    pub(super) fn of(program: &Path) -> Self {
        Self {
            program: program.to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            folder: None,
        }
    }

    pub(super) fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    pub(super) fn args<T: Into<OsString>>(
        mut self,
        arguments: impl IntoIterator<Item = T>,
    ) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// It is started in this folder.
    pub(super) fn folder(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.to_owned());
        self
    }

    /// Go, and whoever else heeds it, finds authorities there. The tap, where there is one, puts a
    /// file of its own in its place.
    pub(super) fn trusting(mut self, ca: &Path) -> Self {
        let pair = ("SSL_CERT_FILE".into(), ca.into());
        self.environment.push(pair);
        self
    }

    /// To be run as it is.
    pub(crate) fn plain(self) -> ProcessBuilder {
        let mut command = Process::command(&self.program).args(&self.arguments);
        for (key, value) in &self.environment {
            command = command.env(key, value);
        }
        match &self.folder {
            Some(folder) => command.folder(folder),
            None => command,
        }
    }

    /// To be run by `tap`, which is a tidegate and its arguments up to the command.
    pub(crate) fn behind(self, tap: &[OsString]) -> ProcessBuilder {
        let mut all = tap.iter().cloned().chain([self.program.into_os_string()]);
        let program = all.next().unwrap_or_default();
        let arguments = all.chain(self.arguments).collect();
        let job = Self {
            program: program.into(),
            arguments,
            environment: Vec::new(),
            folder: self.folder,
        };
        job.plain()
    }
}
