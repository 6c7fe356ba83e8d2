//! The end of a graph: the loss.

use super::*;

impl Builder {
    pub(super) fn finish(mut self, spec: &ModelSpec, output: Value) -> Built<Graph> {
        let shape = self.graph.shape(output).to_vec();
        let sample = shape.get(1..).unwrap_or_default().to_vec();
        self.graph.enter_layer("loss");
        let graph = &mut self.graph;
        let target = graph.target();
        let labelled = spec.loss == Loss::SoftmaxCrossEntropy;
        let target_shape = match (labelled, shape.split_last()) {
            (false, _) => shape.clone(),
            (true, Some((&classes, rows))) if !sample.is_empty() => {
                graph.classes = classes;
                graph.ignore_label = spec.ignored();
                rows.to_vec()
            }
            _ => {
                let expected = "softmax-cross-entropy takes [.., classes]";
                return Err(Box::new(ModelError::Loss { expected, found: sample }));
            }
        };
        graph.set_target(target_shape);
        let axes: Vec<usize> = (0..shape.len()).collect();
        let mean = Op::ReduceMean { axes, keep: false };
        let loss = match spec.loss {
            Loss::SoftmaxCrossEntropy => graph.add(Op::SoftmaxCrossEntropyLoss, &[output, target])?,
            Loss::BinaryCrossEntropy => {
                let soft = graph.add(Op::Softplus, &[output])?;
                let hit = graph.add(Op::Mul, &[target, output])?;
                let each = graph.add(Op::Sub, &[soft, hit])?;
                graph.add(mean, &[each])?
            }
            Loss::MeanSquaredError => {
                let error = graph.add(Op::Sub, &[output, target])?;
                let square = graph.add(Op::Mul, &[error, error])?;
                graph.add(mean, &[square])?
            }
            Loss::MeanAbsoluteError => {
                let error = graph.add(Op::Sub, &[output, target])?;
                let each = graph.add(Op::Abs, &[error])?;
                graph.add(mean, &[each])?
            }
            Loss::Huber => {
                let each = huber(graph, spec.huber_delta.unwrap_or(1.0), output, target)?;
                graph.add(mean, &[each])?
            }
        };
        graph.finish(output, loss);
        Ok(self.graph)
    }
}

/// `min(|e|, d) (|e| - min(|e|, d) / 2)`: half the square up to d, linear behind it.
#[expect(clippy::cast_possible_truncation, reason = "tensors are single precision")]
fn huber(graph: &mut Graph, delta: f64, output: Value, target: Value) -> Built<Value> {
    let error = graph.add(Op::Sub, &[output, target])?;
    let size = graph.add(Op::Abs, &[error])?;
    let near = graph.add(Op::Clip { min: 0.0, max: delta as f32 }, &[size])?;
    let half = graph.constant(0.5);
    let half = graph.add(Op::Mul, &[near, half])?;
    let rest = graph.add(Op::Sub, &[size, half])?;
    graph.add(Op::Mul, &[near, rest])
}
