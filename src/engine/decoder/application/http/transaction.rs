//! A request with its response, and what they say under the names of ECS.

use crate::domain::{Event, Field, Timestamp};
use crate::engine::decoder::application::registered_domain;
use std::fmt::Write;

/// A request with its response, or one of them where the other was not seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The request's first byte; without a request, the response's.
    pub start: Timestamp,
    /// The response's last byte, or when nobody waited for it any longer.
    pub end: Timestamp,
    /// What was asked.
    pub request: Option<Request>,
    /// What was answered.
    pub response: Option<Response>,
}

/// What a client asks. Texts that were not sent are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// As sent: methods are told apart by case.
    pub method: String,
    /// As sent: a path with a query, a whole URL to a proxy, `host:port` for CONNECT, or `*`.
    pub target: String,
    /// 10 for HTTP/1.0, 11 for HTTP/1.1.
    pub version: u8,
    /// The server that is meant, from the target or else from `Host`, lower case, with its port if one was sent.
    pub host: String,
    /// `User-Agent`.
    pub user_agent: String,
    /// `Referer`.
    pub referrer: String,
    /// The media type of the body, lower case, without parameters.
    pub mime_type: String,
    /// Bytes of request line and header lines.
    pub head_bytes: u64,
    /// Bytes of the body, without those of chunked coding.
    pub body_bytes: u64,
    /// The end of the head was not captured: lines may be missing, and sizes are not known.
    pub is_cut: bool,
}

/// What a server answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// 100..=999.
    pub status: u16,
    /// 10 for HTTP/1.0, 11 for HTTP/1.1.
    pub version: u8,
    /// The media type of the body, lower case, without parameters.
    pub mime_type: String,
    /// `Upgrade`, lower case.
    pub upgrade: Option<String>,
    /// Bytes of status line and header lines.
    pub head_bytes: u64,
    /// Bytes of the body, without those of chunked coding.
    pub body_bytes: u64,
    /// The end of the head was not captured: lines may be missing, and sizes are not known.
    pub is_cut: bool,
}

impl Transaction {
    pub(super) fn of_request(start: Timestamp, end: Timestamp, request: Request) -> Self {
        Transaction {
            start,
            end,
            request: Some(request),
            response: None,
        }
    }

    pub(super) fn of_response(start: Timestamp) -> Self {
        Transaction {
            start,
            end: start,
            request: None,
            response: None,
        }
    }

    pub(super) fn ended(mut self, time: Timestamp) -> Self {
        self.end = time;
        self
    }

    /// Writes what was said into an event, with its beginning and end; not addresses and transport.
    pub fn describe(&self, event: &mut Event) {
        event.set_time(self.end);
        event.set_start(self.start);
        event.add_str(Field::EventKind, "event");
        event.add_str(Field::EventCategory, "network");
        event.add_str(Field::EventCategory, "web");
        event.add_str(Field::EventType, "connection");
        event.add_str(Field::EventType, "protocol");
        event.add_str(Field::EventDataset, "http");
        event.add_str(Field::NetworkProtocol, "http");
        let outcome = match &self.response {
            Some(response) if response.status < 400 => "success",
            Some(_) => "failure",
            None => "unknown",
        };
        event.add_str(Field::EventOutcome, outcome);
        let version = match (&self.request, &self.response) {
            (Some(request), _) => request.version,
            (None, Some(response)) => response.version,
            (None, None) => 11,
        };
        event.add_str(Field::HttpVersion, if version == 10 { "1.0" } else { "1.1" });
        if let Some(request) = &self.request {
            request.describe(event);
        }
        if let Some(response) = &self.response {
            response.describe(event);
        }
    }
}

impl Request {
    /// The path without the query; nothing where the target has none (CONNECT, `*`).
    pub fn path(&self) -> Option<&str> {
        let path = self.path_and_query()?;
        Some(path.split(['?', '#']).next().unwrap_or(path))
    }

    /// The query without its question mark.
    pub fn query(&self) -> Option<&str> {
        let (_, query) = self.path_and_query()?.split_once('?')?;
        Some(query.split('#').next().unwrap_or(query))
    }

    /// The host without its port, and without the brackets of an IPv6 address.
    pub fn domain(&self) -> &str {
        self.host_and_port().0
    }

    /// The port in the host, if one was sent.
    pub fn port(&self) -> Option<u16> {
        self.host_and_port().1
    }

    /// Host and port in a whole URL or after CONNECT.
    pub(super) fn target_authority(&self) -> Option<&str> {
        if self.method == "CONNECT" {
            return Some(self.target.as_str()).filter(|target| !target.contains('/'));
        }
        let (_, behind) = self.absolute()?;
        let authority = behind.split(['/', '?', '#']).next()?;
        // What stands before an @ is a user's name and password.
        authority.rsplit('@').next()
    }

    /// Scheme and rest of a whole URL.
    fn absolute(&self) -> Option<(&str, &str)> {
        let (scheme, rest) = self.target.split_once("://")?;
        let is_scheme = !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_scheme.then_some((scheme, rest))
    }

    fn path_and_query(&self) -> Option<&str> {
        if self.target.starts_with('/') {
            return Some(&self.target);
        }
        let (_, rest) = self.absolute()?;
        Some(rest.find(['/', '?']).and_then(|place| rest.get(place..)).unwrap_or("/"))
    }

    fn host_and_port(&self) -> (&str, Option<u16>) {
        if let Some((address, rest)) = self.host.strip_prefix('[').and_then(|host| host.split_once(']')) {
            return (address, rest.strip_prefix(':').and_then(|port| port.parse().ok()));
        }
        match self.host.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') => (host, port.parse().ok()),
            _ => (&self.host, None),
        }
    }

    fn describe(&self, event: &mut Event) {
        event.add_str(Field::HttpRequestMethod, &self.method);
        event.add_str(Field::UrlOriginal, &self.target);
        let domain = self.domain();
        event.add_str(Field::UrlDomain, domain);
        if let Some(parts) = registered_domain(domain) {
            event.add_str(Field::UrlRegisteredDomain, parts.registered);
        }
        if let Some(port) = self.port() {
            event.add_u64(Field::UrlPort, port.into());
        }
        if let Some(path) = self.path() {
            let scheme = self.absolute().map_or("http", |(scheme, _)| scheme);
            event.add_str(Field::UrlScheme, scheme);
            event.add_str(Field::UrlPath, path);
            event.add_str(Field::UrlExtension, extension(path));
            if let Some(query) = self.query() {
                event.add_str(Field::UrlQuery, query);
            }
            if !self.host.is_empty() {
                let mut full = String::with_capacity(self.host.len() + self.target.len() + 8);
                let path = self.path_and_query().unwrap_or("");
                let _ = write!(full, "{scheme}://{}{path}", self.host);
                event.add_str(Field::UrlFull, &full);
            }
        }
        event.add_str(Field::UserAgentOriginal, &self.user_agent);
        event.add_str(Field::HttpRequestReferrer, &self.referrer);
        event.add_str(Field::HttpRequestMimeType, &self.mime_type);
        if !self.is_cut {
            event.add_u64(Field::HttpRequestBodyBytes, self.body_bytes);
            event.add_u64(Field::HttpRequestBytes, self.head_bytes.saturating_add(self.body_bytes));
        }
    }
}

impl Response {
    fn describe(&self, event: &mut Event) {
        event.add_u64(Field::HttpResponseStatusCode, self.status.into());
        event.add_str(Field::HttpResponseMimeType, &self.mime_type);
        if !self.is_cut {
            event.add_u64(Field::HttpResponseBodyBytes, self.body_bytes);
            event.add_u64(
                Field::HttpResponseBytes,
                self.head_bytes.saturating_add(self.body_bytes),
            );
        }
    }
}

/// What stands behind the last dot of the last part of a path, where it looks like an extension.
fn extension(path: &str) -> &str {
    let file = path.rsplit('/').next().unwrap_or(path);
    match file.rsplit_once('.') {
        Some((_, extension)) if extension.len() <= 16 && extension.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            extension
        }
        _ => "",
    }
}
