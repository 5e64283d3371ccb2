//! nginx with `proxy_cache`, tuned as somebody who knows it would for this job.
//!
//! `sendfile` and an `open_file_cache` are what makes its hits fast; `keepalive` to the origin and a
//! lock for each key (`proxy_cache_lock`) what makes it ask little. `tcp_nopush`, which is often set
//! beside `sendfile`, is off: with it, the last segment of a part of a file waits 40 ms on a connection
//! that is kept, and nothing is faster.

use std::path::Path;
use std::process::Command;

use super::Install;
use super::Mirror;
use super::Place;

/// All that is known of it.
pub(super) const MIRROR: Mirror = Mirror {
    name: "nginx",
    install: Install::Package {
        program: "nginx",
        package: "nginx",
    },
    version: &["-v"],
    settings: "a worker for each core, `sendfile`, `open_file_cache`, `proxy_cache_lock`",
    limits: "caches by URL: verifies no digest, stores a blob once for each repository, knows \
             nothing of tokens; with proxy_cache_lock, requests behind the first one of a cold blob \
             wait until all of it is stored",
    tls: true,
    by_image: false,
    command: Some(command),
};

fn command(program: &Path, place: &Place<'_>) -> anyhow::Result<Command> {
    let file = place.dir.join("nginx.conf");
    std::fs::write(&file, configuration(place))?;
    for folder in ["cache", "body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        std::fs::create_dir(place.dir.join(folder))?;
    }
    let mut command = Command::new(program);
    command
        .arg("-p")
        .arg(place.dir)
        .arg("-c")
        .arg(&file)
        .args(["-e", "stderr"]);
    Ok(command)
}

fn configuration(place: &Place<'_>) -> String {
    let Place {
        dir, port, origin, ..
    } = place;
    let dir: &Path = dir;
    let dir = dir.display();
    let user = user();
    let trusted = place.origin.ca.as_deref().map_or_else(String::new, trust);
    let scheme = place.origin.scheme();
    let (speaks, certificate) = shown(place);
    format!(
        "{user}
daemon off;
pid {dir}/nginx.pid;
error_log stderr error;
worker_processes auto;
worker_rlimit_nofile 8192;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush off;
    tcp_nodelay on;
    keepalive_requests 100000000;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    open_file_cache max=1024 inactive=60s;
    open_file_cache_valid 60s;
    proxy_cache_path {dir}/cache levels=1:2 keys_zone=bench:16m max_size=50g inactive=1h
        use_temp_path=off;
    upstream origin {{
        server {origin};
        keepalive 64;
        keepalive_requests 1000000;
    }}
    server {{
        listen 127.0.0.1:{port}{speaks} reuseport;
        {certificate}
        location /v2/ {{
            proxy_pass {scheme}://origin;
            {trusted}
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_buffer_size 16k;
            proxy_buffers 16 64k;
            proxy_busy_buffers_size 256k;
            proxy_cache bench;
            proxy_cache_key $request_uri;
            proxy_cache_valid 200 1h;
            proxy_cache_lock on;
            proxy_cache_lock_age 10m;
            proxy_cache_lock_timeout 10m;
        }}
    }}
}}
"
    )
}

/// As root, workers would change to a user that can't read the folder.
fn user() -> &'static str {
    match rustix::process::getuid().is_root() {
        true => "user root;",
        false => "",
    }
}

/// Whether it speaks TLS, and with which certificate.
fn shown(place: &Place<'_>) -> (&'static str, String) {
    place.certificate.map_or_else(Default::default, |it| {
        let (cert, key) = (it.cert.display(), it.key.display());
        let lines =
            format!("ssl_protocols TLSv1.3; ssl_certificate {cert}; ssl_certificate_key {key};");
        (" ssl", lines)
    })
}

/// What makes it hold an upstream's certificate against who should have signed it.
fn trust(ca: &Path) -> String {
    let ca = ca.display();
    format!(
        "proxy_ssl_verify on;
            proxy_ssl_trusted_certificate {ca};
            proxy_ssl_name localhost;"
    )
}
