//! The messages, clients and servers of `synapps.v1`, generated from `proto/`; nothing by hand.

#![allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    clippy::nursery,
    reason = "generated: which lints it trips is up to the generator"
)]

tonic::include_proto!("synapps.v1");

/// The encoded `FileDescriptorSet` of all protos and what they import, comments included.
///
/// Reflection serves it.
pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("synapps.v1");
