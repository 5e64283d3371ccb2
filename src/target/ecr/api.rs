use std::error::Error;

use aws_config::BehaviorVersion;
use aws_config::Region;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_ecr::Client;
use aws_sdk_ecr::error::ProvideErrorMetadata as _;
use aws_sdk_ecr::error::SdkError;
use aws_sdk_ecr::operation::create_repository::CreateRepositoryError;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use tokio::sync::OnceCell;

use super::by_hand;
use super::host::Host;
use crate::oci::Name;
use crate::registry;

/// ECR's own API, with the AWS credentials that this process finds: in the environment, a profile,
/// a web identity's token, the container's or the instance's role.
#[derive(Default)]
pub(super) struct Api {
    client: OnceCell<Client>,
}

/// What ECR says when credentials are not good enough, or no good at all.
const DENIED: [&str; 6] = [
    "AccessDenied",
    "UnrecognizedClient",
    "InvalidClientTokenId",
    "InvalidSignature",
    "ExpiredToken",
    "IncompleteSignature",
];

/// How much of what it said is told, in characters.
const TOLD: usize = 400;

impl Api {
    /// `CreateRepository`, with all as the account's defaults have it.
    ///
    /// # Errors
    /// Why it could not be made, and what to do about it.
    pub(super) async fn create(
        &self,
        config: &registry::Config,
        name: &Name,
    ) -> Result<(), String> {
        let Some(host) = Host::of(&config.url) else {
            let by_hand = by_hand(name);
            return Err(format!("`url` names no account and region: {by_hand}"));
        };
        let client = self.client.get_or_init(|| connect(config, &host)).await;
        let request = client.create_repository().repository_name(name.as_str());
        // With another account's credentials it is to fail, not to be made there.
        match request.registry_id(&host.account).send().await {
            Ok(_) => {
                tracing::info!(
                    target = config.name.as_str(),
                    "made the repository {name} at ECR"
                );
                Ok(())
            }
            Err(error) => refusal(&error, name),
        }
    }
}

/// A client for the API of the registry at `host`. `AWS_ENDPOINT_URL_ECR` says where else it is.
async fn connect(config: &registry::Config, host: &Host) -> Client {
    let tls = Provider::Rustls(CryptoMode::AwsLc);
    let limits = TimeoutConfig::builder()
        .connect_timeout(config.timeouts.connect)
        .operation_attempt_timeout(config.timeouts.header)
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(Builder::new().tls_provider(tls).build_https())
        .region(Region::new(host.region.clone()))
        .timeout_config(limits);
    // Where the host does not say it, the environment may.
    if host.fips {
        loader = loader.use_fips(true);
    }
    if host.dual_stack {
        loader = loader.use_dual_stack(true);
    }
    Client::new(&loader.load().await)
}

fn refusal(error: &SdkError<CreateRepositoryError>, name: &Name) -> Result<(), String> {
    let Some(service) = error.as_service_error() else {
        let why = told(&causes(error));
        return Err(format!(
            "`ecr:CreateRepository` could not be asked for ({why}): give tidegate AWS credentials \
             and a way to ECR's API (`AWS_ENDPOINT_URL_ECR` where it is not the public one), or {}",
            by_hand(name)
        ));
    };
    if service.is_repository_already_exists_exception() {
        return Ok(());
    }
    let status = error.raw_response().map(|answer| answer.status().as_u16());
    let (code, message) = (service.code(), service.message());
    let why = match code {
        Some(code) => told(&format!("{code}: {}", message.unwrap_or_default())),
        // It need not be ECR that answers.
        None => format!("status {}", status.unwrap_or_default()),
    };
    let is_denied = DENIED
        .iter()
        .any(|it| code.is_some_and(|code| code.starts_with(it)))
        || matches!(status, Some(401 | 403));
    Err(match is_denied {
        true => format!(
            "allow the AWS credentials of tidegate `ecr:CreateRepository` on repository/{name} \
             ({why}), or {}",
            by_hand(name)
        ),
        false => format!("`ecr:CreateRepository` failed ({why}): {}", by_hand(name)),
    })
}

/// The error with all its causes.
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

/// One line, and not all of a long one. A signature's refusal goes on with what was signed.
fn told(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.chars().take(TOLD).collect()
}
