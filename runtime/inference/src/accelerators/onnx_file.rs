//! Reading an ONNX file without a second copy of it in memory.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use prost::Message as _;
use prost::bytes::Buf;
use sha2::{Digest, Sha256};
use tract_onnx::pb::ModelProto;

use super::{FileError, LoadError};

/// Bytes read at a time.
const CHUNK: usize = 1 << 18;

/// Reads a model, and hashes what it reads: nothing of the model is looked at before its SHA-256 was found to be
/// `expected` (64 hexadecimal digits; none where any will do).
pub(crate) fn read(path: &Path, expected: Option<&str>) -> Result<ModelProto, FileError> {
    let file = File::open(path)?;
    let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let mut bytes = Bytes { file, left: length, chunk: Vec::new(), at: 0, hash: Sha256::new(), failed: None };
    bytes.refill();
    let decoded = ModelProto::decode(&mut bytes);
    // What the decoder did not want to see belongs to the file all the same.
    bytes.advance(bytes.left);
    if let Some(error) = bytes.failed {
        return Err(error.into());
    }
    let actual = crate::store::hexadecimal(&bytes.hash.finalize());
    if let Some(expected) = expected.filter(|expected| !expected.eq_ignore_ascii_case(&actual)) {
        return Err(FileError::Hash { expected: expected.to_owned(), actual });
    }
    decoded.map_err(|error| LoadError::Unusable(crate::soundness::undecoded(&error)).into())
}

/// A file's bytes, a chunk at a time. prost's decoder takes no errors: after one it is given zeros, and the error is
/// told at the end.
struct Bytes {
    file: File,
    /// Bytes that were not taken yet.
    left: usize,
    chunk: Vec<u8>,
    /// Of the chunk.
    at: usize,
    hash: Sha256,
    failed: Option<io::Error>,
}

impl Bytes {
    fn refill(&mut self) {
        self.chunk.resize(self.left.min(CHUNK), 0);
        self.at = 0;
        if self.failed.is_none() {
            self.failed = self.file.read_exact(&mut self.chunk).err();
        }
        self.hash.update(&self.chunk);
    }
}

impl Buf for Bytes {
    fn remaining(&self) -> usize {
        self.left
    }

    fn chunk(&self) -> &[u8] {
        &self.chunk[self.at..]
    }

    fn advance(&mut self, mut count: usize) {
        while count > 0 {
            let step = count.min(self.chunk.len() - self.at);
            self.at += step;
            self.left -= step;
            count -= step;
            if self.at == self.chunk.len() {
                self.refill();
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// Longer than a chunk and not of whole chunks.
    fn model() -> Vec<u8> {
        let doc_string = "x".repeat(2 * CHUNK + 77);
        ModelProto { doc_string, producer_name: "test".into(), ..ModelProto::default() }.encode_to_vec()
    }

    #[test]
    fn a_file_of_several_chunks_is_what_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        std::fs::write(&path, model()).unwrap();
        let sha256 = crate::sha256(&model());
        assert_eq!(read(&path, Some(&sha256)).unwrap().encode_to_vec(), model());
        assert_eq!(read(&path, None).unwrap().producer_name, "test");
    }

    #[test]
    fn what_is_not_the_file_meant_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        let sha256 = crate::sha256(&model());
        let check = |bytes: &[u8], expected: &str| {
            std::fs::write(&path, bytes).unwrap();
            let error = read(&path, Some(&sha256)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        let mut changed = model();
        *changed.last_mut().unwrap() ^= 1;
        check(&changed, "SHA-256");
        check(&model()[..CHUNK], "SHA-256");
        check(&[], "SHA-256");
        std::fs::write(&path, &model()[..CHUNK]).unwrap();
        assert!(matches!(read(&path, None), Err(FileError::Load(_))));
        assert!(matches!(read(&folder.path().join("none"), None), Err(FileError::Unreadable(_))));
    }
}
