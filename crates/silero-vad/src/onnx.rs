//! The tensors of an ONNX file: as much of protobuf as that takes.
//!
//! By hand because of a file of five thousand fields three are wanted, borrowed from it; a generated reader of ONNX's whole
//! schema copies all of it. The schema: <https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3>; the encoding:
//! <https://protobuf.dev/programming-guides/encoding/>.

use crate::VadError;

/// A tensor of the graph, as it lies in the file.
#[derive(Debug)]
pub(crate) struct Tensor<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) dims: Vec<u64>,
    /// ONNX's number of the type; 1 is `f32`.
    pub(crate) data_type: u64,
    /// Little-endian.
    pub(crate) data: &'a [u8],
}

/// `ModelProto.graph`, `GraphProto.initializer`, and the fields of `TensorProto`.
const MODEL_GRAPH: u64 = 7;
const GRAPH_INITIALIZER: u64 = 5;
const TENSOR_DIMS: u64 = 1;
const TENSOR_DATA_TYPE: u64 = 2;
const TENSOR_NAME: u64 = 8;
const TENSOR_RAW_DATA: u64 = 9;

/// The network has 15; a file with far more is another's, and is not read to its end.
const MOST_TENSORS: usize = 256;
/// ONNX knows no tensor of more dimensions that anybody uses; it bounds what a hostile file makes us keep.
const MOST_DIMS: usize = 8;

/// The initialisers of the file's graph, in their order.
pub(crate) fn tensors(file: &[u8]) -> Result<Vec<Tensor<'_>>, VadError> {
    let mut found = Vec::new();
    let mut model = Reader { bytes: file, start: 0, at: 0 };
    while let Some((field, value)) = model.field()? {
        let (MODEL_GRAPH, Value::Bytes(start, graph)) = (field, value) else { continue };
        let mut graph = Reader { bytes: graph, start, at: 0 };
        while let Some((field, value)) = graph.field()? {
            let (GRAPH_INITIALIZER, Value::Bytes(start, tensor)) = (field, value) else { continue };
            if found.len() == MOST_TENSORS {
                return Err(graph.corrupt("more tensors than the network has"));
            }
            found.push(tensor_of(Reader { bytes: tensor, start, at: 0 })?);
        }
    }
    Ok(found)
}

fn tensor_of(mut reader: Reader<'_>) -> Result<Tensor<'_>, VadError> {
    let mut tensor = Tensor { name: &[], dims: Vec::new(), data_type: 0, data: &[] };
    while let Some((field, value)) = reader.field()? {
        match (field, value) {
            (TENSOR_DIMS, Value::Number(dim)) => tensor.dims.push(dim),
            // Writers may pack repeated numbers.
            (TENSOR_DIMS, Value::Bytes(start, bytes)) => {
                let mut packed = Reader { bytes, start, at: 0 };
                while packed.at < packed.bytes.len() && tensor.dims.len() <= MOST_DIMS {
                    tensor.dims.push(packed.varint()?);
                }
            }
            (TENSOR_DATA_TYPE, Value::Number(number)) => tensor.data_type = number,
            (TENSOR_NAME, Value::Bytes(_, bytes)) => tensor.name = bytes,
            (TENSOR_RAW_DATA, Value::Bytes(_, bytes)) => tensor.data = bytes,
            _ => {}
        }
        if tensor.dims.len() > MOST_DIMS {
            return Err(reader.corrupt("a tensor of more than 8 dimensions"));
        }
    }
    Ok(tensor)
}

enum Value<'a> {
    Number(u64),
    /// Where in the file they begin, and the bytes.
    Bytes(usize, &'a [u8]),
    /// Of a fixed width, which no field that is read here has.
    Other,
}

struct Reader<'a> {
    bytes: &'a [u8],
    /// Where in the file `bytes` begin.
    start: usize,
    at: usize,
}

impl<'a> Reader<'a> {
    fn corrupt(&self, reason: &'static str) -> VadError {
        VadError::Corrupt { offset: self.start + self.at, reason }
    }

    /// The next field's number and value; `None` at the end.
    fn field(&mut self) -> Result<Option<(u64, Value<'a>)>, VadError> {
        if self.at == self.bytes.len() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.take(8).map(|_| Value::Other)?,
            2 => {
                let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
                let start = self.start + self.at;
                Value::Bytes(start, self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Other)?,
            _ => return Err(self.corrupt("expected a field of protobuf")),
        };
        Ok(Some((tag >> 3, value)))
    }

    fn varint(&mut self) -> Result<u64, VadError> {
        let mut number = 0_u64;
        // Ten groups of seven bits hold 64.
        for group in 0..10 {
            let Some(&byte) = self.bytes.get(self.at) else {
                return Err(self.corrupt("it ends within a number"));
            };
            self.at += 1;
            number |= u64::from(byte & 0x7f) << (7 * group);
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(self.corrupt("a number of more than 64 bits"))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], VadError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(taken) = rest.get(..length) else { return Err(self.corrupt("it ends within a field")) };
        self.at += length;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A model with one tensor of the shape 2 x 1, its dimensions packed or not.
    fn model(packed: bool) -> Vec<u8> {
        let mut tensor = if packed { vec![0x0a, 2, 2, 1] } else { vec![8, 2, 8, 1] };
        tensor.extend([0x10, 1, 0x42, 1, b'w', 0x4a, 8]);
        tensor.extend([1.5_f32, -2.0].map(f32::to_le_bytes).concat());
        let mut graph = vec![0x2a, u8::try_from(tensor.len()).unwrap()];
        graph.extend(tensor);
        let mut model = vec![8, 9, 0x3a, u8::try_from(graph.len()).unwrap()];
        model.extend(graph);
        model
    }

    #[test]
    fn a_tensor_is_found_however_its_dimensions_are_written() {
        for packed in [false, true] {
            let file = model(packed);
            let found = tensors(&file).unwrap();
            let [tensor] = &found[..] else { panic!("{found:?}") };
            assert_eq!((tensor.name, &tensor.dims[..], tensor.data_type), (&b"w"[..], &[2, 1][..], 1));
            assert_eq!(tensor.data.len(), 8);
        }
    }

    #[test]
    fn a_file_that_ends_early_is_refused_with_the_place() {
        let file = model(false);
        for length in 3..file.len() {
            let error = tensors(&file[..length]).unwrap_err();
            let VadError::Corrupt { offset, .. } = error else { panic!("{error}") };
            assert!(offset <= length, "{offset} of {length}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
            let _ = tensors(&bytes);
        }
    }
}
