//! `SecretService`: values go in, and only what is known of them comes out.

use std::fmt;

use tonic::{Request, Response, Status};

use super::convert::{required, time, violation};
use super::status::{Error, Result};
use super::{Api, MAX_ANSWER_BYTES, page};
use crate::flow::Violation;
use crate::ids::Namespace;
use crate::proto::secret_service_server::SecretService;
use crate::proto::{
    AddSecretVersionRequest, AddSecretVersionResponse, CreateSecretRequest, CreateSecretResponse,
    DeleteSecretRequest, DeleteSecretResponse, DisableSecretRequest, DisableSecretResponse,
    EnableSecretRequest, EnableSecretResponse, GetSecretRequest, GetSecretResponse,
    ListSecretsRequest, ListSecretsResponse, Secret, SecretState, SecretVersion,
};
use crate::redact::{MARKER, MIN_BYTES};
use crate::secrets::hosts::{self, Rule};
use crate::secrets::sealing::{self, Place};
use crate::secrets::{KeyRing, MAX_NAME_CHARS, MAX_VALUE_BYTES, MIN_VALUE_BYTES, is_name};
use crate::store::secrets::{self as stored, Content, Use};

/// The most characters of a description.
const MAX_DESCRIPTION_CHARS: usize = 4_000;
/// Bytes of an answer's page token, with room to spare.
const TOKEN_BYTES: usize = 2_048;

#[tonic::async_trait]
impl SecretService for Api {
    async fn create_secret(
        &self,
        request: Request<CreateSecretRequest>,
    ) -> Result<Response<CreateSecretResponse>, Status> {
        let namespace = self.namespace(&request);
        let secret = create(self, &namespace, request.into_inner()).await?;
        let secret = Some(shown(secret));
        Ok(Response::new(CreateSecretResponse { secret }))
    }

    async fn add_secret_version(
        &self,
        request: Request<AddSecretVersionRequest>,
    ) -> Result<Response<AddSecretVersionResponse>, Status> {
        let namespace = self.namespace(&request);
        let secret = add_version(self, &namespace, request.into_inner()).await?;
        let secret = Some(shown(secret));
        Ok(Response::new(AddSecretVersionResponse { secret }))
    }

    async fn get_secret(
        &self,
        request: Request<GetSecretRequest>,
    ) -> Result<Response<GetSecretResponse>, Status> {
        let namespace = self.namespace(&request);
        let name = request.into_inner().name;
        refuse(name_violation(&name))?;
        let mut conn = self.engine.store().conn().await.map_err(Error::from)?;
        let secret = stored::get(&mut conn, &namespace, &name).await;
        let secret = Some(shown(secret.map_err(Error::from)?));
        Ok(Response::new(GetSecretResponse { secret }))
    }

    async fn list_secrets(
        &self,
        request: Request<ListSecretsRequest>,
    ) -> Result<Response<ListSecretsResponse>, Status> {
        let namespace = self.namespace(&request);
        let answer = list(self, &namespace, request.into_inner()).await?;
        Ok(Response::new(answer))
    }

    async fn disable_secret(
        &self,
        request: Request<DisableSecretRequest>,
    ) -> Result<Response<DisableSecretResponse>, Status> {
        let namespace = self.namespace(&request);
        let DisableSecretRequest { name, version } = request.into_inner();
        let secret = set_use(self, &namespace, &name, version, Use::Disabled).await?;
        let secret = Some(shown(secret));
        Ok(Response::new(DisableSecretResponse { secret }))
    }

    async fn enable_secret(
        &self,
        request: Request<EnableSecretRequest>,
    ) -> Result<Response<EnableSecretResponse>, Status> {
        let namespace = self.namespace(&request);
        let EnableSecretRequest { name, version } = request.into_inner();
        let secret = set_use(self, &namespace, &name, version, Use::Enabled).await?;
        let secret = Some(shown(secret));
        Ok(Response::new(EnableSecretResponse { secret }))
    }

    async fn delete_secret(
        &self,
        request: Request<DeleteSecretRequest>,
    ) -> Result<Response<DeleteSecretResponse>, Status> {
        let namespace = self.namespace(&request);
        let name = request.into_inner().name;
        refuse(name_violation(&name))?;
        let mut conn = self.engine.store().conn().await.map_err(Error::from)?;
        let deleted = stored::delete(&mut conn, &namespace, &name).await;
        deleted.map_err(Error::from)?;
        self.engine.vault().forget(&namespace, &name);
        Ok(Response::new(DeleteSecretResponse {}))
    }
}

async fn create(
    api: &Api,
    namespace: &Namespace,
    request: CreateSecretRequest,
) -> Result<stored::Secret> {
    let CreateSecretRequest {
        name,
        value,
        description,
        hosts,
    } = request;
    let mut violations: Vec<_> = name_violation(&name).into_iter().collect();
    violations.extend(value_violation(&value));
    violations.extend(description_violation(&description));
    violations.extend(hosts_violations(&hosts));
    refuse(violations)?;
    let keys = keys(api)?;
    let place = Place {
        namespace,
        name: &name,
        version: 1,
    };
    let sealed = sealing::seal(keys, place, &value);
    let content = Content {
        name: &name,
        description: &description,
        hosts: &hosts,
    };
    let mut conn = api.engine.store().conn().await?;
    Ok(stored::create(&mut conn, namespace, content, &sealed).await?)
}

async fn add_version(
    api: &Api,
    namespace: &Namespace,
    request: AddSecretVersionRequest,
) -> Result<stored::Secret> {
    let AddSecretVersionRequest { name, value } = request;
    let mut violations: Vec<_> = name_violation(&name).into_iter().collect();
    violations.extend(value_violation(&value));
    refuse(violations)?;
    let keys = keys(api)?;
    let seal = |version| {
        let place = Place {
            namespace,
            name: &name,
            version,
        };
        sealing::seal(keys, place, &value)
    };
    let mut conn = api.engine.store().conn().await?;
    Ok(stored::add_version(&mut conn, namespace, &name, seal).await?)
}

async fn set_use(
    api: &Api,
    namespace: &Namespace,
    name: &str,
    version: i32,
    wanted: Use,
) -> Result<stored::Secret> {
    let mut violations: Vec<_> = name_violation(name).into_iter().collect();
    if version < 0 {
        let description = format!("is {version}, it has to be 0 (for all) or above");
        violations.push(violation("version", "OUT_OF_BOUNDS", description));
    }
    refuse(violations)?;
    let version = (version != 0).then_some(version);
    let mut conn = api.engine.store().conn().await?;
    Ok(stored::set_use(&mut conn, namespace, name, version, wanted).await?)
}

/// A page of secrets: the cursor is the last name of the page before.
async fn list(
    api: &Api,
    namespace: &Namespace,
    mut request: ListSecretsRequest,
) -> Result<ListSecretsResponse> {
    const RPC: &str = "ListSecrets";
    let size = std::mem::take(&mut request.page_size);
    let token = std::mem::take(&mut request.page_token);
    let size = page::size(size, "page_size");
    let after = page::cursor(RPC, &request, &token).and_then(|after| {
        // Tokens can be forged: what goes to the database is checked like any other name.
        match after {
            Some(name) if !is_name(&name) => Err(page::malformed()),
            after => Ok(after),
        }
    });
    let (size, after) = match (size, after) {
        (Ok(size), Ok(after)) => (size, after),
        (size, after) => {
            let violations = size.err().into_iter().chain(after.err());
            return Err(Error::Invalid(violations.collect()));
        }
    };
    let limit = i64::try_from(size).map_or(i64::MAX, |size| size.saturating_add(1));
    let mut conn = api.engine.store().conn().await?;
    let mut found = stored::list(&mut conn, namespace, after.as_deref(), limit).await?;
    drop(conn);
    let mut more = found.len() > size;
    found.truncate(size);
    let mut secrets: Vec<Secret> = found.into_iter().map(shown).collect();
    more |= !page::cut(&mut secrets, 0, MAX_ANSWER_BYTES - TOKEN_BYTES);
    let next = secrets.last().filter(|_| more);
    let next = next.map(|last| page::token(RPC, &request, &last.name));
    Ok(ListSecretsResponse {
        secrets,
        next_page_token: next.unwrap_or_default(),
    })
}

fn keys(api: &Api) -> Result<&KeyRing> {
    api.engine.vault().keys().ok_or(Error::SecretsNotConfigured)
}

fn shown(secret: stored::Secret) -> Secret {
    let is_active = secret.versions.iter().any(|version| version.enabled);
    let state = if is_active {
        SecretState::Active
    } else {
        SecretState::Disabled
    };
    Secret {
        name: secret.name,
        description: secret.description,
        hosts: secret.hosts,
        latest_version: secret.latest_version,
        versions: secret
            .versions
            .iter()
            .map(|version| SecretVersion {
                number: version.number,
                create_time: Some(time::timestamp(version.created_at)),
                enabled: version.enabled,
            })
            .collect(),
        state: state.into(),
        create_time: Some(time::timestamp(secret.created_at)),
        update_time: Some(time::timestamp(secret.updated_at)),
    }
}

fn refuse(violations: impl IntoIterator<Item = Violation>) -> Result<()> {
    let violations: Vec<_> = violations.into_iter().collect();
    if violations.is_empty() {
        Ok(())
    } else {
        Err(Error::Invalid(violations))
    }
}

fn name_violation(name: &str) -> Option<Violation> {
    if name.is_empty() {
        return Some(required("name"));
    }
    let description = format!("is not 1 to {MAX_NAME_CHARS} characters of A-Z a-z 0-9 _ -");
    (!is_name(name)).then(|| violation("name", "INVALID_NAME", description))
}

/// What is wrong with a value, without any part of it.
fn value_violation(value: &str) -> Option<Violation> {
    let bytes = value.len();
    let (reason, description) = if bytes == 0 {
        return Some(required("value"));
    } else if !(MIN_VALUE_BYTES..=MAX_VALUE_BYTES).contains(&bytes) {
        let bounds = format!("{MIN_VALUE_BYTES} to {MAX_VALUE_BYTES}");
        (
            "OUT_OF_BOUNDS",
            format!("has {bytes} bytes, it has to have {bounds}"),
        )
    } else if value.contains('\0') {
        (
            "NUL_CHARACTER",
            "holds the character U+0000, which no server takes".to_owned(),
        )
    } else if value.trim().len() < MIN_BYTES {
        let description =
            format!("has fewer than {MIN_BYTES} bytes beside white space, which is no secret");
        ("OUT_OF_BOUNDS", description)
    } else if MARKER.contains(value.trim()) {
        let description = format!("is a part of {MARKER}, which stands in place of secrets");
        ("INVALID_VALUE", description)
    } else {
        return None;
    };
    Some(violation("value", reason, description))
}

fn description_violation(description: &str) -> Option<Violation> {
    let chars = description.chars().count();
    if chars > MAX_DESCRIPTION_CHARS {
        let text = format!("is {chars} characters long, the most are {MAX_DESCRIPTION_CHARS}");
        return Some(violation("description", "TOO_LONG", text));
    }
    let text = "holds the character U+0000, which cannot be stored";
    description
        .contains('\0')
        .then(|| violation("description", "NUL_CHARACTER", text))
}

fn hosts_violations(given: &[String]) -> Vec<Violation> {
    if given.len() > hosts::MAX_RULES {
        let (count, most) = (given.len(), hosts::MAX_RULES);
        let text = format!("has {count} entries, at most {most} are allowed");
        return vec![violation("hosts", "OUT_OF_BOUNDS", text)];
    }
    let rules = given.iter().enumerate();
    rules
        .filter_map(|(index, rule)| {
            let error = rule.parse::<Rule>().err()?;
            let field = format!("hosts[{index}]");
            Some(violation(&field, "INVALID_HOST", error.to_string()))
        })
        .collect()
}

/// Leaves out the value, which the generated form would print.
impl fmt::Debug for CreateSecretRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateSecretRequest")
            .field("name", &self.name)
            .field("description", &self.description)
            .field("hosts", &self.hosts)
            .finish_non_exhaustive()
    }
}

/// Leaves out the value, which the generated form would print.
impl fmt::Debug for AddSecretVersionRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AddSecretVersionRequest")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_shows_neither_in_a_request_nor_in_what_is_wrong_with_it() {
        let request = CreateSecretRequest {
            value: "hunter22".to_owned(),
            ..CreateSecretRequest::default()
        };
        let more = AddSecretVersionRequest {
            value: "hunter22".to_owned(),
            ..AddSecretVersionRequest::default()
        };

        assert!(!format!("{request:?} {more:?}").contains("hunter22"));
        for wrong in [
            "",
            "abc",
            "ab\0cd",
            "  abc  ",
            "redact",
            &"x".repeat(65_537),
        ] {
            let found = value_violation(wrong).unwrap();
            assert!(!found.description.contains("abc"), "{}", found.description);
        }
        assert_eq!(value_violation("hunter22"), None);
        assert_eq!(value_violation(&"x".repeat(65_536)), None);
    }
}
