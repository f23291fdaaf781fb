//! A browser at the wire: keeps cookies as it is told, says where its requests come from, follows
//! nothing by itself.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Request, header};

use crate::{
    client::{Answer, Client},
    people::PASSWORD,
    world::World,
};

/// See the module.
pub(crate) struct Browser {
    client: Client,
    jar: Mutex<BTreeMap<String, String>>,
}

impl Browser {
    pub(crate) fn new(world: &World) -> Self {
        Self { client: world.api.stranger(), jar: Mutex::default() }
    }

    /// One on another machine.
    pub(crate) fn from(world: &World, address: [u8; 4]) -> Self {
        Self { client: world.api.stranger().from(address), jar: Mutex::default() }
    }

    /// One in which somebody has signed in.
    pub(crate) async fn signed_in(world: &World, email: &str) -> Self {
        let browser = Self::new(world);
        let answer = browser.sign_in(email, PASSWORD).await;
        assert_eq!(answer.status, 303, "{answer:?}");
        browser
    }

    pub(crate) async fn sign_in(&self, email: &str, password: &str) -> Answer {
        self.post("/sign-in", &[("email", email), ("password", password)]).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request("GET", path, Body::empty())).await
    }

    /// Sends a form of a page of this installation.
    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.send(self.form(path, fields)).await
    }

    /// The same with the token that the page has for it.
    pub(crate) async fn submit(&self, page: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        let token = self.form_token(page).await;
        let fields: Vec<_> =
            fields.iter().copied().chain([("form_token", token.as_str())]).collect();
        self.post(path, &fields).await
    }

    /// The token that forms of a page have.
    pub(crate) async fn form_token(&self, page: &str) -> String {
        let answer = self.get(page).await;
        let text = answer.text();
        let (_, rest) = text.split_once("name=\"form_token\" value=\"").expect(text);
        rest.split('"').next().unwrap().to_owned()
    }

    /// Opens a one-time link.
    pub(crate) async fn take_link(&self, url: &str) -> Answer {
        let path = url.strip_prefix(&self.client.base).unwrap();
        let answer = self.get(path).await;
        assert_eq!(answer.status, 303, "{}", answer.text());
        assert!(path.starts_with(answer.location()) && !answer.location().contains("token"));
        answer
    }

    /// A form, before it is sent.
    pub(crate) fn form(&self, path: &str, fields: &[(&str, &str)]) -> Request<Body> {
        let text = serde_urlencoded::to_string(fields).unwrap();
        let mut request = self.request("POST", path, text.into());
        let headers = request.headers_mut();
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(header::CONTENT_TYPE, form);
        headers.insert(header::ORIGIN, self.client.base.parse().unwrap());
        headers.insert("sec-fetch-site", HeaderValue::from_static("same-origin"));
        request
    }

    /// A request with the browser's cookies and nothing else.
    pub(crate) fn request(&self, method: &str, path: &str, body: Body) -> Request<Body> {
        let mut request = self.client.request(method, path, body);
        *request.uri_mut() = format!("{}{path}", self.client.base).parse().unwrap();
        let headers = request.headers_mut();
        headers.insert(header::USER_AGENT, HeaderValue::from_static("Browser <b>1</b>"));
        let jar = self.jar.lock().unwrap_or_else(PoisonError::into_inner);
        let pairs: Vec<String> =
            jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if !pairs.is_empty() {
            headers.insert(header::COOKIE, pairs.join("; ").parse().unwrap());
        }
        request
    }

    /// Sends a request and keeps the cookies of the answer.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let answer = self.client.send(request).await;
        self.keep(&answer.headers);
        answer
    }

    fn keep(&self, headers: &HeaderMap) {
        let mut jar = self.jar.lock().unwrap_or_else(PoisonError::into_inner);
        for cookie in headers.get_all(header::SET_COOKIE) {
            let text = cookie.to_str().unwrap();
            let (pair, rest) = text.split_once("; ").unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            assert!(rest.contains("HttpOnly") && rest.contains("SameSite=Lax"), "{text}");
            assert!(rest.contains("Path=/") && !rest.contains("Domain"), "{text}");
            if rest.contains("Max-Age=0") {
                jar.remove(name);
            } else {
                jar.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    /// The value of a cookie.
    pub(crate) fn cookie(&self, name: &str) -> Option<String> {
        self.jar.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    pub(crate) fn set_cookie(&self, name: &str, value: &str) {
        let mut jar = self.jar.lock().unwrap_or_else(PoisonError::into_inner);
        jar.insert(name.to_owned(), value.to_owned());
    }

    pub(crate) fn drop_cookie(&self, name: &str) {
        self.jar.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

/// The session's cookie, over plain HTTP.
pub(crate) const SESSION: &str = "rigbox-session";
/// What knows a browser.
pub(crate) const DEVICE: &str = "rigbox-device";
