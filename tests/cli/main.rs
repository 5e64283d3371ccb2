//! The command line: what it prints, where, and how it exits.

mod client;
mod configuration;
mod login;
mod serve;
mod serving;
mod store;
mod tags;
mod target;
mod upstream;

use std::path::Path;
use std::process::Command;
use std::process::Stdio;

use tempfile::TempDir;

/// A folder to run in. There is no `proxy.toml` in it, but what the test puts there.
struct Place(TempDir);

/// What a command said.
struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Place {
    fn new() -> Self {
        Self(TempDir::new().expect("a folder"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        let folder = path.parent().expect("a folder");
        std::fs::create_dir_all(folder).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }

    fn read(&self, name: &str) -> String {
        let path = self.path().join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    fn exists(&self, name: &str) -> bool {
        self.path().join(name).exists()
    }

    /// The command with `args`, in words.
    fn command(&self, args: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command
            .args(args.split_whitespace())
            .current_dir(self.path())
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    fn run(&self, args: &str) -> Said {
        Said::of(&mut self.command(args))
    }
}

impl Said {
    fn of(command: &mut Command) -> Self {
        let output = command.output().expect("the binary runs");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// What stdout had, where all went well.
    #[track_caller]
    fn well(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self.stdout
    }

    /// What stderr had, where it ended with `code`.
    #[track_caller]
    fn failed(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        self.stderr
    }
}

#[test]
fn help_names_every_command_and_what_it_is_for() {
    let place = Place::new();
    let help = place.run("--help").well();
    for line in [
        "A transparent pull-through mirroring proxy for OCI registries",
        "serve        Run the proxy",
        "tags         Show which tags a set selects",
        "check        Check the configuration",
        "client       Print, or write, the configuration that makes a client pull",
        "store        Look into the store",
        "target       See what is owed to targets",
        "report       Sum journals up, side by side",
        "completions  Print the completions of a shell",
        "--config <FILE>",
        "--log-format <FORMAT>",
        "-v, --verbose",
        "-q, --quiet",
    ] {
        assert!(help.contains(line), "no '{line}' in\n{help}");
    }
    assert!(place.run("serve --help").well().contains("SIGHUP"));
    assert_eq!(
        place.run("--version").well(),
        concat!("tidegate ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn a_wrong_command_line_is_2_and_says_what_is_wrong() {
    let place = Place::new();
    assert!(place.run("").failed(2).contains("Usage: tidegate"));
    let said = place.run("serv").failed(2);
    assert!(said.contains("'serve'"), "{said}");
    assert!(place.run("serve --listen x").failed(2).contains("--listen"));
    assert!(
        place
            .run("check -v -q")
            .failed(2)
            .contains("cannot be used")
    );
    assert!(place.run("client emacs").failed(2).contains("containerd"));
}

#[test]
fn completions_are_scripts_of_the_shell() {
    let place = Place::new();
    let bash = place.run("completions bash").well();
    assert!(bash.contains("complete -F _tidegate"));
    let mut shell = Command::new("bash");
    shell.args(["-c", &format!("{bash}\ncomplete -p tidegate")]);
    assert!(Said::of(&mut shell).well().contains("_tidegate"));
    for (shell, part) in [
        ("zsh", "#compdef tidegate"),
        ("fish", "complete -c tidegate"),
    ] {
        assert!(
            place
                .run(&format!("completions {shell}"))
                .well()
                .contains(part)
        );
    }
    assert!(place.run("completions cobol").failed(2).contains("bash"));
}
