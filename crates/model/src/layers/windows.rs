//! Layers that slide a window over space.

use super::*;

pub(super) struct ConvFields<'a> {
    pub(super) filters: usize,
    pub(super) kernel: &'a Extent,
    pub(super) stride: &'a Extent,
    pub(super) padding: &'a Padding,
    pub(super) dilation: &'a Extent,
    pub(super) groups: usize,
    pub(super) bias: bool,
}

impl Builder {
    pub(super) fn spatial(&self, extent: &Extent, x: Value, missing: usize) -> Built<[usize; 2]> {
        let axes = self.sample(x).len().saturating_sub(1);
        match (extent, axes) {
            (Extent::Every(every), 1) => Ok([missing, *every]),
            (Extent::Every(every), 2) => Ok([*every, *every]),
            (Extent::Each(each), 1 | 2) => match (each.as_slice(), axes) {
                (&[width], 1) => Ok([missing, width]),
                (&[height, width], 2) => Ok([height, width]),
                _ => self.mismatch("as many spatial axes as numbers are given", x),
            },
            _ => self.mismatch("[channels, length] or [channels, height, width]", x),
        }
    }

    #[expect(clippy::indexing_slicing, reason = "there are two spatial axes in every array")]
    pub(super) fn window(
        &self,
        kernel: &Extent,
        stride: &Extent,
        padding: &Padding,
        dilation: &Extent,
        groups: usize,
        x: Value,
    ) -> Built<ConvAttributes> {
        let kernel = self.spatial(kernel, x, 1)?;
        let stride = self.spatial(stride, x, 1)?;
        let dilation = self.spatial(dilation, x, 1)?;
        let sample = self.sample(x);
        let extents = match *sample {
            [_, width] => [1, width],
            [_, height, width] => [height, width],
            _ => return self.mismatch("[channels, length] or [channels, height, width]", x),
        };
        let pads = match padding {
            Padding::Named(PaddingRule::Valid) => [[0; 2]; 2],
            Padding::Named(PaddingRule::Same) => core::array::from_fn(|axis| {
                let reach = dilation[axis] * (kernel[axis] - 1) + 1;
                let outputs = extents[axis].div_ceil(stride[axis]);
                let total = ((outputs - 1) * stride[axis] + reach).saturating_sub(extents[axis]);
                [total / 2, total - total / 2]
            }),
            Padding::Zeros(extent) => self.spatial(extent, x, 0)?.map(|zeros| [zeros; 2]),
        };
        Ok(ConvAttributes { kernel, stride, pads, dilation, groups, output_padding: [0; 2] })
    }

    pub(super) fn pool(
        &self,
        kernel: &Extent,
        stride: Option<&Extent>,
        padding: &Padding,
        x: Value,
    ) -> Built<ConvAttributes> {
        self.window(kernel, stride.unwrap_or(kernel), padding, &Extent::Every(1), 1, x)
    }

    pub(super) fn conv(&mut self, name: &str, fields: &ConvFields<'_>, x: Value) -> Built<Value> {
        let attributes =
            self.window(fields.kernel, fields.stride, fields.padding, fields.dilation, fields.groups, x)?;
        let channels = self.sample(x).first().copied().unwrap_or(1);
        let sides = [fields.filters, channels];
        self.convolution(name, Op::Conv(attributes), attributes, sides, fields.filters, fields.bias, x)
    }

    /// A convolution whose weight has `[rows, columns / groups, ..]`.
    #[expect(clippy::too_many_arguments, reason = "what two kinds of layer have in common")]
    pub(super) fn convolution(
        &mut self,
        name: &str,
        op: Op,
        attributes: ConvAttributes,
        [rows, columns]: [usize; 2],
        filters: usize,
        bias: bool,
        x: Value,
    ) -> Built<Value> {
        let groups = attributes.groups;
        if rows % groups != 0 || columns % groups != 0 {
            return self.mismatch(&format!("channels and filters in {groups} equal groups"), x);
        }
        let mut shape = vec![rows, columns / groups];
        let first = 4usize.saturating_sub(self.graph.shape(x).len());
        shape.extend(attributes.kernel.get(first..).unwrap_or_default());
        let init = fan_in(shape.iter().skip(1).product());
        let mut inputs = vec![x, self.parameter(name, "weight", &shape, init)?];
        if bias {
            inputs.push(self.parameter(name, "bias", &[filters], init)?);
        }
        self.graph.add(op, &inputs)
    }
}
