//! Named tensors: a model's checkpoint.

use crate::ModelError;
use crate::safetensors::{self, ElementType};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// A tensor: extents and row-major elements.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Vec<f32>,
}

impl Tensor {
    /// A tensor of these extents and elements.
    ///
    /// # Errors
    /// [`ModelError::File`] if the number of elements is not the product of the extents.
    pub fn new(shape: Vec<usize>, data: Vec<f32>) -> Result<Self, ModelError> {
        let elements = shape.iter().try_fold(1usize, |all, &extent| all.checked_mul(extent));
        if elements == Some(data.len()) {
            Ok(Self { shape, data })
        } else {
            Err(ModelError::File("a tensor has not as many elements as its shape says"))
        }
    }

    /// Extents, outermost first.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Elements, row-major.
    #[must_use]
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// Elements, row-major, to be changed.
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }
}

/// A model's parameters by name; equal parameters have equal bytes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters {
    /// In order of their names: far less code than a tree, and models have few.
    tensors: Vec<(String, Tensor)>,
}

impl Parameters {
    /// No parameters.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tensor.
    ///
    /// # Errors
    /// [`ModelError::DuplicateName`] if there is one of that name; [`ModelError::FileTensor`] if the name has
    /// characters other than ASCII letters, digits and `_-.` or is longer than 255.
    pub fn insert(&mut self, name: String, tensor: Tensor) -> Result<(), ModelError> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        if name.is_empty() || name.len() > 255 || !name.bytes().all(legal) || name == "__metadata__" {
            let problem = "name must be letters, digits, '_', '-' and '.'";
            return Err(ModelError::FileTensor { name, problem });
        }
        match self.place(&name) {
            Ok(_) => Err(ModelError::DuplicateName { name }),
            Err(at) => {
                self.tensors.insert(at, (name, tensor));
                Ok(())
            }
        }
    }

    /// Where the tensor of that name is, or would be.
    fn place(&self, name: &str) -> Result<usize, usize> {
        self.tensors.binary_search_by(|(other, _)| other.as_str().cmp(name))
    }

    /// The tensor of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        let at = self.place(name).ok()?;
        self.tensors.get(at).map(|(_, tensor)| tensor)
    }

    /// All tensors in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> + Clone {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// All tensors in order of their names, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Tensor)> {
        self.tensors.iter_mut().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// Number of tensors.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether there is no tensor.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// Number of elements of all tensors together.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.tensors.iter().map(|(_, tensor)| tensor.data.len()).sum()
    }

    /// Whether both have the same names and shapes.
    #[must_use]
    pub fn same_shapes(&self, other: &Self) -> bool {
        let alike = |((name, tensor), (other, model)): (&(String, Tensor), &(String, Tensor))| {
            name == other && tensor.shape == model.shape
        };
        self.len() == other.len() && self.tensors.iter().zip(&other.tensors).all(alike)
    }

    /// The canonical safetensors file: names in order, no metadata, no spaces but the padding.
    #[must_use]
    pub fn to_safetensors(&self) -> Vec<u8> {
        safetensors::write(self.iter().map(|(name, tensor)| (name, tensor.shape(), tensor.data())))
    }

    /// Reads what [`Parameters::to_safetensors`] wrote, and nothing else: single precision, finite, canonical.
    ///
    /// # Errors
    /// [`ModelError::File`] or [`ModelError::FileTensor`] for everything else.
    pub fn from_safetensors(bytes: &[u8]) -> Result<Self, ModelError> {
        let parameters = Self::import_safetensors(bytes)?;
        if parameters.to_safetensors() == bytes {
            Ok(parameters)
        } else {
            Err(ModelError::File("not in canonical form"))
        }
    }

    /// Reads any safetensors file of finite single-precision tensors, in whatever order and with metadata, as
    /// other programs write it. PyTorch's counters `*.num_batches_tracked` are left out: nothing depends on them.
    ///
    /// # Errors
    /// [`ModelError::File`] or [`ModelError::FileTensor`] if the file is broken or holds something else.
    pub fn import_safetensors(bytes: &[u8]) -> Result<Self, ModelError> {
        let mut parameters = Self::new();
        for (name, view) in safetensors::read(bytes)? {
            if name.ends_with(".num_batches_tracked") {
                continue;
            }
            if view.element != ElementType::F32 {
                return Err(ModelError::FileTensor { name, problem: "is not of type F32" });
            }
            let data = view.to_f32();
            if !data.iter().all(|value| value.is_finite()) {
                return Err(ModelError::FileTensor { name, problem: "has elements that are not finite" });
            }
            parameters.insert(name.to_string(), Tensor { shape: view.shape, data })?;
        }
        Ok(parameters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn sample() -> Parameters {
        let mut parameters = Parameters::new();
        let weight = Tensor::new(vec![1, 2], vec![1.5, -0.25]).unwrap();
        parameters.insert("b.weight".into(), weight).unwrap();
        parameters.insert("a.bias".into(), Tensor::new(vec![], vec![3.0]).unwrap()).unwrap();
        parameters
    }

    #[test]
    fn bytes_are_canonical() {
        let expected = concat!(
            r#"{"a.bias":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"#,
            r#""b.weight":{"dtype":"F32","shape":[1,2],"data_offsets":[4,12]}} "#
        );
        let bytes = sample().to_safetensors();
        assert_eq!(
            core::str::from_utf8(&bytes[8..bytes.len() - 12]).unwrap().trim_end(),
            expected.trim_end()
        );
        assert_eq!((bytes.len() - 12) % 8, 0);
        assert_eq!(Parameters::from_safetensors(&bytes).unwrap(), sample());
    }

    #[test]
    fn other_forms_are_imported_only() {
        let header = concat!(
            r#"{"b.weight":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},"#,
            r#""a.bias":{"dtype":"F32","shape":[],"data_offsets":[8,12]}}"#
        );
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        for value in [1.5f32, -0.25, 3.0] {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        assert_eq!(Parameters::import_safetensors(&bytes).unwrap(), sample());
        assert_eq!(Parameters::from_safetensors(&bytes), Err(ModelError::File("not in canonical form")));
    }

    #[test]
    fn values_that_are_not_finite_are_refused() {
        let mut bytes = sample().to_safetensors();
        let end = bytes.len();
        bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
        assert!(matches!(Parameters::from_safetensors(&bytes), Err(ModelError::FileTensor { .. })));
    }
}
