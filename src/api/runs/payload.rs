//! `ReadPayload`: a payload of any size, in pieces.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::api::Api;
use crate::api::checks::Checks;
use crate::api::convert::event::sequence_of;
use crate::api::runs::run_key;
use crate::api::status::Result;
use crate::engine;
use crate::files::FileRef;
use crate::ids::{Namespace, RunKey};
use crate::proto::{ReadPayloadRequest, ReadPayloadResponse};
use crate::run::event::{PayloadInfo, Recorded};
use crate::store::payloads::CHUNK_BYTES;
use crate::store::{events, payloads};

/// The pieces of a payload.
pub(super) type Pieces = ReceiverStream<Result<ReadPayloadResponse, Status>>;

/// How many pieces are read ahead of the client.
const AHEAD: usize = 2;

impl Api {
    pub(super) async fn read_payload_pieces(
        &self,
        namespace: Namespace,
        request: &ReadPayloadRequest,
    ) -> Result<Pieces> {
        let mut checks = Checks::default();
        let run_id = checks.run_id(&request.run_id);
        if request.r#ref.is_empty() {
            checks.add("ref", "REQUIRED", "has to be set");
        }
        checks.finish()?;
        let key = run_key(namespace, run_id);
        // Says NOT_FOUND of the run rather than of its payload.
        self.engine.row(&key).await?;
        let (inline, info) = if let Some(file) = FileRef::find(&request.r#ref) {
            (None, self.find_file(&key, &file).await?)
        } else {
            let (recorded, info) = self.find_payload(&key, &request.r#ref).await?;
            (recorded.payload, info)
        };
        let (sender, receiver) = mpsc::channel(AHEAD);
        let api = self.clone();
        tokio::spawn(async move {
            if let Err(error) = api.send(&key, inline, &info, &sender).await {
                // An error says that the client has left.
                sender.send(Err(error.into())).await.ok();
            }
        });
        Ok(ReceiverStream::new(receiver))
    }

    /// The event that a reference names, and what it says of its payload.
    pub(super) async fn find_payload(
        &self,
        key: &RunKey,
        reference: &str,
    ) -> Result<(Recorded, PayloadInfo)> {
        let absent = || engine::Error::PayloadNotFound {
            run_id: key.run_id,
            reference: reference.to_owned(),
        };
        let sequence = sequence_of(reference).ok_or_else(absent)?;
        let mut conn = self.engine.store().conn().await?;
        let recorded = events::find(&mut conn, key, sequence)
            .await?
            .ok_or_else(absent)?;
        let info = recorded.event.payload_info().cloned().ok_or_else(absent)?;
        Ok((recorded, info))
    }

    /// What is known of a file of a run.
    async fn find_file(&self, key: &RunKey, file: &FileRef) -> Result<PayloadInfo> {
        let place = file.place();
        let mut conn = self.engine.store().conn().await?;
        let size = payloads::find_size(&mut conn, key, &place).await?;
        let size_bytes = size.ok_or_else(|| engine::Error::PayloadNotFound {
            run_id: key.run_id,
            reference: file.as_str().to_owned(),
        })?;
        Ok(PayloadInfo {
            size_bytes,
            sha256: file.sha256().to_owned(),
            chunks: Some(place),
        })
    }

    async fn send(
        &self,
        key: &RunKey,
        inline: Option<Arc<str>>,
        info: &PayloadInfo,
        sender: &mpsc::Sender<Result<ReadPayloadResponse, Status>>,
    ) -> Result<()> {
        let mut piece = ReadPayloadResponse {
            data: Bytes::new(),
            size_bytes: i64::try_from(info.size_bytes).unwrap_or(i64::MAX),
            sha256: info.sha256.clone(),
        };
        let Some(at) = &info.chunks else {
            let text = inline.unwrap_or_default();
            for data in text.as_bytes().chunks(CHUNK_BYTES) {
                piece.data = Bytes::copy_from_slice(data);
                if sender.send(Ok(std::mem::take(&mut piece))).await.is_err() {
                    return Ok(());
                }
            }
            return Ok(());
        };
        for number in 0.. {
            // A connection is held for one piece only: the client may be slow.
            let mut conn = self.engine.store().conn().await?;
            let data = payloads::find_chunk(&mut conn, key, at, number).await?;
            drop(conn);
            let Some(data) = data else { break };
            piece.data = Bytes::from(data);
            if sender.send(Ok(std::mem::take(&mut piece))).await.is_err() {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_an_events_sequence_and_nothing_else() {
        assert_eq!(sequence_of("e42"), Some(42));
        for wrong in ["", "42", "e", "e0", "e-1", "e1x", "E1", "e03", "e+3"] {
            assert_eq!(sequence_of(wrong), None, "{wrong}");
        }
    }
}
