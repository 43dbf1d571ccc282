//! The HTTP door: the original's `/add`, `/del` and `/get`, and `/members` and `/events` for
//! people and programs that watch. It lives on a thread of its own and asks the loop.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRef, FromRequestParts, RawQuery, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use bytes::Bytes;
use rumormill_mio::Handle;
use tokio::sync::oneshot;

use super::command::Command;
use super::operate::{self, KeyDoor};
use super::query::{self, QueryError};
use crate::replica::WriteError;
use crate::resolve::Resolver;
use crate::store::{StoreError, Version};

/// Longest wait of `/events` for the next change, in milliseconds.
const WAIT_MAX_MS: u64 = 30_000;

/// How long answers under way may take to leave when the node has ended.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// The version of a value, as `milliseconds+counter by origin`.
const VERSION: HeaderName = HeaderName::from_static("kv-version");

/// Serves on a thread of its own until the process ends.
///
/// # Errors
///
/// If the listener or the thread cannot be set up.
pub(crate) fn serve(listener: TcpListener, inside: Inside) -> io::Result<OpenDoor> {
    listener.set_nonblocking(true)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let listener = {
        let _context = runtime.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    let (close, closing) = oneshot::channel::<()>();
    let (closed, is_closed) = std::sync::mpsc::channel();
    let serve = move || {
        let routes = routes(inside).into_make_service_with_connect_info::<SocketAddr>();
        let served = axum::serve(listener, routes).with_graceful_shutdown(async {
            // A node that is gone without a word closes its door, too.
            let _ = closing.await;
        });
        if let Err(error) = runtime.block_on(async { served.await }) {
            tracing::error!(%error, "the HTTP door has closed");
        }
        let _ = closed.send(());
    };
    std::thread::Builder::new().name("http".to_owned()).spawn(serve)?;
    Ok(OpenDoor { close, is_closed })
}

/// A door that is being served.
#[derive(Debug)]
pub(crate) struct OpenDoor {
    close: oneshot::Sender<()>,
    is_closed: std::sync::mpsc::Receiver<()>,
}

impl OpenDoor {
    /// Lets answers under way leave, for a moment at most.
    pub(crate) fn close(self) {
        let _ = self.close.send(());
        let _ = self.is_closed.recv_timeout(LAST_ANSWERS);
    }
}

/// What the doors lead to.
#[derive(Clone, Debug)]
pub(crate) struct Inside {
    /// The node's loop.
    pub(crate) handle: Handle<Command>,
    /// For the names of those to be joined.
    pub(crate) resolver: Resolver,
    /// Its keys, if it has any.
    pub(crate) keys: Option<Arc<KeyDoor>>,
}

impl FromRef<Inside> for Handle<Command> {
    fn from_ref(inside: &Inside) -> Self {
        inside.handle.clone()
    }
}

fn routes(inside: Inside) -> Router {
    Router::new()
        .route("/", get(help))
        .route("/add", get(add).post(add))
        .route("/del", get(del).post(del))
        .route("/get", get(look_up))
        .route("/members", get(members))
        .route("/events", get(events))
        .merge(operate::routes())
        .with_state(inside)
}

/// An answer that is not 200: one line that names the fix.
pub(super) struct Refusal(pub(super) StatusCode, pub(super) String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, format!("{}\n", self.1)).into_response()
    }
}

impl From<QueryError> for Refusal {
    fn from(error: QueryError) -> Self {
        Self(StatusCode::BAD_REQUEST, error.to_string())
    }
}

impl From<WriteError> for Refusal {
    fn from(error: WriteError) -> Self {
        let status = match &error {
            WriteError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            WriteError::Leaving => StatusCode::SERVICE_UNAVAILABLE,
            WriteError::Store(StoreError::KeysFull { .. } | StoreError::BytesFull { .. }) => {
                StatusCode::INSUFFICIENT_STORAGE
            }
            WriteError::Store(StoreError::Invalid(_)) | WriteError::Thesis(_) => {
                StatusCode::BAD_REQUEST
            }
        };
        Self(status, error.to_string())
    }
}

/// Asks the loop and waits for its answer.
pub(super) async fn ask<T>(
    handle: &Handle<Command>,
    command: impl FnOnce(oneshot::Sender<T>) -> Command,
) -> Result<T, Refusal> {
    let (reply, answer) = oneshot::channel();
    let unavailable = |why: &str| Refusal(StatusCode::SERVICE_UNAVAILABLE, why.to_owned());
    handle.send(command(reply)).map_err(|error| match error {
        rumormill_mio::HandleError::Full(_) => unavailable("the node is overloaded, try again"),
        rumormill_mio::HandleError::Stopped(_) => unavailable("the node is stopping"),
    })?;
    answer.await.map_err(|_| unavailable("the node is stopping"))
}

async fn help() -> &'static str {
    "GET /add?key=K&val=V   store a value\n\
     GET /del?key=K         delete a key\n\
     GET /get?key=K         its value, or 404\n\
     GET /members           the members, JSON\n\
     GET /events?after=N    changes after number N, JSON; &wait_ms=M waits for one\n\
     kv-demo join, leave and keys ask for more, from this host only\n"
}

fn key_of(query: &str) -> Result<Bytes, Refusal> {
    let missing = || Refusal(StatusCode::BAD_REQUEST, "say which key: ?key=K".to_owned());
    query::field(query, "key")?.ok_or_else(missing)
}

fn value_of(query: &str) -> Result<Bytes, Refusal> {
    let missing = || Refusal(StatusCode::BAD_REQUEST, "say which value: &val=V".to_owned());
    query::field(query, "val")?.ok_or_else(missing)
}

/// Proof that no page of another site sent a request, as far as browsers tell. The original's paths
/// store by `GET`, which any page may have its reader's browser ask for.
struct NoForeignPage;

impl<S: Send + Sync> FromRequestParts<S> for NoForeignPage {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let site = parts.headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
        if site.is_none_or(|site| site == b"none" || site == b"same-origin") {
            return Ok(Self);
        }
        let why = "a page of another site asks: open this address by hand, or use curl";
        Err(Refusal(StatusCode::FORBIDDEN, why.to_owned()))
    }
}

async fn add(
    State(handle): State<Handle<Command>>,
    _: NoForeignPage,
    RawQuery(query): RawQuery,
) -> Result<HeaderMap, Refusal> {
    let query = query.unwrap_or_default();
    let (key, value) = (key_of(&query)?, Some(value_of(&query)?));
    let written = ask(&handle, |reply| Command::Write { key, value, reply }).await?;
    Ok(version_header(&written?))
}

async fn del(
    State(handle): State<Handle<Command>>,
    _: NoForeignPage,
    RawQuery(query): RawQuery,
) -> Result<HeaderMap, Refusal> {
    let key = key_of(&query.unwrap_or_default())?;
    let written = ask(&handle, |reply| Command::Write { key, value: None, reply }).await?;
    Ok(version_header(&written?))
}

async fn look_up(
    State(handle): State<Handle<Command>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let key = key_of(&query.unwrap_or_default())?;
    Ok(match ask(&handle, |reply| Command::Get { key, reply }).await? {
        Some((value, version)) => (version_header(&version), value).into_response(),
        // No words: scripts of the original take the body for the value.
        None => StatusCode::NOT_FOUND.into_response(),
    })
}

fn version_header(version: &Version) -> HeaderMap {
    let text = format!("{} by {}", version.at, version.origin.escape_ascii());
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(VERSION, value);
    }
    headers
}

async fn members(State(handle): State<Handle<Command>>) -> Result<Response, Refusal> {
    Ok(Json(ask(&handle, |reply| Command::Members { reply }).await?).into_response())
}

async fn events(
    State(handle): State<Handle<Command>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let query = query.unwrap_or_default();
    let (after, wait_ms) = (query::number(&query, "after")?, query::number(&query, "wait_ms")?);
    let wait = Duration::from_millis(wait_ms.min(WAIT_MAX_MS));
    let changes = ask(&handle, |reply| Command::Changes { after, reply });
    match tokio::time::timeout(wait.max(Duration::from_millis(1)), changes).await {
        Ok(changes) => Ok(Json(changes?).into_response()),
        // Nothing happened in that time.
        Err(_) => Ok(Json(Vec::<super::Change>::new()).into_response()),
    }
}

/// Binds the door.
///
/// # Errors
///
/// What the system says.
pub(crate) fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(addr)
}
