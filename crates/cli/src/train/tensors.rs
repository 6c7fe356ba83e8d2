//! Tensors as other programs write them: a safetensors file of any element types, read as what training takes.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use half::{bf16, f16};
use lichen_learn::file_kind;
use lichen_model::{Parameters, Tensor};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

const FLOATS: [Dtype; 4] = [Dtype::F32, Dtype::F64, Dtype::F16, Dtype::BF16];
const INTEGERS: [Dtype; 9] = [
    Dtype::I64,
    Dtype::I32,
    Dtype::I16,
    Dtype::I8,
    Dtype::U64,
    Dtype::U32,
    Dtype::U16,
    Dtype::U8,
    Dtype::BOOL,
];

/// The tensors of one file, and which of them were not of type F32 when they were read.
pub(super) struct Tensors<'a> {
    tensors: BTreeMap<String, TensorView<'a>>,
    converted: Vec<String>,
}

impl<'a> Tensors<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> anyhow::Result<Self> {
        if let Some((kind, remedy)) = file_kind(bytes).and_then(|kind| Some((kind, kind.remedy()?))) {
            bail!("this is {kind}, not a safetensors file: {remedy}");
        }
        let file = SafeTensors::deserialize(bytes).context("this is not a whole safetensors file")?;
        Ok(Self { tensors: file.tensors().into_iter().collect(), converted: Vec::new() })
    }

    /// The tensor's extents.
    pub(super) fn shape(&self, name: &str) -> anyhow::Result<&[usize]> {
        Ok(self.view(name)?.shape())
    }

    /// A tensor's elements as numbers in single precision.
    pub(super) fn numbers(&mut self, name: &str) -> anyhow::Result<Vec<f32>> {
        self.single(name, &[FLOATS.as_slice(), &INTEGERS].concat())
    }

    /// A tensor's elements as whole numbers; those beyond 64 bits as the largest.
    pub(super) fn whole_numbers(&self, name: &str, what_for: &str) -> anyhow::Result<Vec<i64>> {
        let view = self.view(name)?;
        let dtype = view.dtype();
        check_type(name, dtype, &INTEGERS).context(format!("{what_for} takes whole numbers"))?;
        Ok(elements(view).map(|bytes| integer(dtype, bytes)).collect())
    }

    /// All tensors as parameters. PyTorch's counters `*.num_batches_tracked` are left out: nothing depends on them.
    pub(super) fn parameters(&mut self) -> anyhow::Result<Parameters> {
        let is_parameter = |name: &&String| !name.ends_with(".num_batches_tracked");
        let names: Vec<String> = self.tensors.keys().filter(is_parameter).cloned().collect();
        let mut parameters = Parameters::new();
        for name in names {
            let data = self.single(&name, &FLOATS)?;
            ensure!(
                data.iter().all(|value| value.is_finite()),
                "tensor {name} has elements that are not finite"
            );
            let tensor = Tensor::new(self.shape(&name)?.to_vec(), data)?;
            parameters.insert(name, tensor)?;
        }
        Ok(parameters)
    }

    /// Says on standard error which tensors were converted, if any were.
    pub(super) fn report(&self, path: &Path) {
        let Some(first) = self.converted.first() else { return };
        let others = match self.converted.len() {
            1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        eprintln!("lichen: in {}, {first}{others} converted to F32 (rounded to the nearest)", path.display());
    }

    fn view(&self, name: &str) -> anyhow::Result<&TensorView<'a>> {
        self.tensors.get(name).with_context(|| {
            let mut names: Vec<&str> = self.tensors.keys().take(10).map(String::as_str).collect();
            if self.tensors.len() > names.len() {
                names.push("...");
            }
            format!("there is no tensor {name} (there are: {})", names.join(", "))
        })
    }

    #[expect(clippy::cast_possible_truncation, reason = "rounding to single precision is what is asked for")]
    fn single(&mut self, name: &str, accepted: &[Dtype]) -> anyhow::Result<Vec<f32>> {
        let view = self.view(name)?;
        let dtype = view.dtype();
        check_type(name, dtype, accepted)?;
        let wide: Vec<f64> = elements(view).map(|bytes| number(dtype, bytes)).collect();
        let singles: Vec<f32> = wide.iter().map(|&value| value as f32).collect();
        let is_lost = |(wide, single): (&f64, &f32)| wide.is_finite() && !single.is_finite();
        if let Some(element) = wide.iter().zip(&singles).position(is_lost) {
            bail!("element {element} of tensor {name}, of type {dtype}, is larger than F32 can hold");
        }
        let is_rounded = || wide.iter().zip(&singles).any(|(&wide, &single)| wide != f64::from(single));
        if dtype != Dtype::F32 && (FLOATS.contains(&dtype) || is_rounded()) {
            self.converted.push(format!("{name} ({dtype})"));
        }
        Ok(singles)
    }
}

fn check_type(name: &str, dtype: Dtype, accepted: &[Dtype]) -> anyhow::Result<()> {
    let words: Vec<String> = accepted.iter().map(ToString::to_string).collect();
    let accepted = accepted.contains(&dtype);
    ensure!(accepted, "tensor {name} is of type {dtype}: give one of {}", words.join(", "));
    Ok(())
}

fn elements<'a>(view: &TensorView<'a>) -> impl Iterator<Item = &'a [u8]> {
    view.data().chunks_exact((view.dtype().bitsize() / 8).max(1))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "integers beyond 2^53 are far beyond what single precision tells apart"
)]
fn number(dtype: Dtype, bytes: &[u8]) -> f64 {
    match (dtype, bytes) {
        (Dtype::F64, &[a, b, c, d, e, f, g, h]) => f64::from_le_bytes([a, b, c, d, e, f, g, h]),
        (Dtype::F32, &[a, b, c, d]) => f32::from_le_bytes([a, b, c, d]).into(),
        (Dtype::F16, &[a, b]) => f16::from_le_bytes([a, b]).into(),
        (Dtype::BF16, &[a, b]) => bf16::from_le_bytes([a, b]).into(),
        _ => integer(dtype, bytes) as f64,
    }
}

fn integer(dtype: Dtype, bytes: &[u8]) -> i64 {
    let is_signed = matches!(dtype, Dtype::I8 | Dtype::I16 | Dtype::I32 | Dtype::I64);
    let is_negative = is_signed && bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut wide = [if is_negative { 0xff } else { 0 }; 8];
    for (to, from) in wide.iter_mut().zip(bytes) {
        *to = *from;
    }
    let value = i64::from_le_bytes(wide);
    if value < 0 && !is_signed { i64::MAX } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(tensors: &[(&str, Dtype, &[usize], Vec<u8>)]) -> Vec<u8> {
        let views = tensors.iter().map(|(name, dtype, shape, data)| {
            (*name, TensorView::new(*dtype, shape.to_vec(), data).unwrap())
        });
        safetensors::serialize(views, None).unwrap()
    }

    #[test]
    fn numbers_of_every_type_are_read() {
        let wide: Vec<u8> = [1.5f64, -0.1, f64::NAN].iter().flat_map(|value| value.to_le_bytes()).collect();
        let half: Vec<u8> =
            [1.5f32, -0.1].iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect();
        let brain: Vec<u8> =
            [1.5f32, -0.1].iter().flat_map(|&value| bf16::from_f32(value).to_le_bytes()).collect();
        let long: Vec<u8> = [3i64, -2].iter().flat_map(|value| value.to_le_bytes()).collect();
        let bytes = file(&[
            ("f64", Dtype::F64, &[3], wide),
            ("f16", Dtype::F16, &[2], half),
            ("bf16", Dtype::BF16, &[2], brain),
            ("i64", Dtype::I64, &[2], long),
            ("i8", Dtype::I8, &[2], vec![255, 127]),
            ("u8", Dtype::U8, &[2], vec![255, 127]),
            ("bool", Dtype::BOOL, &[2], vec![0, 1]),
            ("u64", Dtype::U64, &[1], vec![255; 8]),
        ]);
        let mut tensors = Tensors::read(&bytes).unwrap();
        let numbers = tensors.numbers("f64").unwrap();
        assert_eq!(numbers[..2], [1.5, -0.1]);
        assert!(numbers[2].is_nan());
        assert_eq!(tensors.numbers("f16").unwrap(), [1.5, -0.099_975_586]);
        assert_eq!(tensors.numbers("bf16").unwrap(), [1.5, -0.100_097_656]);
        assert_eq!(tensors.numbers("i64").unwrap(), [3.0, -2.0]);
        assert_eq!(tensors.numbers("i8").unwrap(), [-1.0, 127.0]);
        assert_eq!(tensors.numbers("u8").unwrap(), [255.0, 127.0]);
        assert_eq!(tensors.numbers("bool").unwrap(), [0.0, 1.0]);
        assert_eq!(tensors.converted, ["f64 (F64)", "f16 (F16)", "bf16 (BF16)"]);
        assert_eq!(tensors.whole_numbers("i64", "it").unwrap(), [3, -2]);
        assert_eq!(tensors.whole_numbers("i8", "it").unwrap(), [-1, 127]);
        assert_eq!(tensors.whole_numbers("u64", "it").unwrap(), [i64::MAX]);
        let error = format!("{:#}", tensors.whole_numbers("f16", "the loss").unwrap_err());
        assert!(
            error.starts_with("the loss takes whole numbers: tensor f16 is of type F16: give one of I64, "),
            "{error}"
        );
        let error = tensors.numbers("z").unwrap_err().to_string();
        assert_eq!(error, "there is no tensor z (there are: bf16, bool, f16, f64, i64, i8, u64, u8)");
    }

    #[test]
    fn what_cannot_be_converted_is_named() {
        let huge: Vec<u8> = [1.0, 1e300f64].iter().flat_map(|value| value.to_le_bytes()).collect();
        let bytes = file(&[("a", Dtype::F64, &[2], huge), ("b", Dtype::F8_E4M3, &[1], vec![0])]);
        let mut tensors = Tensors::read(&bytes).unwrap();
        let error = tensors.parameters().unwrap_err().to_string();
        assert_eq!(error, "element 1 of tensor a, of type F64, is larger than F32 can hold");
        let error = tensors.numbers("b").unwrap_err().to_string();
        assert!(
            error.starts_with("tensor b is of type F8_E4M3: give one of F32, F64, F16, BF16, I64"),
            "{error}"
        );
        let bytes = file(&[("a", Dtype::I64, &[1], vec![0; 8])]);
        let error = Tensors::read(&bytes).unwrap().parameters().unwrap_err().to_string();
        assert_eq!(error, "tensor a is of type I64: give one of F32, F64, F16, BF16");
    }

    #[test]
    fn parameters_of_other_types_are_converted_and_counters_left_out() {
        let bytes = file(&[
            ("norm.weight", Dtype::BF16, &[2], vec![0x80, 0x3f, 0x00, 0xc0]),
            ("norm.num_batches_tracked", Dtype::I64, &[], vec![0; 8]),
        ]);
        let parameters = Tensors::read(&bytes).unwrap().parameters().unwrap();
        assert_eq!(parameters.len(), 1);
        assert_eq!(parameters.get("norm.weight").unwrap().data(), [1.0, -2.0]);
    }
}
