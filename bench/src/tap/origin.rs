use std::fs::File;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use fake_registry::Pki;

use super::Way;
use crate::peers;
use crate::peers::Running;

/// nginx, with two files of zeros.
#[derive(Debug)]
pub(crate) struct Origin {
    _running: Running,
    ports: [u16; 3],
    ca: PathBuf,
}

/// In bytes.
const LARGE: u64 = 1 << 30;
const SMALL: u64 = 32 << 20;

impl Origin {
    /// Starts it, with its files below `parent`.
    pub(crate) fn start(parent: &Path) -> anyhow::Result<Self> {
        let dir = peers::folder(parent)?;
        let ports = [
            peers::free_port()?,
            peers::free_port()?,
            peers::free_port()?,
        ];
        for (name, length) in [("large", LARGE), ("small", SMALL)] {
            File::create(dir.path().join(name))?.set_len(length)?;
        }
        let pki = Pki::new();
        let leaf = pki.server(&[]);
        let ca = dir.path().join("origin-ca.crt");
        for (name, text) in [("crt", &leaf.cert_pem), ("key", &leaf.key_pem)] {
            std::fs::write(dir.path().join(name), text)?;
        }
        std::fs::write(&ca, pki.ca_pem())?;
        let file = dir.path().join("nginx.conf");
        std::fs::write(&file, configuration(dir.path(), ports))?;
        let mut command = Command::new("nginx");
        command.arg("-c").arg(&file).args(["-e", "stderr"]);
        Ok(Self {
            _running: Running::start("nginx", command, (dir, ports[0]))?,
            ports,
            ca,
        })
    }

    /// The authority of its certificate.
    pub(crate) fn ca(&self) -> &Path {
        &self.ca
    }

    /// A file of 1 GiB.
    pub(crate) fn large(&self, way: Way) -> String {
        self.url(way, "large")
    }

    /// A file of 32 MiB.
    pub(crate) fn small(&self, way: Way) -> String {
        self.url(way, "small")
    }

    fn url(&self, way: Way, file: &str) -> String {
        let [plain, http1, http2] = self.ports;
        match way {
            Way::Plain => format!("http://127.0.0.1:{plain}/{file}"),
            Way::Http1 => format!("https://127.0.0.1:{http1}/{file}"),
            Way::Http2 => format!("https://127.0.0.1:{http2}/{file}"),
        }
    }
}

fn configuration(dir: &Path, [plain, http1, http2]: [u16; 3]) -> String {
    let user = match rustix::process::getuid().is_root() {
        true => "user root;",
        false => "",
    };
    let dir = dir.display();
    format!(
        "{user} daemon off; pid {dir}/pid; error_log stderr error; worker_processes auto;\n\
         events {{ worker_connections 1024; }}\n\
         http {{ access_log off; sendfile on; tcp_nopush on; output_buffers 2 512k;\n\
         client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;\n\
         fastcgi_temp_path {dir}/fastcgi; uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;\n\
         ssl_certificate {dir}/crt; ssl_certificate_key {dir}/key; ssl_buffer_size 16k;\n\
         root {dir};\n\
         server {{ listen 127.0.0.1:{plain}; }}\n\
         server {{ listen 127.0.0.1:{http1} ssl; }}\n\
         server {{ listen 127.0.0.1:{http2} ssl http2; http2_chunk_size 128k; }} }}\n"
    )
}
