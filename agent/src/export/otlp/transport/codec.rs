//! A gRPC codec for messages that are encoded already.

use bytes::{BufMut as _, Bytes};
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

use super::outcome::Outcome;
use crate::config::Signal;

/// Sends bytes as they are, and decodes the response of this signal's service.
pub(super) struct Encoded(pub(super) Signal);

impl Codec for Encoded {
    type Encode = Bytes;
    type Decode = Outcome;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self(self.0)
    }

    fn decoder(&mut self) -> Self {
        Self(self.0)
    }
}

impl Encoder for Encoded {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(message);
        Ok(())
    }
}

impl Decoder for Encoded {
    type Item = Outcome;
    type Error = Status;

    fn decode(&mut self, response: &mut DecodeBuf<'_>) -> Result<Option<Outcome>, Status> {
        let outcome = Outcome::accepted(self.0, response);
        outcome
            .map(Some)
            .map_err(|error| Status::internal(error.to_string()))
    }
}
