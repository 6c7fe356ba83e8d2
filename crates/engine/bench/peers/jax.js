// jax-js: { workload, device: "wasm" | "webgpu", byHand }. With `byHand`, convolutions are products over patches
// (im2col). The whole step, optimiser included, is one jitted function. An array is used up by what it is passed
// to; `.ref` keeps it.
import { blockUntilReady, defaultDevice, init, jit, lax, nn, numpy as np, tree, valueAndGrad } from "@jax-js/jax";
import { load, oneHot, transposed } from "./data.js";
import { serve } from "./serve.js";

serve(async ({ workload, device, byHand }) => {
  const data = await load(workload);
  if (!(await init(device)).includes(device)) throw new Error(`no ${device} backend`);
  defaultDevice(device);
  return async () => {
    const model = MODELS[workload](byHand);
    const classes = workload === "w4" ? 64 : 10;
    const batches = data.batches.map(({ x, y }) => ({
      x: model.input(x),
      y: np.array(oneHot(y, classes)).reshape([y.length, classes]),
    }));
    const cost = (w, x, y) => crossEntropy(model.forward(w, x), y);
    const step = jit(adam(valueAndGrad(cost)));
    let weights = arrays(data);
    let [first, second] = [zeros(weights), zeros(weights)];
    let taken = 0;
    const run = async (steps) => {
      let loss;
      for (let count = 0; count < steps; count++) {
        const { x, y } = batches[taken++ % batches.length];
        loss?.dispose();
        const rate = (0.001 * Math.sqrt(1 - 0.999 ** taken)) / (1 - 0.9 ** taken);
        const epsilon = 1e-8 * Math.sqrt(1 - 0.999 ** taken);
        const scales = np.array(new Float32Array([rate, epsilon]));
        [weights, first, second, loss] = step(weights, first, second, scales, x.ref, y.ref);
      }
      const [value] = await loss.data();
      await blockUntilReady(weights);
      return value;
    };
    return { run };
  };
});

// Adam with the bias correction in step size and epsilon, which gives the same numbers.
function adam(lossAndGradients) {
  return (weights, first, second, scales, x, y) => {
    const [loss, gradients] = lossAndGradients(tree.ref(weights), x, y);
    const [rate, epsilon] = np.split(scales, 2);
    const moved = [{}, {}, {}];
    for (const name of Object.keys(weights)) {
      const gradient = gradients[name];
      const m = first[name].mul(0.9).add(gradient.ref.mul(0.1));
      const v = second[name].mul(0.999).add(np.square(gradient).mul(0.001));
      const change = m.ref.mul(rate.ref).div(np.sqrt(v.ref).add(epsilon.ref));
      moved[0][name] = weights[name].sub(change);
      moved[1][name] = m;
      moved[2][name] = v;
    }
    rate.dispose();
    epsilon.dispose();
    return [...moved, loss];
  };
}

function crossEntropy(logits, y) {
  return nn.logSoftmax(logits, -1).mul(y).sum(-1).mean().neg();
}

// Parameters as [in, out], which products take as they are; convolutions stay [out, in, kh, kw].
function arrays({ parameters }) {
  const made = {};
  for (const [name, parameter] of Object.entries(parameters)) {
    const keep = parameter.shape.length !== 2 || /^(tokens|positions)\./.test(name);
    const { shape, values } = keep ? parameter : transposed(parameter);
    made[name] = np.array(values).reshape(shape);
  }
  return made;
}

const zeros = (weights) => Object.fromEntries(Object.entries(weights).map(([name, w]) => [name, np.zeros(w.shape)]));

const dense = (w, name, x) => np.matmul(x, w[`${name}.weight`]).add(w[`${name}.bias`]);

function mlp(names, width) {
  return () => ({
    input: (x) => np.array(x).reshape([x.length / width, width]),
    forward: (w, x) => names.reduce((x, name, at) => (at ? dense(w, name, nn.relu(x)) : dense(w, name, x)), x),
  });
}

// [batch, channels, height, width] as [batch height width, channels kernel kernel].
function patches(x, kernel) {
  const [batch, channels, height, width] = x.shape;
  const border = (kernel - 1) / 2;
  const padded = np.pad(x, [[0, 0], [0, 0], [border, border], [border, border]]);
  const parts = [];
  for (let row = 0; row < kernel; row++) {
    for (let column = 0; column < kernel; column++) {
      parts.push(padded.ref.slice([], [], [row, row + height], [column, column + width]));
    }
  }
  padded.dispose();
  const stacked = np.stack(parts, 2);
  return np.transpose(stacked, [0, 3, 4, 1, 2]).reshape([batch * height * width, channels * kernel * kernel]);
}

function convolution(w, name, x, byHand) {
  const [kernel, bias] = [w[`${name}.weight`], w[`${name}.bias`]];
  const [filters, channels, extent] = kernel.shape;
  if (!byHand) return nn.relu(lax.conv(x, kernel, [1, 1], "SAME").add(bias.reshape([filters, 1, 1])));
  const [batch, , height, width] = x.shape;
  const flat = np.matmul(patches(x, extent), np.transpose(kernel.reshape([filters, channels * extent * extent])));
  const shaped = nn.relu(flat.add(bias)).reshape([batch, height, width, filters]);
  return np.transpose(shaped, [0, 3, 1, 2]);
}

function pool(x) {
  const [batch, channels, height, width] = x.shape;
  return np.max(x.reshape([batch, channels, height / 2, 2, width / 2, 2]), [3, 5]);
}

function convolutional(byHand) {
  return {
    input: (x) => np.array(x).reshape([x.length / 784, 1, 28, 28]),
    forward(w, x) {
      for (const name of ["conv1", "conv2"]) x = pool(convolution(w, name, x, byHand));
      return dense(w, "b", nn.relu(dense(w, "a", x.reshape([x.shape[0], 1568]))));
    },
  };
}

function layerNorm(w, name, x) {
  const mean = np.mean(x.ref, -1, { keepdims: true });
  const centred = x.sub(mean);
  const variance = np.mean(np.square(centred.ref), -1, { keepdims: true });
  const normal = centred.mul(np.reciprocal(np.sqrt(variance.add(1e-5))));
  return normal.mul(w[`${name}.weight`]).add(w[`${name}.bias`]);
}

const gelu = (x) => x.ref.mul(0.5).mul(lax.erf(x.mul(Math.SQRT1_2)).add(1));

const [BATCH, TOKENS, WIDTH, HEADS] = [16, 64, 48, 3];

function attention(w, name, x, mask) {
  const inner = np.matmul(x, w[`${name}.in_proj_weight`]).add(w[`${name}.in_proj_bias`]);
  const heads = (part) => np.transpose(part.reshape([BATCH, TOKENS, HEADS, WIDTH / HEADS]), [0, 2, 1, 3]);
  const [q, k, v] = np.split(inner, 3, -1).map(heads);
  const scores = np.matmul(q, np.transpose(k, [0, 1, 3, 2])).mul(1 / Math.sqrt(WIDTH / HEADS)).add(mask);
  const seen = np.transpose(np.matmul(nn.softmax(scores, -1), v), [0, 2, 1, 3]);
  return dense(w, `${name}.out_proj`, seen.reshape([BATCH * TOKENS, WIDTH]));
}

function transformer() {
  const later = Float32Array.from({ length: TOKENS * TOKENS }, (_, at) => (at % TOKENS > at / TOKENS ? -1e9 : 0));
  return {
    input: (x) => np.array(oneHot(x, 64)).reshape([x.length, 64]),
    forward(w, tokens) {
      const mask = np.array(later).reshape([TOKENS, TOKENS]);
      const embedded = np.matmul(tokens, w["tokens.weight"]).reshape([BATCH, TOKENS, WIDTH]);
      let x = embedded.add(w["positions.weight"]).reshape([BATCH * TOKENS, WIDTH]);
      for (const block of ["block0", "block1", "block2"]) {
        x = x.ref.add(attention(w, `${block}.self_attn`, layerNorm(w, `${block}.norm1`, x), mask.ref));
        const hidden = gelu(dense(w, `${block}.linear1`, layerNorm(w, `${block}.norm2`, x.ref)));
        x = x.add(dense(w, `${block}.linear2`, hidden));
      }
      mask.dispose();
      return dense(w, "head", layerNorm(w, "norm", x));
    },
  };
}

function recurrent() {
  const [steps, features, units] = [48, 32, 64];
  return {
    input: (x) => np.array(x).reshape([x.length / (steps * features), steps, features]),
    forward(w, x) {
      const batch = x.shape[0];
      const flat = np.transpose(x, [1, 0, 2]).reshape([steps * batch, features]);
      const inputs = np.matmul(flat, w["gru.weight_ih_l0"]).add(w["gru.bias_ih_l0"]);
      const [weight, bias] = [w["gru.weight_hh_l0"], w["gru.bias_hh_l0"]];
      let state = np.zeros([batch, units]);
      for (const input of np.split(inputs, steps, 0)) {
        const [ri, zi, ni] = np.split(input, 3, 1);
        const [rh, zh, nh] = np.split(np.matmul(state.ref, weight.ref).add(bias.ref), 3, 1);
        const reset = nn.sigmoid(ri.add(rh));
        const update = nn.sigmoid(zi.add(zh));
        const fresh = np.tanh(ni.add(reset.mul(nh)));
        state = fresh.ref.add(update.mul(state.sub(fresh)));
      }
      weight.dispose();
      bias.dispose();
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
