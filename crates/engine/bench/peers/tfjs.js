// TensorFlow.js: { workload, device: "wasm" | "webgl" | "webgpu", byHand }. With `byHand`, convolutions are
// products over patches (im2col), embeddings products with one-hot rows, and pools maxima over reshaped axes.
import * as tf from "@tensorflow/tfjs-core";
import "@tensorflow/tfjs-core/dist/register_all_gradients.js";
import { setWasmPaths } from "@tensorflow/tfjs-backend-wasm";
import "@tensorflow/tfjs-backend-webgl";
import "@tensorflow/tfjs-backend-webgpu";
import { load, oneHot, permuted, transposed } from "./data.js";
import { serve } from "./serve.js";

setWasmPaths("./");

serve(async ({ workload, device, byHand }) => {
  const data = await load(workload);
  if (!(await tf.setBackend(device))) throw new Error(`no ${device} backend`);
  await tf.ready();
  return async () => {
    const weights = variables(data);
    const optimizer = tf.train.adam(0.001, 0.9, 0.999, 1e-8);
    const model = MODELS[workload](weights, byHand);
    const classes = workload === "w4" ? 64 : 10;
    const batches = data.batches.map(({ x, y }) => ({
      x: model.input(x),
      y: tf.tensor2d(oneHot(y, classes), [y.length, classes]),
    }));
    const trained = Object.values(weights);
    let next = 0;
    const run = async (steps) => {
      let loss;
      for (let step = 0; step < steps; step++) {
        const { x, y } = batches[next++ % batches.length];
        loss?.dispose();
        loss = tf.tidy(() => {
          const cost = () => crossEntropy(model.forward(x), y);
          return optimizer.minimize(cost, true, trained);
        });
      }
      const [value] = await loss.data();
      loss.dispose();
      return value;
    };
    return { run };
  };
});

function crossEntropy(logits, y) {
  return tf.neg(tf.mean(tf.sum(tf.mul(y, tf.logSoftmax(logits)), -1)));
}

// Parameters in the layouts that TensorFlow.js likes: dense [in, out], convolutions [kh, kw, in, out].
function variables({ workload, parameters }) {
  const made = {};
  for (const [name, parameter] of Object.entries(parameters)) {
    made[name] = tf.variable(tf.tensor(...native(workload, name, parameter)));
  }
  return made;
}

function native(workload, name, parameter) {
  let { shape, values } = parameter;
  if (shape.length === 4) ({ shape, values } = permuted(parameter, [2, 3, 1, 0]));
  else if (workload === "w2" && name === "a.weight") {
    // Its inputs are [channels, height, width] with us and [height, width, channels] here.
    const apart = permuted({ shape: [128, 32, 7, 7], values }, [2, 3, 1, 0]);
    [shape, values] = [[1568, 128], apart.values];
  } else if (shape.length === 2 && !/^(tokens|positions)\./.test(name)) ({ shape, values } = transposed(parameter));
  return [values, shape];
}

const dense = (w, name, x) => tf.add(tf.matMul(x, w[`${name}.weight`]), w[`${name}.bias`]);

function mlp(names, width) {
  return (w) => ({
    input: (x) => tf.tensor2d(x, [x.length / width, width]),
    forward: (x) => names.reduce((x, name, at) => (at ? dense(w, name, tf.relu(x)) : dense(w, name, x)), x),
  });
}

function patches(x, kernel) {
  const [batch, height, width, channels] = x.shape;
  const border = (kernel - 1) / 2;
  const padded = tf.pad(x, [[0, 0], [border, border], [border, border], [0, 0]]);
  const parts = [];
  for (let row = 0; row < kernel; row++) {
    for (let column = 0; column < kernel; column++) {
      parts.push(tf.slice(padded, [0, row, column, 0], [batch, height, width, channels]));
    }
  }
  return tf.reshape(tf.concat(parts, 3), [batch * height * width, kernel * kernel * channels]);
}

function convolution(w, name, x, byHand) {
  const kernel = w[`${name}.weight`];
  if (!byHand) return tf.relu(tf.add(tf.conv2d(x, kernel, 1, "same"), w[`${name}.bias`]));
  const [batch, height, width] = x.shape;
  const filters = kernel.shape[3];
  const flat = tf.matMul(patches(x, kernel.shape[0]), tf.reshape(kernel, [-1, filters]));
  return tf.reshape(tf.relu(tf.add(flat, w[`${name}.bias`])), [batch, height, width, filters]);
}

function pool(x, byHand) {
  if (!byHand) return tf.maxPool(x, 2, 2, "valid");
  const [batch, height, width, channels] = x.shape;
  const apart = tf.reshape(x, [batch, height / 2, 2, width / 2, 2 * channels]);
  const rows = tf.reshape(tf.max(apart, 2), [batch, height / 2, width / 2, 2, channels]);
  return tf.max(rows, 3);
}

function convolutional(w, byHand) {
  return {
    input: (x) => tf.tensor4d(x, [x.length / 784, 28, 28, 1]),
    forward(x) {
      for (const name of ["conv1", "conv2"]) x = pool(convolution(w, name, x, byHand), byHand);
      return dense(w, "b", tf.relu(dense(w, "a", tf.reshape(x, [x.shape[0], 1568]))));
    },
  };
}

function layerNorm(w, name, x) {
  const centred = tf.sub(x, tf.mean(x, -1, true));
  const variance = tf.mean(tf.square(centred), -1, true);
  const normal = tf.mul(centred, tf.rsqrt(tf.add(variance, 1e-5)));
  return tf.add(tf.mul(normal, w[`${name}.weight`]), w[`${name}.bias`]);
}

const gelu = (x) => tf.mul(tf.mul(x, 0.5), tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1));

const [BATCH, TOKENS, WIDTH, HEADS] = [16, 64, 48, 3];

function attention(w, name, x, mask) {
  const inner = tf.add(tf.matMul(x, w[`${name}.in_proj_weight`]), w[`${name}.in_proj_bias`]);
  const heads = (part) =>
    tf.transpose(tf.reshape(part, [BATCH, TOKENS, HEADS, WIDTH / HEADS]), [0, 2, 1, 3]);
  const [q, k, v] = tf.split(inner, 3, -1).map(heads);
  const scores = tf.add(tf.mul(tf.matMul(q, k, false, true), 1 / Math.sqrt(WIDTH / HEADS)), mask);
  const seen = tf.transpose(tf.matMul(tf.softmax(scores), v), [0, 2, 1, 3]);
  return dense(w, `${name}.out_proj`, tf.reshape(seen, [BATCH * TOKENS, WIDTH]));
}

function transformer(w, byHand) {
  const mask = tf.tidy(() => {
    const row = tf.range(0, TOKENS);
    const later = tf.less(tf.expandDims(row, 1), tf.expandDims(row, 0));
    return tf.mul(tf.cast(later, "float32"), -1e9);
  });
  return {
    input: (x) =>
      byHand ? tf.tensor2d(oneHot(x, 64), [x.length, 64]) : tf.tensor1d(Int32Array.from(x), "int32"),
    forward(tokens) {
      const table = w["tokens.weight"];
      const embedded = byHand ? tf.matMul(tokens, table) : tf.gather(table, tokens);
      let x = tf.add(tf.reshape(embedded, [BATCH, TOKENS, WIDTH]), w["positions.weight"]);
      x = tf.reshape(x, [BATCH * TOKENS, WIDTH]);
      for (const block of ["block0", "block1", "block2"]) {
        x = tf.add(x, attention(w, `${block}.self_attn`, layerNorm(w, `${block}.norm1`, x), mask));
        const hidden = gelu(dense(w, `${block}.linear1`, layerNorm(w, `${block}.norm2`, x)));
        x = tf.add(x, dense(w, `${block}.linear2`, hidden));
      }
      return dense(w, "head", layerNorm(w, "norm", x));
    },
  };
}

function recurrent(w) {
  const [steps, features, units] = [48, 32, 64];
  return {
    input: (x) => tf.tensor3d(x, [x.length / (steps * features), steps, features]),
    forward(x) {
      const batch = x.shape[0];
      const flat = tf.reshape(tf.transpose(x, [1, 0, 2]), [steps * batch, features]);
      const inputs = tf.add(tf.matMul(flat, w["gru.weight_ih_l0"]), w["gru.bias_ih_l0"]);
      let state = tf.zeros([batch, units]);
      for (const input of tf.split(inputs, steps, 0)) {
        const [ri, zi, ni] = tf.split(input, 3, 1);
        const inner = tf.add(tf.matMul(state, w["gru.weight_hh_l0"]), w["gru.bias_hh_l0"]);
        const [rh, zh, nh] = tf.split(inner, 3, 1);
        const reset = tf.sigmoid(tf.add(ri, rh));
        const update = tf.sigmoid(tf.add(zi, zh));
        const fresh = tf.tanh(tf.add(ni, tf.mul(reset, nh)));
        state = tf.add(fresh, tf.mul(update, tf.sub(state, fresh)));
      }
      return dense(w, "head", state);
    },
  };
}

const MODELS = {
  w1: mlp(["a", "b", "c"], 784),
  w2: convolutional,
  w3: mlp(["a", "b"], 64),
  w4: transformer,
  w5: recurrent,
};
