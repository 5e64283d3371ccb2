//! nginx as an origin, with a log that says what it sent.

use std::fs;

use fake_registry::PATIENCE;
use fake_registry::Process;
use fake_registry::ReservedPort;
use tempfile::TempDir;

/// The length of the file `large`, in bytes.
const LARGE: usize = 3 << 20;

/// A server of a few files; it ends when dropped.
pub(crate) struct Nginx {
    _process: Process,
    port: ReservedPort,
    folder: TempDir,
}

impl Nginx {
    /// `listen` is what `listen` has behind its address, `settings` is put into the server's block.
    pub(crate) async fn start(listen: &str, settings: &str) -> Self {
        let folder = TempDir::with_prefix("nginx-").unwrap();
        let port = ReservedPort::new();
        let at = folder.path().display();
        let address = port.address();
        let config = format!(
            "daemon off; pid {at}/pid; error_log {at}/error.log; worker_processes 1;\n\
             events {{ }}\n\
             http {{\n\
             log_format counted '$status $body_bytes_sent';\n\
             client_body_temp_path {at}/body; proxy_temp_path {at}/proxy;\n\
             fastcgi_temp_path {at}/fastcgi; uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;\n\
             server {{ listen {address} {listen} reuseport; root {at}/root;\n\
             access_log {at}/access.log counted; {settings} }} }}\n"
        );
        fs::write(folder.path().join("nginx.conf"), config).unwrap();
        let root = folder.path().join("root");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("small"), "small").unwrap();
        fs::write(root.join("large"), vec![b'x'; LARGE]).unwrap();
        for path in [folder.path(), &root] {
            use std::os::unix::fs::PermissionsExt as _;
            // Its worker is another user.
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let path = std::env::var("PATH").unwrap_or_default();
        let mut process = Process::command("nginx")
            .env("PATH", format!("{path}:/usr/sbin:/sbin"))
            .arg("-e")
            .arg(folder.path().join("error.log"))
            .arg("-c")
            .arg(folder.path().join("nginx.conf"))
            .spawn();
        process
            .wait_ready(async |_| tokio::net::TcpStream::connect(address).await.is_ok())
            .await;
        Self {
            _process: process,
            port,
            folder,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port.number()
    }

    /// Status and body bytes of the first `lines` requests.
    pub(crate) async fn log(&self, lines: usize) -> Vec<(u16, u64)> {
        let path = self.folder.path().join("access.log");
        let since = std::time::Instant::now();
        loop {
            let text = fs::read_to_string(&path).unwrap_or_default();
            let all: Vec<_> = text
                .lines()
                .map(|line| {
                    let (status, bytes) = line.split_once(' ').unwrap();
                    (status.parse().unwrap(), bytes.parse().unwrap())
                })
                .collect();
            if all.len() >= lines {
                return all;
            }
            assert!(since.elapsed() < PATIENCE, "{text}");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
}
