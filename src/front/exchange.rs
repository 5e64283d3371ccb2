use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use http::HeaderValue;
use http::Method;
use http::Response;
use http::request::Parts;

use crate::flow::Ask;
use crate::flow::Body;
use crate::flow::Caller;
use crate::flow::PullThrough;
use crate::flow::Served;
use crate::flow::Want;
use crate::ledger::Action;
use crate::ledger::Draft;
use crate::ledger::End;
use crate::ledger::FlowId;
use crate::ledger::Ledger;
use crate::ledger::Leg;
use crate::ledger::Meter;
use crate::ledger::Origin;
use crate::login::User;
use crate::oci::Digest;
use crate::oci::Reference;
use crate::oci::UpstreamName;

use super::activity::Busy;
use super::answer;
use super::catalog::Page;
use super::condition;
use super::door::Door;
use super::fault::Fault;
use super::lane::Lane;
use super::payload::Payload;
use super::route;
use super::route::Query;
use super::route::Route;
use super::upstream::Upstreams;

/// Answers requests, whatever connection they come by.
#[derive(Debug)]
pub(super) struct Exchanges {
    flow: Arc<PullThrough>,
    ledger: Ledger,
    default: Arc<ArcSwapOption<UpstreamName>>,
    door: Door,
}

/// Who asks, by which connection.
#[derive(Debug)]
pub(super) struct Asker {
    /// The client's address.
    pub(super) client: Arc<str>,
    /// The same, not as text.
    pub(super) address: IpAddr,
    /// Whom the connection's certificate names.
    pub(super) user: Option<User>,
    /// Keeps the connection from being idle.
    pub(super) busy: Busy,
    /// The way for stored files, where the connection has one.
    pub(super) lane: Option<Arc<Lane>>,
}

/// What of an answer its receipt needs, besides the status.
type Answered = Result<(Response<Payload>, Option<Origin>), Fault>;

impl Exchanges {
    /// `default` is meant where a request names no upstream.
    pub(super) fn new(
        flow: Arc<PullThrough>,
        ledger: Ledger,
        default: Arc<ArcSwapOption<UpstreamName>>,
        door: Door,
    ) -> Self {
        Self {
            flow,
            ledger,
            default,
            door,
        }
    }

    /// Answers one request: exactly one receipt, sealed when the body ends.
    pub(super) async fn answer(&self, request: &Parts, asker: Asker) -> Response<Meter<Payload>> {
        let flow = FlowId::next();
        let mut draft = Draft::begin(&self.ledger, Leg::Client, flow, request.method.clone());
        draft.receipt.host = asker.client.clone();
        draft.receipt.protocol = request.version.into();
        let mut user = None;
        let route = match self.door.admit(request, &asker).await {
            Ok(admitted) => {
                user = admitted;
                self.route(request, flow)
            }
            Err(fault) => Err(fault),
        };
        let user = user.as_ref();
        draft.receipt.user = user.map(User::shared);
        let mut upstream = None;
        let answered = match route {
            Ok(Route::Ping {
                upstream: greeted,
                mut caller,
            }) => {
                draft.receipt.action = Action::Ping;
                self.door.strip(&mut caller);
                self.ping(greeted.as_ref(), &caller, flow).await
            }
            Ok(Route::Catalog(page)) => {
                draft.receipt.action = Action::Catalog;
                self.catalog(request, &page, user).await
            }
            Ok(Route::Content(ask)) => {
                note(&mut draft, &ask);
                upstream = Some(ask.repository.upstream.clone());
                self.content(request, ask, user).await
            }
            Ok(Route::List(ask)) => {
                note(&mut draft, &ask);
                upstream = Some(ask.repository.upstream.clone());
                self.list(request, ask, user).await
            }
            Err(fault) => Err(fault),
        };
        let (mut response, origin) = answered.unwrap_or_else(|fault| (fault.into_response(), None));
        answer::sign(response.headers_mut(), upstream.as_ref());
        draft.receipt.status = response.status().as_u16();
        draft.receipt.origin = origin;
        response.map(|body| {
            let is_head = request.method == Method::HEAD;
            let body = if is_head {
                Payload::empty()
            } else {
                body.by(asker.lane, &mut draft)
            };
            Meter::new(body.holding(asker.busy), draft, End::Reset)
        })
    }

    fn route(&self, request: &Parts, flow: FlowId) -> Result<Route, Fault> {
        let default = self.default.load();
        let upstreams = Upstreams {
            knows: |name: &UpstreamName| self.flow.knows(name),
            default: default.as_deref(),
        };
        route::route(request, &upstreams, flow)
    }

    /// An upstream where the clients' own credentials decide says how to sign in.
    async fn ping(
        &self,
        upstream: Option<&UpstreamName>,
        caller: &Caller,
        flow: FlowId,
    ) -> Answered {
        if let Some(upstream) = upstream {
            self.flow.ping(upstream, caller, flow).await?;
        }
        Ok((answer::json("{}", None), None))
    }

    async fn content(&self, request: &Parts, mut ask: Ask, user: Option<&User>) -> Answered {
        self.door.pass(user, &mut ask)?;
        let repository = ask.repository.clone();
        let reference = reference(&ask.want).to_owned();
        let served = match self.serve_changed(request, ask).await {
            Ok(Changed::Yes(served)) => part(request, served),
            Ok(Changed::No(served)) => {
                return Ok((answer::not_modified(&served), Some(served.origin)));
            }
            Err(fault) => Err(fault),
        };
        let served = served.map_err(|fault| fault.about(&repository, &reference))?;
        let origin = served.origin;
        Ok((answer::content(served, &repository), Some(origin)))
    }

    /// Serves what the client has not got yet. What it has is asked for as a `HEAD`, which costs
    /// no body: that is only known for a digest of the request's own, so a tag's is asked first.
    async fn serve_changed(&self, request: &Parts, ask: Ask) -> Result<Changed, Fault> {
        let headers = &request.headers;
        let worth_asking = condition::has_if_none_match(headers)
            && digest(&ask.want).is_none_or(|digest| condition::not_modified(headers, digest));
        if worth_asking {
            let mut head = ask.clone();
            head.head = true;
            if let Want::Blob { range, .. } = &mut head.want {
                *range = None;
            }
            let served = self.flow.serve(head).await?;
            if condition::not_modified(headers, &served.descriptor.digest) {
                return Ok(Changed::No(served));
            }
            if ask.head {
                return Ok(Changed::Yes(served));
            }
        }
        Ok(Changed::Yes(self.flow.serve(ask).await?))
    }

    async fn list(&self, request: &Parts, mut ask: Ask, user: Option<&User>) -> Answered {
        self.door.pass(user, &mut ask)?;
        let repository = ask.repository.clone();
        let reference = reference(&ask.want).to_owned();
        let listing = self.flow.list(ask).await;
        let mut listing =
            listing.map_err(|error| Fault::from(error).about(&repository, &reference))?;
        let next = listing.next.take();
        let link = match &next {
            Some(query) => {
                Some(self::link(request, query).ok_or_else(|| Fault::bad_link(&repository))?)
            }
            None => None,
        };
        let origin = listing.origin;
        Ok((answer::list(listing, link), Some(origin)))
    }

    async fn catalog(&self, request: &Parts, page: &Page, user: Option<&User>) -> Answered {
        let mut all = self.flow.catalog().await?;
        self.door.hide(user, &mut all);
        let (text, next) = page.of(&all);
        let link = next.and_then(|query| self::link(request, &query));
        Ok((answer::json(text, link), None))
    }
}

enum Changed {
    Yes(Served),
    No(Served),
}

/// Cuts a manifest to the range that is wanted: it is in memory whole. (Of a blob, the flow
/// fetches no more than the range.)
fn part(request: &Parts, mut served: Served) -> Result<Served, Fault> {
    let (None, Body::Bytes(bytes)) = (&served.part, &mut served.body) else {
        return Ok(served);
    };
    let Some(range) = condition::range(request, &served.descriptor.digest) else {
        return Ok(served);
    };
    let size = bytes.len() as u64;
    let part = range.within(size).ok_or(Fault::unsatisfiable(size))?;
    // Both fit: they are within a length in memory.
    *bytes = bytes.slice(part.start as usize..part.end as usize);
    served.part = Some(part);
    Ok(served)
}

/// The address of the next page: by the way that this one was asked for, so that it leads here, and
/// to the same upstream.
fn link(request: &Parts, query: &str) -> Option<HeaderValue> {
    let ns = Query::of(request.uri.query().unwrap_or_default()).ns;
    answer::link(request.uri.path(), query, ns)
}

fn note(draft: &mut Draft, ask: &Ask) {
    let receipt = &mut draft.receipt;
    receipt.registry = ask.repository.upstream.as_str().into();
    receipt.repository = ask.repository.name.as_str().into();
    receipt.reference = reference(&ask.want).into();
    receipt.action = match (&ask.want, ask.head) {
        (Want::Manifest { .. }, true) => Action::ManifestHead,
        (Want::Manifest { .. }, false) => Action::ManifestGet,
        (Want::Blob { .. }, true) => Action::BlobHead,
        (Want::Blob { .. }, false) => Action::BlobGet,
        (Want::Tags { .. }, _) => Action::TagList,
        (Want::Referrers { .. }, _) => Action::Referrers,
    };
}

fn reference(want: &Want) -> &str {
    match want {
        Want::Manifest { reference, .. } => reference.as_str(),
        Want::Blob { digest, .. } | Want::Referrers { digest, .. } => digest.as_str(),
        Want::Tags { .. } => "",
    }
}

fn digest(want: &Want) -> Option<&Digest> {
    match want {
        Want::Manifest {
            reference: Reference::Digest(digest),
            ..
        }
        | Want::Blob { digest, .. } => Some(digest),
        _ => None,
    }
}
