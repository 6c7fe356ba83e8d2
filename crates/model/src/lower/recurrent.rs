//! Recurrent layers: one product for all inputs, one kernel for the recurrence.

use super::Lowering;
use crate::graph::Node;
use crate::program::{BufferId, Gru, GruBackward, Kernel, Lstm, LstmBackward, Matrix, Recurrence};

fn matrix(buffer: BufferId, row_stride: usize, transposed: bool) -> Matrix {
    Matrix { buffer, offset: 0, row_stride, batch_strides: [0, 0], transposed }
}

#[expect(clippy::indexing_slicing, reason = "operands were checked by shape inference")]
impl Lowering<'_> {
    fn recurrence(&self, node: &Node) -> (Recurrence, usize) {
        let shape = self.shape(node.output);
        let features = self.shape_of(node, 0)[2];
        (Recurrence { batch: shape[0], steps: shape[1], hidden: shape[2] }, features)
    }

    /// Inputs of all steps times the input weights, plus their bias.
    fn project(&mut self, node: &Node, wide: usize) -> BufferId {
        let (shape, features) = self.recurrence(node);
        let rows = shape.batch * shape.steps;
        let (x, w, bias) = (self.input(node, 0), self.input(node, 1), self.input(node, 3));
        let projected = self.scratch(&[shape.batch, shape.steps, wide]);
        let (a, b) = (matrix(x, features, false), matrix(w, features, true));
        self.product(a, b, matrix(projected, wide, false), [rows, wide, features]).bias = Some(bias);
        projected
    }

    pub(super) fn gru(&mut self, index: usize, node: &Node, hidden: usize) {
        let (shape, _) = self.recurrence(node);
        let projected = self.project(node, 3 * hidden);
        let (weight, bias) = (self.input(node, 2), self.input(node, 4));
        let output = self.define(node.output);
        let gates = self.scratch(&[shape.batch, shape.steps, 4 * hidden]);
        self.save(index, gates);
        self.kernels.push(Kernel::Gru(Gru { shape, projected, weight, bias, output, gates }));
    }

    pub(super) fn lstm(&mut self, index: usize, node: &Node, hidden: usize) {
        let (shape, _) = self.recurrence(node);
        let projected = self.project(node, 4 * hidden);
        let (weight, bias) = (self.input(node, 2), self.input(node, 4));
        let output = self.define(node.output);
        let gates = self.scratch(&[shape.batch, shape.steps, 5 * hidden]);
        self.save(index, gates);
        self.kernels.push(Kernel::Lstm(Lstm { shape, projected, weight, bias, output, gates }));
    }

    pub(super) fn gru_backward(&mut self, index: usize, node: &Node, gradient: BufferId) {
        let (shape, _) = self.recurrence(node);
        let wide = 3 * shape.hidden;
        let (weight, output) = (self.input(node, 2), self.place(node.output));
        let projected_gradient = self.scratch(&[shape.batch, shape.steps, wide]);
        let hidden_gradient = self.scratch(&[shape.batch, shape.steps, wide]);
        let previous = self.scratch(&[shape.batch, shape.steps, shape.hidden]);
        self.kernels.push(Kernel::GruBackward(GruBackward {
            shape,
            weight,
            output,
            gates: self.saved_by(index),
            gradient,
            projected_gradient,
            hidden_gradient,
            previous,
        }));
        self.weights_backward(node, wide, projected_gradient, hidden_gradient, previous);
    }

    pub(super) fn lstm_backward(&mut self, index: usize, node: &Node, gradient: BufferId) {
        let (shape, _) = self.recurrence(node);
        let wide = 4 * shape.hidden;
        let (weight, output) = (self.input(node, 2), self.place(node.output));
        let projected_gradient = self.scratch(&[shape.batch, shape.steps, wide]);
        let previous = self.scratch(&[shape.batch, shape.steps, shape.hidden]);
        self.kernels.push(Kernel::LstmBackward(LstmBackward {
            shape,
            weight,
            output,
            gates: self.saved_by(index),
            gradient,
            projected_gradient,
            previous,
        }));
        self.weights_backward(node, wide, projected_gradient, projected_gradient, previous);
    }

    fn weights_backward(
        &mut self,
        node: &Node,
        wide: usize,
        by_input: BufferId,
        by_state: BufferId,
        previous: BufferId,
    ) {
        let (shape, features) = self.recurrence(node);
        let (rows, hidden) = (shape.batch * shape.steps, shape.hidden);
        let (x, w) = (self.input(node, 0), self.input(node, 1));
        let products = [(1, by_input, x, features), (2, by_state, previous, hidden)];
        for (operand, by, other, width) in products {
            if self.wants(node, operand) {
                let result = self.scratch(&[wide, width]);
                let (a, b) = (matrix(by, wide, true), matrix(other, width, false));
                self.product(a, b, matrix(result, width, false), [wide, width, rows]);
                self.give(node, operand, result);
            }
        }
        for (operand, by) in [(3, by_input), (4, by_state)] {
            if self.wants(node, operand) {
                let result = self.sum(by, 1, rows, wide, &[wide]);
                self.give(node, operand, result);
            }
        }
        if self.wants(node, 0) {
            let result = self.scratch(&[shape.batch, shape.steps, features]);
            let (a, b) = (matrix(by_input, wide, false), matrix(w, features, false));
            self.product(a, b, matrix(result, features, false), [rows, features, wide]);
            self.give(node, 0, result);
        }
    }
}
