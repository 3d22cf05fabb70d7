//! Where a redirect leads, and what goes along.

use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION, CONTENT_TYPE, COOKIE,
    HOST, HeaderName, LOCATION, PROXY_AUTHORIZATION,
};
use http::{HeaderMap, Method, StatusCode};
use url::Url;

use bytes::Bytes;

use super::Cause;

/// Headers that speak of a body and go with it.
const OF_THE_BODY: [HeaderName; 4] = [
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LOCATION,
    CONTENT_TYPE,
];

/// Headers that are meant for one origin only, beside those that are marked sensitive.
const OF_THE_ORIGIN: [HeaderName; 7] = [
    AUTHORIZATION,
    COOKIE,
    HOST,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("x-auth-token"),
];

/// One request of an exchange.
#[derive(Clone, Debug)]
pub(super) struct Hop {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Bytes>,
}

impl Hop {
    /// The request that an answer asks for instead; `None` if the answer is no redirect.
    ///
    /// By RFC 9110, section 15.4: 307 and 308 keep method and body, 303 asks for GET, and after 301 and 302 a POST
    /// becomes a GET, as all clients have it.
    pub(super) fn find_next(
        &self,
        status: StatusCode,
        answer: &HeaderMap,
    ) -> Result<Option<Self>, Cause> {
        let becomes_get = match status.as_u16() {
            301 | 302 => self.method == Method::POST,
            303 => self.method != Method::GET && self.method != Method::HEAD,
            307 | 308 => false,
            _ => return Ok(None),
        };
        let Some(location) = answer.get(LOCATION) else {
            return Ok(None);
        };
        let url = std::str::from_utf8(location.as_bytes())
            .ok()
            .and_then(|location| self.url.join(location).ok())
            .ok_or_else(|| Cause::BadUrl("a redirect leads to what is no URL".to_owned()))?;

        let mut next = self.clone();
        if becomes_get {
            next.method = Method::GET;
            next.body = None;
            for name in OF_THE_BODY {
                next.headers.remove(name);
            }
        }
        if !keeps_origin(&self.url, &url) {
            next.headers = for_another_origin(&next.headers);
        }
        next.url = url;
        Ok(Some(next))
    }
}

/// Whether credentials for `from` may go to `to`: the same origin, or the same host by https instead of http, each at
/// its usual port.
fn keeps_origin(from: &Url, to: &Url) -> bool {
    let upgraded = from.scheme() == "http"
        && to.scheme() == "https"
        && from.host() == to.host()
        && from.port().is_none()
        && to.port().is_none();
    upgraded || from.origin() == to.origin()
}

fn for_another_origin(headers: &HeaderMap) -> HeaderMap {
    headers
        .iter()
        .filter(|(name, value)| !value.is_sensitive() && !OF_THE_ORIGIN.contains(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, LOCATION};
    use http::{HeaderMap, Method, StatusCode};

    use super::Hop;

    fn hop(method: Method, url: &str) -> Hop {
        let mut secret = HeaderValue::from_static("k");
        secret.set_sensitive(true);
        Hop {
            method,
            url: url.parse().unwrap(),
            headers: HeaderMap::from_iter([
                (AUTHORIZATION, HeaderValue::from_static("Bearer t")),
                (CONTENT_TYPE, HeaderValue::from_static("text/plain")),
                ("x-key".parse().unwrap(), secret),
                ("x-other".parse().unwrap(), HeaderValue::from_static("o")),
            ]),
            body: Some("body".into()),
        }
    }

    fn next(from: &Hop, status: u16, location: &str) -> Option<Hop> {
        let answer = HeaderMap::from_iter([(LOCATION, HeaderValue::from_str(location).unwrap())]);
        from.find_next(StatusCode::from_u16(status).unwrap(), &answer)
            .unwrap()
    }

    fn names(hop: &Hop) -> Vec<&str> {
        let mut names: Vec<_> = hop.headers.keys().map(http::HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn the_status_decides_whether_method_and_body_are_kept() {
        let cases = [
            (301, Method::POST, Method::GET),
            (302, Method::POST, Method::GET),
            (303, Method::POST, Method::GET),
            (307, Method::POST, Method::POST),
            (308, Method::POST, Method::POST),
            (301, Method::PUT, Method::PUT),
            (302, Method::DELETE, Method::DELETE),
            (303, Method::PUT, Method::GET),
            (308, Method::PATCH, Method::PATCH),
        ];

        for (status, method, expected) in cases {
            let from = hop(method.clone(), "http://a.test/x/y?q=1");

            let next = next(&from, status, "../z").unwrap();

            assert_eq!(next.method, expected, "{status} {method}");
            assert_eq!(next.url.as_str(), "http://a.test/z");
            assert_eq!(next.body.is_some(), expected == method, "{status} {method}");
            let typed = next.headers.contains_key(CONTENT_TYPE);
            assert_eq!(typed, expected == method, "{status} {method}");
        }
    }

    #[test]
    fn an_answer_that_is_no_redirect_or_leads_nowhere_is_an_answer() {
        let from = hop(Method::GET, "http://a.test/");

        for status in [200, 201, 300, 304, 305, 404] {
            assert!(next(&from, status, "/z").is_none(), "{status}");
        }
        let without = from.find_next(StatusCode::FOUND, &HeaderMap::new());
        assert!(without.unwrap().is_none());
    }

    #[test]
    fn credentials_stay_with_their_origin() {
        let all = ["authorization", "content-type", "x-key", "x-other"];
        let cases = [
            ("http://a.test/", "/b", true),
            ("http://a.test/", "http://a.test:80/b", true),
            ("http://a.test/", "https://a.test/b", true),
            ("https://a.test/", "http://a.test/b", false),
            ("http://a.test/", "http://a.test:81/b", false),
            ("http://a.test:81/", "https://a.test/b", false),
            ("http://a.test/", "http://b.test/", false),
            ("http://a.test/", "//a.test.b.test/", false),
        ];

        for (from, to, kept) in cases {
            let next = next(&hop(Method::GET, from), 302, to).unwrap();

            let expected = if kept {
                &all[..]
            } else {
                &["content-type", "x-other"]
            };
            assert_eq!(names(&next), expected, "{from} to {to}");
        }
    }
}
