//! The secrets that one attempt may use: those that its node names.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use url::Url;

use super::hosts::Rule;
use crate::redact::Redactor;
use crate::template;

/// Values of the secrets that a node names; cheap to clone. What it prints are names.
///
/// An applet finds the values in its rendered config, where templates have put them; here it asks whether it may send
/// them. It does so once it knows where a request goes, before anything is sent: [`Granted::check_hosts`] for all of
/// them, or [`Granted::check_hosts_of`] for those in what is sent there, if it sends different ones to different hosts.
#[derive(Clone, Default)]
pub struct Granted {
    secrets: Arc<BTreeMap<String, Secret>>,
}

#[derive(Clone)]
pub(super) struct Secret {
    pub(super) value: Arc<str>,
    /// Empty: any host.
    pub(super) hosts: Arc<[Rule]>,
}

/// A secret may not be sent to a host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("secret {name} may be sent to {}, and not to {host}", .hosts.join(", "))]
pub struct NotForHost {
    /// The secret.
    pub name: String,
    /// Where it may be sent.
    pub hosts: Vec<String>,
    /// Where it was to be sent.
    pub host: String,
}

impl NotForHost {
    /// For programs.
    pub const REASON: &'static str = "SECRET_NOT_FOR_HOST";
}

impl Granted {
    pub(super) fn of(secrets: BTreeMap<String, Secret>) -> Self {
        Self {
            secrets: Arc::new(secrets),
        }
    }

    /// Whether the node names none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.secrets.is_empty()
    }

    /// The values by name, for templates.
    #[must_use]
    pub fn for_templates(&self) -> template::Secrets {
        let values = self.secrets.iter();
        template::Secrets::of(values.map(|(name, secret)| (name.clone(), secret.value.clone())))
    }

    /// Whether all of them may be sent to the host of this URL.
    ///
    /// # Errors
    ///
    /// [`NotForHost`] for the first that may not.
    pub fn check_hosts(&self, url: &Url) -> Result<(), NotForHost> {
        for (name, secret) in &*self.secrets {
            if !secret.hosts.is_empty() && !secret.hosts.iter().any(|rule| rule.allows(url)) {
                let port = url.port().map(|port| format!(":{port}"));
                return Err(NotForHost {
                    name: name.clone(),
                    hosts: secret.hosts.iter().map(ToString::to_string).collect(),
                    host: format!(
                        "{}{}",
                        url.host_str().unwrap_or_default(),
                        port.unwrap_or_default()
                    ),
                });
            }
        }
        Ok(())
    }

    /// Whether those of them that stand in `sent`, in whatever writing, may be sent to the host of this URL.
    ///
    /// # Errors
    ///
    /// [`NotForHost`] for the first that may not.
    pub fn check_hosts_of(&self, url: &Url, sent: &[&str]) -> Result<(), NotForHost> {
        self.found_in(sent).check_hosts(url)
    }

    /// Those of them that stand in these texts, in whatever writing.
    #[must_use]
    pub fn found_in(&self, texts: &[&str]) -> Self {
        let stands = |secret: &Secret| {
            let redactor = Redactor::of([&*secret.value]);
            texts
                .iter()
                .any(|text| matches!(redactor.text(text), std::borrow::Cow::Owned(_)))
        };
        let found = self.secrets.iter().filter(|(_, secret)| stands(secret));
        Self::of(
            found
                .map(|(name, secret)| (name.clone(), secret.clone()))
                .collect(),
        )
    }

    /// Whether one of them may be sent to some hosts only.
    #[must_use]
    pub fn has_hosts(&self) -> bool {
        self.secrets.values().any(|secret| !secret.hosts.is_empty())
    }
}

impl fmt::Debug for Granted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.secrets.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(secrets: &[(&str, &str, &[&str])]) -> Granted {
        let secret = |value: &str, hosts: &[&str]| Secret {
            value: value.into(),
            hosts: hosts.iter().map(|rule| rule.parse().unwrap()).collect(),
        };
        let secrets = secrets.iter();
        Granted::of(
            secrets
                .map(|(name, value, hosts)| ((*name).to_owned(), secret(value, hosts)))
                .collect(),
        )
    }

    #[test]
    fn a_secret_goes_to_its_hosts_only() {
        let granted = granted(&[
            ("any", "first-value", &[]),
            ("one", "second/value", &["a.example"]),
        ]);
        let (a, b): (Url, Url) = (
            "https://a.example/x".parse().unwrap(),
            "https://b.example:81/".parse().unwrap(),
        );

        let refused = granted.check_hosts(&b).unwrap_err();

        assert_eq!(granted.check_hosts(&a), Ok(()));
        assert_eq!((&*refused.name, &*refused.host), ("one", "b.example:81"));
        assert_eq!(granted.check_hosts_of(&b, &["first-value"]), Ok(()));
        assert!(granted.check_hosts_of(&b, &["x=second%2Fvalue"]).is_err());
        assert!(!granted.found_in(&["first-value"]).has_hosts());
        assert!(!format!("{granted:?} {refused:?}").contains("value"));
    }
}
