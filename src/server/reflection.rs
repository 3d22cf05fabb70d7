//! What tools such as grpcurl ask the server about its services.

use tonic::service::Routes;
use tonic_reflection::server::{Builder, Error};

/// Both versions of the reflection protocol; older tools know the alpha only.
///
/// The details of errors are described too, or such tools print them as base64.
pub(super) fn routes(routes: Routes) -> Result<Routes, Error> {
    Ok(routes
        .add_service(described().build_v1()?)
        .add_service(described().build_v1alpha()?))
}

fn described() -> Builder<'static> {
    Builder::configure()
        .register_encoded_file_descriptor_set(crate::proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
}
