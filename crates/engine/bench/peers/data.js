// The workloads' data and first parameters, from our own bundle, so that all engines train the same.
import init, { Data } from "./lichen_engine_bench.js";

// All batches and parameters of a workload as typed arrays.
export async function load(workload) {
  await init();
  const data = new Data(workload);
  const numbers = [...Array(data.batches).keys()];
  const parameters = {};
  for (const name of data.names()) {
    parameters[name] = { shape: [...data.shape(name)], values: data.values(name) };
  }
  return {
    workload,
    batches: numbers.map((number) => ({ x: data.inputs(number), y: Int32Array.from(data.labels(number)) })),
    parameters,
  };
}

// The matrix [rows, columns] as [columns, rows].
export function transposed({ shape: [rows, columns], values }) {
  const out = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) out[column * rows + row] = values[row * columns + column];
  }
  return { shape: [columns, rows], values: out };
}

// A tensor with its axes in another order.
export function permuted({ shape, values }, axes) {
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((all, extent) => all * extent, 1));
  const outShape = axes.map((axis) => shape[axis]);
  const out = new Float32Array(values.length);
  for (let index = 0; index < out.length; index++) {
    let rest = index;
    let from = 0;
    for (let axis = axes.length - 1; axis >= 0; axis--) {
      from += (rest % outShape[axis]) * strides[axes[axis]];
      rest = Math.floor(rest / outShape[axis]);
    }
    out[index] = values[from];
  }
  return { shape: outShape, values: out };
}

// Labels or tokens as rows with a single 1.
export function oneHot(numbers, classes) {
  const rows = new Float32Array(numbers.length * classes);
  numbers.forEach((number, row) => (rows[row * classes + number] = 1));
  return rows;
}
