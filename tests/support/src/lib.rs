//! Test support: everything outside tidegate that a test or a benchmark needs, and can script.
//!
//! - [`Upstream`]: a registry that serves pulls, records each request and commits faults
//!   ([`When`], [`Fault`], [`Gate`]) on demand; [`TokenServer`]: who may pull.
//! - [`Target`]: a registry that takes pushes, with the same means.
//! - [`Client`]: a small HTTP client.  [`Pki`]: certificates.  [`ImageBuilder`]: images.
//! - [`DockerRegistry`], [`Tidegate`], [`Process`]: real programs, ended with the test.
//! - [`Far`]: a network of its own behind a link with a round trip, a rate and losses.
//! - [`Fuzz`]: many random inputs for one check.
//!
//! Nothing here is global: servers bind ports of their own on loopback, files live in temporary
//! folders, and all of it ends when it is dropped.

mod blackhole;
mod client;
mod content;
mod digest;
mod far;
mod fault;
mod fuzz;
mod gate;
mod image;
mod limiter;
mod need;
mod pki;
mod port;
mod process;
mod random;
mod record;
mod server;
mod target;
mod token;
mod upstream;

pub use blackhole::Blackhole;
pub use client::Client;
pub use client::ClientBuilder;
pub use client::ClientError;
pub use client::Reply;
pub use client::RequestBuilder;
pub use client::basic;
pub use content::Content;
pub use content::Generated;
pub use digest::DigestSink;
pub use digest::digest_of;
pub use far::Far;
pub use far::Link;
pub use far::Traffic;
pub use fault::Fault;
pub use fault::FaultHandle;
pub use fault::When;
pub use fuzz::Fuzz;
pub use gate::Gate;
pub use image::Corpus;
pub use image::Extent;
pub use image::Image;
pub use image::ImageBuilder;
pub use image::Part;
pub use image::Push;
pub use image::PushError;
pub use image::Release;
pub use image::Shelf;
pub use limiter::Limiter;
pub use need::has_all;
pub use need::need;
pub use pki::Leaf;
pub use pki::Pki;
pub use port::ReservedPort;
pub use process::Process;
pub use process::ProcessBuilder;
pub use process::docker_registry::Access;
pub use process::docker_registry::DockerRegistry;
pub use process::docker_registry::DockerRegistryBuilder;
pub use process::is_installed;
pub use process::tidegate::Tidegate;
pub use process::tidegate::TidegateBuilder;
pub use random::Random;
pub use record::Ended;
pub use record::Log;
pub use record::PATIENCE;
pub use record::Recorded;
pub use record::lines;
pub use server::Server;
pub use target::Mount;
pub use target::Mounts;
pub use target::Tally;
pub use target::Target;
pub use target::TargetBuilder;
pub use target::Upload;
pub use token::TokenServer;
pub use token::TokenServerBuilder;
pub use upstream::Quay;
pub use upstream::Upstream;
pub use upstream::UpstreamBuilder;
