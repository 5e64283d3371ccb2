//! The clients: blobs with one thread each, manifests with one epoll loop for all connections.

mod answer;
mod crowd;
mod part;
mod pull;
mod storm;

pub(crate) use pull::Puller;
pub(crate) use storm::storm;
