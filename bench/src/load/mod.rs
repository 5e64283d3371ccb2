//! The clients: blobs with one thread each, manifests with one epoll loop for all connections.

mod answer;
mod crowd;
mod curl;
mod image;
mod part;
mod pull;
mod storm;
mod wire;

pub(crate) use curl::curl;
pub(crate) use pull::Puller;
pub(crate) use storm::storm;
pub(crate) use wire::CIPHER;
pub(crate) use wire::client_config;
