//! The messages, clients and servers of `synapps.v1`, and of what replicas say to each other, generated from `proto/`;
//! nothing by hand.

#![allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    clippy::nursery,
    reason = "generated: which lints it trips is up to the generator"
)]

tonic::include_proto!("synapps.v1");

pub mod internal {
    //! What replicas say to each other.
    tonic::include_proto!("synapps.internal.v1");
}

/// The encoded `FileDescriptorSet` of all protos of `synapps.v1` and what they import, comments included.
///
/// Reflection serves it.
pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("synapps.v1");
