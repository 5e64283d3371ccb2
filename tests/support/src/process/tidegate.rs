//! The built program, serving.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use crate::client::Client;
use crate::process::Process;
use crate::process::books;

/// A running `tidegate serve`, in a temporary folder that is also its working folder; it ends when
/// this is dropped. It must have kept its books right until then.
#[derive(Debug)]
pub struct Tidegate {
    process: Process,
    settings: TidegateBuilder,
    urls: Vec<String>,
    admin: Option<String>,
    folder: Folder,
}

/// A `tidegate serve` that isn't started yet.
#[derive(Debug)]
pub struct TidegateBuilder {
    binary: PathBuf,
    config: String,
    env: Vec<(String, String)>,
    args: Vec<String>,
    folder: Option<PathBuf>,
    admin: bool,
}

#[derive(Debug)]
enum Folder {
    Own(tempfile::TempDir),
    Given(PathBuf),
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Self::Own(folder) => folder.path(),
            Self::Given(folder) => folder,
        }
    }
}

impl TidegateBuilder {
    /// Sets an environment variable.
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.env.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Adds an argument after `serve --config proxy.toml`.
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    /// Works in this folder, which is kept; without this, in a temporary one.
    pub fn folder(mut self, folder: impl AsRef<Path>) -> Self {
        self.folder = Some(folder.as_ref().to_owned());
        self
    }

    /// Doesn't wait for the admin listener, which the configuration turns off.
    pub fn without_admin(mut self) -> Self {
        self.admin = false;
        self
    }

    /// Starts it without waiting for anything, for tests of a start that fails. The file
    /// `proxy.toml` is in the folder.
    pub fn spawn(&self, folder: &Path) -> Process {
        let config = folder.join("proxy.toml");
        fs::write(config, &self.config).expect("proxy.toml is written");
        let mut command = Process::command(&self.binary)
            .args(["serve", "--config", "proxy.toml"])
            .args(&self.args)
            .folder(folder);
        for (key, value) in &self.env {
            command = command.env(key, value);
        }
        command.spawn()
    }

    /// Starts it, and waits until `/readyz` says 200.
    ///
    /// # Panics
    /// Where it ends or isn't ready in time, with its log.
    pub async fn start(self) -> Tidegate {
        let folder = match &self.folder {
            Some(folder) => Folder::Given(folder.clone()),
            None => Folder::Own(tempfile::tempdir().expect("a temporary folder")),
        };
        let process = self.spawn(folder.path());
        let (urls, admin) = (Vec::new(), None);
        let mut tidegate = Tidegate {
            process,
            settings: self,
            urls,
            admin,
            folder,
        };
        tidegate.becomes_ready().await;
        tidegate
    }
}

impl Tidegate {
    /// The program at `binary` with this text as its `proxy.toml`. Ports should be 0; paths may be
    /// relative to its folder.
    pub fn builder(binary: impl AsRef<Path>, config: &str) -> TidegateBuilder {
        TidegateBuilder {
            binary: binary.as_ref().to_owned(),
            config: config.to_owned(),
            env: Vec::new(),
            args: Vec::new(),
            folder: None,
            admin: true,
        }
    }

    /// As [`Tidegate::builder`], started.
    pub async fn start(binary: impl AsRef<Path>, config: &str) -> Self {
        Self::builder(binary, config).start().await
    }

    /// Where it listens: the first address, `http://127.0.0.1:<port>`, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.urls[0]
    }

    /// Where it listens: all addresses.
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// `127.0.0.1:<port>`, as in an image reference.
    pub fn host(&self) -> &str {
        self.url()
            .split_once("://")
            .map_or(self.url(), |(_, host)| host)
    }

    /// The admin listener's URL.
    ///
    /// # Panics
    /// Where there is none.
    pub fn admin(&self) -> &str {
        self.admin.as_deref().expect("an admin listener")
    }

    /// Its folder: `proxy.toml`, and whatever the configuration puts there.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it logged until now (stderr).
    pub fn log(&self) -> String {
        self.process.stderr()
    }

    /// The process: memory, processor time, exit status.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// The process, to send it signals or to wait for its end.
    pub fn process_mut(&mut self) -> &mut Process {
        &mut self.process
    }

    /// The most memory it ever had, in bytes.
    pub fn peak_rss(&self) -> u64 {
        self.process.peak_rss()
    }

    /// Processor time that it used until now, in seconds.
    pub fn cpu_seconds(&self) -> f64 {
        self.process.cpu_seconds()
    }

    /// Writes another `proxy.toml` and sends SIGHUP.
    pub fn reload(&mut self, config: &str) {
        self.settings.config = config.to_owned();
        fs::write(self.folder().join("proxy.toml"), config).expect("proxy.toml is written");
        self.process.hang_up();
    }

    /// Kills it (SIGKILL) and starts it again in the same folder. Its ports may change.
    ///
    /// # Panics
    /// Where it isn't ready in time, with its log.
    pub async fn restart(&mut self) {
        self.process.kill();
        books::check(&self.log(), None);
        self.process = self.settings.spawn(self.folder.path());
        self.becomes_ready().await;
    }

    /// Waits until its log contains `text`.
    ///
    /// # Panics
    /// When it ends, or after [`crate::PATIENCE`], with its log.
    pub async fn wait_for_log(&mut self, text: &str) {
        self.process
            .wait_ready(async |process| process.stderr().contains(text))
            .await;
    }

    async fn becomes_ready(&mut self) {
        let (client, admin) = (Client::new(), self.settings.admin);
        let ready = async |process: &Process| {
            let log = process.stderr();
            if urls_after(&log, "listening on ").is_empty() {
                return false;
            }
            match urls_after(&log, "admin on ").first() {
                Some(url) => {
                    let reply = client.get(format!("{url}/readyz")).send().await;
                    reply.is_ok_and(|reply| reply.status == 200)
                }
                None => !admin,
            }
        };
        self.process.wait_ready(ready).await;
        let log = self.log();
        self.urls = urls_after(&log, "listening on ");
        self.admin = urls_after(&log, "admin on ").into_iter().next();
    }
}

impl Drop for Tidegate {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let admin = self.admin.as_deref();
            books::check(
                &self.log(),
                admin.filter(|_| self.process.exit_status().is_none()),
            );
        }
    }
}

/// The URLs that follow `phrase` in a log. One at the very end may not be all there yet: it is
/// left out.
fn urls_after(log: &str, phrase: &str) -> Vec<String> {
    let mut urls = Vec::new();
    for (at, _) in log.match_indices(phrase) {
        let rest = &log[at + phrase.len()..];
        let ends = |c: char| c.is_whitespace() || "\"',".contains(c);
        if let Some(end) = rest.find(ends).filter(|_| rest.starts_with("http")) {
            urls.push(rest[..end].trim_end_matches('/').to_owned());
        }
    }
    urls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_urls_in_text_and_json_logs() {
        let log = "INFO listening on http://127.0.0.1:1\nINFO listening on http://[::1]:2\n\
                   {\"message\":\"admin on http://127.0.0.1:3\"}\nlistening on http://127.0.0.1:4";
        let urls = urls_after(log, "listening on ");
        assert_eq!(urls, ["http://127.0.0.1:1", "http://[::1]:2"]);
        assert_eq!(urls_after(log, "admin on "), ["http://127.0.0.1:3"]);
    }
}
