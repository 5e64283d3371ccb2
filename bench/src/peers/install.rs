//! How a system comes onto the machine, and where it is then.

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::sync::PoisonError;

use anyhow::Context;

/// How a system is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Install {
    /// Not at all: it is a part of this program.
    Here,
    /// As a package of Debian.
    Package {
        /// Its name in `PATH`.
        program: &'static str,
        /// What is installed.
        package: &'static str,
    },
    /// By Go, from its sources, once, into a folder beside this program.
    Go {
        /// What Go calls what it builds.
        program: &'static str,
        /// What is built.
        package: &'static str,
        /// In which version: the one that results are about.
        version: &'static str,
        /// Build tags, with commas between; mostly none.
        tags: &'static str,
    },
    /// It is what is measured: built by cargo.
    Own,
    /// It could be, but would be of no use: says why.
    Useless(&'static str),
}

impl Install {
    /// What a person would type.
    pub(crate) fn how(&self) -> String {
        match self {
            Self::Here => String::from("nothing to install"),
            Self::Package { package, .. } => format!("apt-get install {package}"),
            Self::Go { .. } => format!("go {}", self.arguments().join(" ")),
            Self::Own => String::from("cargo build --release"),
            Self::Useless(why) => (*why).to_owned(),
        }
    }

    fn arguments(&self) -> Vec<String> {
        let Self::Go {
            package,
            version,
            tags,
            ..
        } = self
        else {
            return Vec::new();
        };
        let mut all = vec![String::from("install")];
        if !tags.is_empty() {
            all.extend([String::from("-tags"), (*tags).to_owned()]);
        }
        all.push(format!("{package}@{version}"));
        all
    }

    /// Where the program is; `own` is the tidegate that is measured. Go builds now what it has not
    /// built yet, and that is said on stderr. Where Go can't, a program of that name in `PATH` will
    /// do: its version is in the report.
    ///
    /// # Errors
    /// When it is not there and can't be built; says why, and how to install it.
    pub(crate) fn program(&self, own: Option<&Path>) -> anyhow::Result<PathBuf> {
        match self {
            Self::Here => Ok(PathBuf::new()),
            Self::Package { program, .. } => {
                in_path(program).with_context(|| format!("it is not installed; {}", self.how()))
            }
            Self::Go { program, .. } => match self.built_once(program) {
                Ok(built) => Ok(built),
                Err(error) => in_path(program).ok_or_else(|| anyhow::anyhow!("{error}")),
            },
            Self::Own => own
                .map(Path::to_owned)
                .with_context(|| format!("no tidegate is beside this program; {}", self.how())),
            Self::Useless(why) => anyhow::bail!("{why}"),
        }
    }

    /// What it is, and in which version. A `program` from `PATH` is asked by `arguments`; one that
    /// Go built is the version that it was built from.
    ///
    /// # Errors
    /// When it does not run.
    pub(crate) fn version(&self, program: &Path, arguments: &[&str]) -> anyhow::Result<String> {
        match self {
            Self::Go {
                package, version, ..
            } if program.parent() == self.folder()?.as_deref() => {
                Ok(format!("{package}@{version}"))
            }
            Self::Go { .. } => Ok(format!("from PATH: {}", said(program, arguments)?)),
            _ => said(program, arguments),
        }
    }

    /// Where Go puts it: a folder for each version.
    fn folder(&self) -> anyhow::Result<Option<PathBuf>> {
        let me = std::env::current_exe().context("the path of this program is not known")?;
        let folder = |name: String| me.with_file_name("bench-go").join(name);
        Ok(match self {
            Self::Go {
                program, version, ..
            } => Some(folder(format!("{program}-{version}"))),
            _ => None,
        })
    }

    /// What Go has built, or why it did not: it is asked once in a run.
    fn built_once(&self, name: &str) -> Result<PathBuf, String> {
        static ASKED: Mutex<BTreeMap<String, Result<PathBuf, String>>> =
            Mutex::new(BTreeMap::new());
        let mut asked = ASKED.lock().unwrap_or_else(PoisonError::into_inner);
        let build = || self.built(name).map_err(|error| format!("{error:#}"));
        asked.entry(self.how()).or_insert_with(build).clone()
    }

    fn built(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.folder()?.context("it is not built by Go")?;
        let program = folder.join(name);
        if program.is_file() {
            return Ok(program);
        }
        let how = self.how();
        let go = in_path("go").with_context(|| format!("with Go, `{how}` would build it"))?;
        eprintln!("building {name}: {how}");
        let built = Command::new(go)
            .args(self.arguments())
            .env("GOBIN", &folder)
            .output()
            .context("Go does not run")?;
        let said = String::from_utf8_lossy(&built.stderr);
        anyhow::ensure!(built.status.success(), "`{how}` failed: {}", reason(&said));
        Ok(program)
    }
}

/// Why Go refused, out of all that it said: the last of its sentences, without addresses.
fn reason(said: &str) -> String {
    let lines = said.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.contains(": downloading "));
    let lines: Vec<&str> = lines.collect();
    let from = lines.len().saturating_sub(2);
    let words = lines[from..].iter().flat_map(|line| line.split(' '));
    let words: Vec<&str> = words.filter(|word| !word.contains("://")).collect();
    words.join(" ")
}

/// A program in `PATH`, or where servers are.
fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    let mut files = folders.map(|folder| folder.join(name));
    files.find(|file| file.is_file())
}

/// The first line of what a program says, on whichever stream; of a line of a log, its message.
fn said(program: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("{} does not run", program.display()))?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().next().unwrap_or_default().trim();
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    Ok(match serde_json::from_str::<serde_json::Value>(line) {
        Ok(json) => format!("{name}, commit '{}'", json["commit"].as_str().unwrap_or("")),
        Err(_) => line.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOWHERE: Install = Install::Go {
        program: "no-such-program",
        package: "example.invalid/no-such-program",
        version: "v1.2.3",
        tags: "one,two",
    };

    #[test]
    fn says_what_a_person_would_type() {
        let how = "go install -tags one,two example.invalid/no-such-program@v1.2.3";
        assert_eq!(NOWHERE.how(), how);
    }

    #[test]
    fn what_is_not_there_is_an_error_that_says_how_to_get_it() {
        let nothing = Install::Package {
            program: "no-such-program",
            package: "some-package",
        };
        let error = nothing.program(None).unwrap_err().to_string();
        assert_eq!(error, "it is not installed; apt-get install some-package");
        let error = Install::Own.program(None).unwrap_err().to_string();
        assert!(error.contains("cargo build --release"), "{error}");
        let error = Install::Useless("it is none").program(None).unwrap_err();
        assert_eq!(error.to_string(), "it is none");
    }

    #[test]
    fn why_go_refused_is_told_without_addresses() {
        let said = "go: downloading example.invalid/a v1.0.0\n\
                    go: example.invalid/b@v1.2.3: reading https://proxy.invalid/b.info: 403\n\
                    \tserver response: no such version\n";
        let told = "go: example.invalid/b@v1.2.3: reading 403 server response: no such version";
        assert_eq!(reason(said), told);
        assert_eq!(reason(""), "");
    }

    #[test]
    fn a_version_has_a_folder_of_its_own() {
        let folder = NOWHERE.folder().unwrap().unwrap();
        assert!(folder.ends_with("bench-go/no-such-program-v1.2.3"));
        let built = folder.join("no-such-program");
        let version = NOWHERE.version(&built, &[]).unwrap();
        assert_eq!(version, "example.invalid/no-such-program@v1.2.3");
    }
}
