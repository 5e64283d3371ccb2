use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use http_body_util::BodyExt as _;

use crate::flow::Accept;
use crate::flow::Ask;
use crate::flow::Body;
use crate::flow::Caller;
use crate::flow::Error;
use crate::flow::PullThrough;
use crate::flow::Want;
use crate::oci::Digest;
use crate::oci::Reference;
use crate::oci::Repository;
use crate::registry::Content;
use crate::target::Cause;
use crate::target::Manifest;
use crate::target::Missing;
use crate::target::Supply;

#[derive(Debug)]
pub(super) struct Pulls(pub(super) Arc<PullThrough>);

fn missing(error: Error) -> Missing {
    match error {
        Error::NoBlob(..) | Error::NoManifest(..) | Error::NoRepository(..) => {
            Missing::Gone(error.to_string())
        }
        error => Missing::Later(error.to_string()),
    }
}

impl Pulls {
    fn ask(repository: &Repository, want: Want, cause: Cause) -> Ask {
        Ask {
            repository: repository.clone(),
            want,
            head: false,
            flow: cause.flow,
            caller: Caller::default(),
        }
    }
}

impl Supply for Pulls {
    fn manifest<'a>(
        &'a self,
        repository: &'a Repository,
        digest: &'a Digest,
        cause: Cause,
    ) -> BoxFuture<'a, Result<Manifest, Missing>> {
        async move {
            let want = Want::Manifest {
                reference: Reference::Digest(digest.clone()),
                accept: Accept::Native,
            };
            let served = self.0.serve(Self::ask(repository, want, cause)).await;
            let served = served.map_err(missing)?;
            match served.body {
                Body::Bytes(bytes) => Ok(Manifest {
                    media_type: served.descriptor.media_type,
                    bytes,
                }),
                _ => Err(Missing::Later("it came in parts".to_owned())),
            }
        }
        .boxed()
    }

    fn blob<'a>(
        &'a self,
        repository: &'a Repository,
        digest: &'a Digest,
        cause: Cause,
    ) -> BoxFuture<'a, Result<Content, Missing>> {
        async move {
            let want = Want::Blob {
                digest: digest.clone(),
                range: None,
            };
            let served = self.0.serve(Self::ask(repository, want, cause)).await;
            let served = served.map_err(missing)?;
            let size = served.descriptor.size;
            let chunks = match served.body {
                Body::Tail(tail) => tail
                    .into_data_stream()
                    .map(|chunk| chunk.map_err(Into::into))
                    .boxed(),
                Body::Bytes(bytes) => futures_util::stream::iter([Ok(bytes)]).boxed(),
                _ => return Err(Missing::Later("it can't be kept meanwhile".to_owned())),
            };
            Ok(Content { size, chunks })
        }
        .boxed()
    }
}
