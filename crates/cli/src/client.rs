//! What the subcommands on a running node share: its address, the requests, and how their outcome is told.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use serde_json::Value;
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body};

use crate::{Exit, say};

/// How long a node may take to answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The longest value there is, in bytes, and room for what stands around it.
const BODY_LEN_MAX: u64 = 513 * 1024 * 1024;

/// Which node is asked, and how the answer is printed.
#[derive(Args, Clone, Debug)]
pub(crate) struct ClientArgs {
    /// Node to ask
    #[arg(long, env = "RINGHOLD_ENDPOINT", default_value = "http://127.0.0.1:7380")]
    endpoint: String,
    /// A file with the password in its first line
    #[arg(long, env = "RINGHOLD_PASSWORD_FILE", value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Namespace of the keys
    #[arg(long, short, default_value = "default", value_name = "NAME")]
    namespace: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// A node to ask.
pub(crate) struct Client {
    agent: Agent,
    endpoint: String,
    namespace: String,
    password: Option<String>,
}

/// What a request may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It only reads: without an answer nothing has happened.
    Read,
    /// It may change something: without an answer it may have happened.
    Write,
}

/// An answer whose status says that it was done, or why there is none.
pub(crate) type Outcome = Result<Response<Body>, Exit>;

impl Client {
    /// A client of the node that the flags name.
    pub(crate) fn new(args: &ClientArgs) -> anyhow::Result<Self> {
        let config = Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .user_agent(concat!("ringhold/", env!("CARGO_PKG_VERSION")))
            .build();
        let password = match &args.password_file {
            None => None,
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("the password file {}", path.display()))?;
                Some(text.lines().next().unwrap_or_default().trim().to_owned())
            }
        };
        let endpoint = args.endpoint.trim_end_matches('/');
        let endpoint = match endpoint.split_once("://") {
            None => format!("http://{endpoint}"),
            Some(("http", _)) => endpoint.to_owned(),
            Some((scheme, _)) => bail!("{scheme} is not spoken: give http://HOST:PORT"),
        };
        Ok(Self {
            agent: config.new_agent(),
            endpoint,
            namespace: args.namespace.clone(),
            password,
        })
    }

    /// The path of a key, with `suffix` behind it.
    pub(crate) fn key_path(&self, key: &str, suffix: &str) -> String {
        format!("{}/{}{suffix}", self.keys_path(), encoded(key))
    }

    /// The path of all keys.
    pub(crate) fn keys_path(&self) -> String {
        if self.namespace == "default" {
            "/v1/keys".to_owned()
        } else {
            format!("/v1/ns/{}/keys", encoded(&self.namespace))
        }
    }

    /// Sends a request; an answer of status 400 and more is told to the user and becomes an exit.
    pub(crate) fn send(
        &self,
        effect: Effect,
        method: &str,
        path: &str,
        fields: &[(&str, String)],
        body: &[u8],
    ) -> anyhow::Result<Outcome> {
        let mut request =
            ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.endpoint));
        for (name, value) in fields {
            request = request.header(*name, value);
        }
        if let Some(password) = &self.password {
            request = request.header("authorization", format!("Bearer {password}"));
        }
        let sent = if body.is_empty() && matches!(method, "GET" | "HEAD" | "DELETE") {
            self.agent.run(request.body(())?)
        } else {
            self.agent.run(request.body(body)?)
        };
        match sent {
            Ok(mut answer) if answer.status().as_u16() >= 400 => Ok(Err(refused(&mut answer))),
            Ok(answer) => Ok(Ok(answer)),
            Err(error) => {
                let was_sent = !matches!(
                    error,
                    ureq::Error::ConnectionFailed
                        | ureq::Error::HostNotFound
                        | ureq::Error::BadUri(_)
                ) && !matches!(&error, ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused);
                if effect == Effect::Write && was_sent {
                    say(&format!(
                        "error: {} did not answer ({error}): the outcome is unknown",
                        self.endpoint
                    ));
                    return Ok(Err(Exit::Unknown));
                }
                Err(anyhow!(error).context(format!("{} cannot be asked", self.endpoint)))
            }
        }
    }
}

/// The bytes of an answer's body.
pub(crate) fn body(answer: &mut Response<Body>) -> anyhow::Result<Vec<u8>> {
    let reader = answer.body_mut().with_config().limit(BODY_LEN_MAX);
    reader.read_to_vec().context("the answer broke off")
}

/// Tells a problem (RFC 9457) in words.
fn refused(answer: &mut Response<Body>) -> Exit {
    let status = answer.status();
    let text = body(answer).unwrap_or_default();
    let problem: Value = serde_json::from_slice(&text).unwrap_or_default();
    let word = |field: &str| problem[field].as_str().unwrap_or_default();
    match (word("title"), word("detail")) {
        ("", "") => say(&format!("error: {status}")),
        (title, detail) => say(&format!("error: {title}: {detail}")),
    }
    if word("outcome") == "unknown" || status == StatusCode::GATEWAY_TIMEOUT {
        Exit::Unknown
    } else {
        Exit::NotDone
    }
}

/// Percent-encodes everything but letters and digits.
pub(crate) fn encoded(text: &str) -> String {
    percent_encode(text.as_bytes(), NON_ALPHANUMERIC).to_string()
}
